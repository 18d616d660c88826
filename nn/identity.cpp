#include <tapestry/nn/identity.h>

namespace tapestry::nn {

Identity::Identity() { describe("Identity"); }

Tensor Identity::operator()(const Tensor& x, Here here) const {
  const LayerScope scope(*this, here);
  return scope.output(scope.input(x));
}

}  // namespace tapestry::nn
