#include <tapestry/nn/conv.h>

#include <fmt/format.h>

#include <algorithm>

#include <tapestry/autograd/base/check.h>
#include <tapestry/nn/detail/layer.h>
#include <tapestry/nn/init.h>

namespace tapestry::nn {

Conv2d::Conv2d(Index in, Index out, const Options& options, Here here)
    : options_{.stride = options.stride,
               .padding = options.padding,
               .dilation = options.dilation,
               .groups = options.groups} {
  const CallSite site(here);
  detail::check_positive("Conv2d", "in", in);
  detail::check_positive("Conv2d", "out", out);
  detail::check_positive("Conv2d", "kernel", std::min(options.kernel.h, options.kernel.w));
  detail::check_positive("Conv2d", "groups", options.groups);
  if (in % options.groups != 0 || out % options.groups != 0) {
    throw_invalid("Conv2d: groups must divide in and out; got groups {}, in {}, out {}", options.groups, in, out);
  }
  const Shape shape{out, options.kernel.h, options.kernel.w, in / options.groups};
  const Index fan_in = init::fans(shape).in;
  weight_ = param("weight", init::fan_in_uniform(shape, fan_in));
  if (options.bias) bias_ = param("bias", init::fan_in_uniform({out}, fan_in));
  std::string description = fmt::format("Conv2d {} -> {}, kernel {}", in, out, detail::text(options.kernel));
  if (options.stride != Pair2(1)) description += ", stride " + detail::text(options.stride);
  if (options.dilation != Pair2(1)) description += ", dilation " + detail::text(options.dilation);
  if (options.groups != 1) description += fmt::format(", groups {}", options.groups);
  describe(std::move(description));
}

Tensor Conv2d::operator()(const Tensor& x, Here here) const {
  const LayerScope scope(*this, here);
  return scope.output(conv2d(scope.input(x), weight_, bias_, options_));
}

}  // namespace tapestry::nn
