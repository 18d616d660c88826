#include <tapestry/nn/linear.h>

#include <fmt/format.h>

#include <tapestry/autograd/base/check.h>
#include <tapestry/nn/detail/layer.h>
#include <tapestry/nn/init.h>
#include <tapestry/ops/matmul.h>

namespace tapestry::nn {

Linear::Linear(Index in, Index out, const Options& options, Here here) {
  const CallSite site(here);
  detail::check_positive("Linear", "in", in);
  detail::check_positive("Linear", "out", out);
  const FlattenedImage& image = options.flattened;
  if (image.h < 1 || image.w < 1 || in % (image.h * image.w) != 0) {
    throw_invalid("Linear: in must be a multiple of flattened.h x flattened.w; got {} and {} x {}", in, image.h,
                  image.w);
  }
  weight_ = param("weight", init::fan_in_uniform({out, in}, in), image);
  if (options.bias) bias_ = param("bias", init::fan_in_uniform({out}, in));
  describe(fmt::format("Linear {} -> {}", in, out));
}

Tensor Linear::operator()(const Tensor& x, Here here) const {
  const LayerScope scope(*this, here);
  return scope.output(linear(scope.input(x), weight_, bias_));
}

}  // namespace tapestry::nn
