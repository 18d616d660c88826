#include <tapestry/nn/unfold.h>

#include <tapestry/nn/detail/layer.h>

namespace tapestry::nn {

Unfold::Unfold(const UnfoldOptions& options) : options_(options) {
  describe("Unfold, kernel " + detail::text(options.kernel));
}

Tensor Unfold::operator()(const Tensor& x, Here here) const {
  const LayerScope scope(*this, here);
  return scope.output(unfold(scope.input(x), options_));
}

Fold::Fold(const Pair2& size, const UnfoldOptions& options) : size_(size), options_(options) {
  describe("Fold to " + detail::text(size) + ", kernel " + detail::text(options.kernel));
}

Tensor Fold::operator()(const Tensor& x, Here here) const {
  const LayerScope scope(*this, here);
  return scope.output(fold(scope.input(x), size_, options_));
}

}  // namespace tapestry::nn
