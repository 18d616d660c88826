#include <tapestry/nn/pad.h>

#include <fmt/format.h>

namespace tapestry::nn {
namespace {

std::string text_of(const char* layer, const ZeroPad2d::Options& o) {
  if (o.top == o.bottom && o.top == o.left && o.top == o.right) return fmt::format("{} {}", layer, o.top);
  return fmt::format("{} top {}, bottom {}, left {}, right {}", layer, o.top, o.bottom, o.left, o.right);
}

Pad2dOptions widths(const ZeroPad2d::Options& o, PadMode mode) {
  return {.top = o.top, .bottom = o.bottom, .left = o.left, .right = o.right, .mode = mode};
}

}  // namespace

ZeroPad2d::ZeroPad2d(const Options& options, Here here) : options_(options) {
  const CallSite site(here);
  describe(text_of("ZeroPad2d", options));
}

Tensor ZeroPad2d::operator()(const Tensor& x, Here here) const {
  const LayerScope scope(*this, here);
  return scope.output(pad2d(scope.input(x), widths(options_, PadMode::constant)));
}

ReflectionPad2d::ReflectionPad2d(const Options& options, Here here) : options_(options) {
  const CallSite site(here);
  describe(text_of("ReflectionPad2d", options));
}

Tensor ReflectionPad2d::operator()(const Tensor& x, Here here) const {
  const LayerScope scope(*this, here);
  return scope.output(pad2d(scope.input(x), widths(options_, PadMode::reflect)));
}

}  // namespace tapestry::nn
