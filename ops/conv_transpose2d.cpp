#include <tapestry/ops/conv_transpose2d.h>

#include <algorithm>

#include <tapestry/autograd/base/check.h>
#include <tapestry/autograd/base/extent.h>
#include <tapestry/ops/autocast.h>
#include <tapestry/ops/binary.h>
#include <tapestry/ops/cast.h>
#include <tapestry/ops/conv2d.h>
#include <tapestry/ops/detail/common.h>
#include <tapestry/ops/shape_ops.h>

namespace tapestry {
namespace {

constexpr const char* kOp = "conv_transpose2d";

void check_option(const char* what, const Pair2& value, Index least) {
  if (value.h < least || value.w < least) {
    throw_invalid("{}: {} must be at least {}; got {{{}, {}}}", kOp, what, least, value.h, value.w);
  }
}

void check(const Shape& x, const Shape& w, const ConvTranspose2dOptions& o) {
  check_image(kOp, x);
  if (w.rank() != 4) throw_invalid("{}: the weight must be [C, R, S, K / groups]; got {}", kOp, w);
  check_option("stride", o.stride, 1);
  check_option("padding", o.padding, 0);
  check_option("output_padding", o.output_padding, 0);
  check_option("dilation", o.dilation, 1);
  if (o.groups < 1) throw_invalid("{}: groups must be at least 1; got {}", kOp, o.groups);
  const Pair2 below{std::max(o.stride.h, o.dilation.h), std::max(o.stride.w, o.dilation.w)};
  if (o.output_padding.h >= below.h || o.output_padding.w >= below.w) {
    throw_invalid("{}: output_padding must be less than the stride or the dilation, {{{}, {}}}; got {{{}, {}}}", kOp,
                  below.h, below.w, o.output_padding.h, o.output_padding.w);
  }
  if (w[1] < 1 || w[2] < 1) throw_invalid("{}: the kernel must have a tap; the weight is {}", kOp, w);
  if (x[1] < 1 || x[2] < 1) throw_invalid("{}: the input must have a pixel; got {}", kOp, x);
  if (x[3] != w[0]) {
    throw_invalid("{}: input has {} channels, weight expects {} (input {}, weight {}){}", kOp, x[3], w[0], x, w,
                  channels_first_hint(x, w[0]));
  }
  if (w[0] % o.groups != 0) throw_invalid("{}: groups must divide the {} channels; got {}", kOp, w[0], o.groups);
}

/// (size - 1) stride - 2 padding + dilation (kernel - 1) + 1: without output_padding.
Index base_extent(Index size, Index kernel, Index stride, Index padding, Index dilation) {
  const Index reach = checked_sum(kOp, checked_product(kOp, dilation, kernel - 1), 1);
  const Index span = checked_sum(kOp, checked_product(kOp, size - 1, stride), reach);
  return checked_sum(kOp, span, -checked_product(kOp, 2, padding));
}

}  // namespace

Tensor conv_transpose2d(const Tensor& given_x, const Tensor& given_w, const Tensor& given_b,
                        const ConvTranspose2dOptions& o, Here here) {
  const CallSite site(here);
  check_defined(kOp, "x", given_x);
  check_defined(kOp, "w", given_w);
  Tensor x = given_x, w = given_w, b = given_b;
  if (is_autocast_enabled() && is_f32_or_bf16(x, w, b)) {
    x = to(x, bf16);
    w = to(w, bf16);
    if (b.defined()) b = to(b, bf16);
  }
  check_any_float(kOp, x);
  check_same_dtype(kOp, x, w);
  if (b.defined()) check_same_dtype(kOp, x, b);
  check(x.shape(), w.shape(), o);
  const Index filters = checked_product(kOp, w.shape()[3], o.groups);
  if (b.defined()) check_shape(kOp, "the bias", b, {filters});
  // conv2d maps an image with up to stride - 1 more rows to as many as x has: these it can lead back to. A larger
  // output_padding is that of an x with rows of zeros below it.
  const Pair2 zeros_below{o.output_padding.h / o.stride.h, o.output_padding.w / o.stride.w};
  if (zeros_below != Pair2(0)) x = pad2d(x, {.bottom = zeros_below.h, .right = zeros_below.w});
  const Shape& s = x.shape();
  const Index height = checked_sum(kOp, base_extent(s[1], w.shape()[1], o.stride.h, o.padding.h, o.dilation.h),
                                   o.output_padding.h % o.stride.h);
  const Index width = checked_sum(kOp, base_extent(s[2], w.shape()[2], o.stride.w, o.padding.w, o.dilation.w),
                                  o.output_padding.w % o.stride.w);
  if (height < 1 || width < 1) {
    throw_invalid("{}: the output must have a pixel; it would be {{{}, {}}}", kOp, height, width);
  }
  static_cast<void>(checked_span(kOp, height, w.shape()[1], o.padding.h, o.dilation.h));
  static_cast<void>(checked_span(kOp, width, w.shape()[2], o.padding.w, o.dilation.w));
  const Tensor y =
      conv2d_input_grad(x, w, Shape{s[0], height, width, filters},
                        {.stride = o.stride, .padding = o.padding, .dilation = o.dilation, .groups = o.groups});
  return b.defined() ? y + b : y;
}

}  // namespace tapestry
