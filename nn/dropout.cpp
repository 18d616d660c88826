#include <tapestry/nn/dropout.h>

#include <fmt/format.h>

#include <tapestry/autograd/base/check.h>
#include <tapestry/ops/dropout.h>

namespace tapestry::nn {

Dropout::Dropout(double p, Here here) : p_(p) {
  const CallSite site(here);
  if (!(p >= 0 && p <= 1)) throw_invalid("Dropout: p must be in [0, 1]; got {}", p);
  describe(fmt::format("Dropout {}", p));
}

Tensor Dropout::operator()(const Tensor& x, Here here) const {
  const LayerScope scope(*this, here);
  return scope.output(dropout(scope.input(x), {.p = p_, .training = is_training()}));
}

}  // namespace tapestry::nn
