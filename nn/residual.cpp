#include <tapestry/nn/residual.h>

#include <tapestry/ops/binary.h>

namespace tapestry::nn {

Tensor Residual::operator()(const Tensor& from, Here here) const {
  const LayerScope scope(*this, here);
  const Tensor x = scope.input(from);
  return scope.output(branch_(x, here) + (shortcut_ ? shortcut_(x, here) : x));
}

}  // namespace tapestry::nn
