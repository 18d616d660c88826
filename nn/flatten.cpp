#include <tapestry/nn/flatten.h>

namespace tapestry::nn {

Flatten::Flatten(const FlattenOptions& options) : options_(options) { describe("Flatten"); }

Tensor Flatten::operator()(const Tensor& x, Here here) const {
  const LayerScope scope(*this, here);
  return scope.output(flatten(scope.input(x), options_));
}

}  // namespace tapestry::nn
