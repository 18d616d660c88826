#include <tapestry/nn/conv.h>

#include <fmt/format.h>

#include <algorithm>

#include <tapestry/autograd/base/check.h>
#include <tapestry/nn/detail/layer.h>
#include <tapestry/nn/init.h>

namespace tapestry::nn {
namespace {

void check_extents(const char* layer, Index in, Index out, const Pair2& kernel, Index groups) {
  detail::check_positive(layer, "in", in);
  detail::check_positive(layer, "out", out);
  detail::check_positive(layer, "kernel", std::min(kernel.h, kernel.w));
  detail::check_positive(layer, "groups", groups);
  if (in % groups != 0 || out % groups != 0) {
    throw_invalid("{}: groups must divide in and out; got groups {}, in {}, out {}", layer, groups, in, out);
  }
}

/// "Conv2d 3 -> 32, kernel 3x3, stride 2x2".
template <class Options>
std::string description_of(const char* layer, Index in, Index out, const Options& options) {
  std::string text = fmt::format("{} {} -> {}, kernel {}", layer, in, out, detail::text(options.kernel));
  if (options.stride != Pair2(1)) text += ", stride " + detail::text(options.stride);
  if (options.dilation != Pair2(1)) text += ", dilation " + detail::text(options.dilation);
  if (options.groups != 1) text += fmt::format(", groups {}", options.groups);
  return text;
}

}  // namespace

Conv2d::Conv2d(Index in, Index out, const Options& options, Here here)
    : options_{.stride = options.stride,
               .padding = options.padding,
               .dilation = options.dilation,
               .groups = options.groups} {
  const CallSite site(here);
  check_extents("Conv2d", in, out, options.kernel, options.groups);
  const Shape shape{out, options.kernel.h, options.kernel.w, in / options.groups};
  const Index fan_in = init::fans(shape).in;
  weight_ = param("weight", init::fan_in_uniform(shape, fan_in));
  if (options.bias) bias_ = param("bias", init::fan_in_uniform({out}, fan_in));
  describe(description_of("Conv2d", in, out, options));
}

Tensor Conv2d::operator()(const Tensor& x, Here here) const {
  const LayerScope scope(*this, here);
  return scope.output(conv2d(scope.input(x), weight_, bias_, options_));
}

ConvTranspose2d::ConvTranspose2d(Index in, Index out, const Options& options, Here here)
    : options_{.stride = options.stride,
               .padding = options.padding,
               .output_padding = options.output_padding,
               .dilation = options.dilation,
               .groups = options.groups} {
  const CallSite site(here);
  check_extents("ConvTranspose2d", in, out, options.kernel, options.groups);
  const Shape shape{in, options.kernel.h, options.kernel.w, out / options.groups};
  const Index fan_in = init::fans(shape).in;
  weight_ = param("weight", init::fan_in_uniform(shape, fan_in));
  if (options.bias) bias_ = param("bias", init::fan_in_uniform({out}, fan_in));
  describe(description_of("ConvTranspose2d", in, out, options));
}

Tensor ConvTranspose2d::operator()(const Tensor& x, Here here) const {
  const LayerScope scope(*this, here);
  return scope.output(conv_transpose2d(scope.input(x), weight_, bias_, options_));
}

}  // namespace tapestry::nn
