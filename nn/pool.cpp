#include <tapestry/nn/pool.h>

#include <fmt/format.h>

#include <algorithm>

#include <tapestry/nn/detail/layer.h>

namespace tapestry::nn {

MaxPool2d::MaxPool2d(const MaxPool2dOptions& options, Here here) : options_(options) {
  const CallSite site(here);
  describe(fmt::format("MaxPool2d {}, stride {}", detail::text(options.kernel),
                       detail::text(options.stride.value_or(options.kernel))));
}

Tensor MaxPool2d::operator()(const Tensor& x, Here here) const {
  const LayerScope scope(*this, here);
  return scope.output(max_pool2d(scope.input(x), options_));
}

AvgPool2d::AvgPool2d(const AvgPool2dOptions& options, Here here) : options_(options) {
  const CallSite site(here);
  describe(fmt::format("AvgPool2d {}, stride {}", detail::text(options.kernel),
                       detail::text(options.stride.value_or(options.kernel))));
}

Tensor AvgPool2d::operator()(const Tensor& x, Here here) const {
  const LayerScope scope(*this, here);
  return scope.output(avg_pool2d(scope.input(x), options_));
}

AdaptiveAvgPool2d::AdaptiveAvgPool2d(Pair2 output, Here here) : output_(output) {
  const CallSite site(here);
  detail::check_positive("AdaptiveAvgPool2d", "output", std::min(output.h, output.w));
  describe("AdaptiveAvgPool2d to " + detail::text(output));
}

Tensor AdaptiveAvgPool2d::operator()(const Tensor& x, Here here) const {
  const LayerScope scope(*this, here);
  return scope.output(adaptive_avg_pool2d(scope.input(x), output_));
}

AdaptiveMaxPool2d::AdaptiveMaxPool2d(Pair2 output, Here here) : output_(output) {
  const CallSite site(here);
  detail::check_positive("AdaptiveMaxPool2d", "output", std::min(output.h, output.w));
  describe("AdaptiveMaxPool2d to " + detail::text(output));
}

Tensor AdaptiveMaxPool2d::operator()(const Tensor& x, Here here) const {
  const LayerScope scope(*this, here);
  return scope.output(adaptive_max_pool2d(scope.input(x), output_));
}

GlobalAvgPool2d::GlobalAvgPool2d() { describe("GlobalAvgPool2d"); }

Tensor GlobalAvgPool2d::operator()(const Tensor& x, Here here) const {
  const LayerScope scope(*this, here);
  return scope.output(global_avg_pool2d(scope.input(x)));
}

}  // namespace tapestry::nn
