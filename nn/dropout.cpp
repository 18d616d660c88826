#include <tapestry/nn/dropout.h>

#include <fmt/format.h>

#include <tapestry/autograd/base/check.h>
#include <tapestry/ops/dropout.h>

namespace tapestry::nn {
namespace {

/// What describes the layer.
std::string checked(const char* layer, double p) {
  if (!(p >= 0 && p <= 1)) throw_invalid("{}: p must be in [0, 1]; got {}", layer, p);
  return fmt::format("{} {}", layer, p);
}

}  // namespace

Dropout::Dropout(double p, Here here) : p_(p) {
  const CallSite site(here);
  describe(checked("Dropout", p));
}

Dropout2d::Dropout2d(double p, Here here) : p_(p) {
  const CallSite site(here);
  describe(checked("Dropout2d", p));
}

DropPath::DropPath(double p, Here here) : p_(p) {
  const CallSite site(here);
  describe(checked("DropPath", p));
}

Tensor Dropout::operator()(const Tensor& x, Here here) const {
  const LayerScope scope(*this, here);
  return scope.output(dropout(scope.input(x), {.p = p_, .training = is_training()}));
}

Tensor Dropout2d::operator()(const Tensor& x, Here here) const {
  const LayerScope scope(*this, here);
  return scope.output(dropout2d(scope.input(x), {.p = p_, .training = is_training()}));
}

Tensor DropPath::operator()(const Tensor& x, Here here) const {
  const LayerScope scope(*this, here);
  return scope.output(drop_path(scope.input(x), {.p = p_, .training = is_training()}));
}

}  // namespace tapestry::nn
