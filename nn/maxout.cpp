#include <tapestry/nn/maxout.h>

#include <fmt/format.h>

#include <tapestry/nn/detail/layer.h>

namespace tapestry::nn {

MaxOut::MaxOut(Index pieces, Here here) : pieces_(pieces) {
  const CallSite site(here);
  detail::check_positive("MaxOut", "pieces", pieces);
  describe(fmt::format("MaxOut {}", pieces));
}

Tensor MaxOut::operator()(const Tensor& x, Here here) const {
  const LayerScope scope(*this, here);
  return scope.output(maxout(scope.input(x), pieces_));
}

}  // namespace tapestry::nn
