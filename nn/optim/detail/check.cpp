#include <tapestry/nn/optim/detail/check.h>

#include <tapestry/autograd/base/check.h>

namespace tapestry::nn::optim::detail {

void check_not_negative(const char* optimizer, const char* what, double value) {
  if (!(value >= 0)) throw_invalid("{}: {} must be at least 0; got {}", optimizer, what, value);
}

void check_beta(const char* optimizer, const char* what, double value) {
  if (!(value >= 0 && value < 1)) throw_invalid("{}: {} must be in [0, 1); got {}", optimizer, what, value);
}

void check_no_momentum(const char* optimizer, double momentum) {
  if (momentum != 0) throw_invalid("{}: there is no momentum to set; got {}", optimizer, momentum);
}

}  // namespace tapestry::nn::optim::detail
