#include <tapestry/ops/conv2d.h>

#include <algorithm>

#include <tapestry/autograd/base/check.h>
#include <tapestry/autograd/base/extent.h>
#include <tapestry/autograd/checkpoint.h>
#include <tapestry/autograd/grad_mode.h>
#include <tapestry/autograd/record.h>
#include <tapestry/ops/autocast.h>
#include <tapestry/ops/broadcast.h>
#include <tapestry/ops/cast.h>
#include <tapestry/ops/detail/common.h>
#include <tapestry/ops/detail/kernel_operands.h>
#include <tapestry/ops/kernels/conv2d/select.h>

namespace tapestry {
namespace {

/// One spatial dimension: padding before, output extent.
struct Extent {
  Index before, out;
};

Extent extent_of(const char* op, Index size, Index kernel, Index stride, Index padding, bool same, Index dilation) {
  const auto [reach, padded] = checked_span(op, size, kernel, same ? 0 : padding, dilation);
  if (same) return {(reach - 1) / 2, size};
  if (reach > padded) {
    throw_invalid("{}: the kernel must fit into the padded input; it spans {}, the input {}", op, reach, padded);
  }
  return {padding, (padded - reach) / stride + 1};
}

/// All extents, checked.
kernels::Conv2dShape plan(const char* op, const Shape& x, const Shape& w, const Conv2dOptions& o) {
  check_image(op, x);
  if (w.rank() != 4) throw_invalid("{}: the weight must be [K, R, S, C / groups]; got {}", op, w);
  if (o.stride.h < 1 || o.stride.w < 1) {
    throw_invalid("{}: stride must be at least 1; got {{{}, {}}}", op, o.stride.h, o.stride.w);
  }
  if (o.dilation.h < 1 || o.dilation.w < 1) {
    throw_invalid("{}: dilation must be at least 1; got {{{}, {}}}", op, o.dilation.h, o.dilation.w);
  }
  if (o.padding.size.h < 0 || o.padding.size.w < 0) {
    throw_invalid("{}: padding must not be negative; got {{{}, {}}}", op, o.padding.size.h, o.padding.size.w);
  }
  if (o.groups < 1) throw_invalid("{}: groups must be at least 1; got {}", op, o.groups);
  if (o.padding.is_same && o.stride != Pair2(1)) {
    throw_invalid("{}: Padding::same needs stride 1; got {{{}, {}}}", op, o.stride.h, o.stride.w);
  }
  if (w[1] < 1 || w[2] < 1) throw_invalid("{}: the kernel must have a tap; the weight is {}", op, w);
  const Index channels = checked_product(op, w[3], o.groups);
  if (x[3] != channels) {
    throw_invalid("{}: input has {} channels, weight expects {} (input {}, weight {}, groups {}){}", op, x[3], channels,
                  x, w, o.groups, channels_first_hint(x, channels));
  }
  if (w[0] % o.groups != 0) throw_invalid("{}: groups must divide the {} filters; got {}", op, w[0], o.groups);
  const Extent h = extent_of(op, x[1], w[1], o.stride.h, o.padding.size.h, o.padding.is_same, o.dilation.h);
  const Extent v = extent_of(op, x[2], w[2], o.stride.w, o.padding.size.w, o.padding.is_same, o.dilation.w);
  return {.n = x[0],
          .h = x[1],
          .w = x[2],
          .c = x[3],
          .k = w[0],
          .r = w[1],
          .s = w[2],
          .oh = h.out,
          .ow = v.out,
          .stride_h = std::min(o.stride.h, kLongestSide),  // a longer one leads to no second window either
          .stride_w = std::min(o.stride.w, kLongestSide),
          .pad_top = h.before,
          .pad_left = v.before,
          .dilation_h = o.dilation.h,
          .dilation_w = o.dilation.w,
          .groups = o.groups};
}

Shape output_shape(const kernels::Conv2dShape& s) { return {s.n, s.oh, s.ow, s.k}; }

void check_dtypes(const char* op, const Tensor& a, const Tensor& b) {
  check_any_float(op, a);
  check_same_dtype(op, a, b);
}

/// The bias as the kernels want it: bf16 sums are made in float.
Tensor bias_of_sums(const Tensor& x, const Tensor& b) {
  return b.defined() && x.dtype() == bf16 ? no_grad([&] { return to(b, f32); }) : b;
}

/// The dtypes are a pair that kernels multiply: equal, or f32 beside bf16 images or gradients. The ops check what they
/// are given, their rules keep to it.
void check_operands(const char* op, const Tensor& a, const Tensor& b, bool equal) {
  if (a.dtype() == b.dtype() || (!equal && a.dtype() == bf16 && b.dtype() == f32)) return;
  throw_logic("{}: the dtypes must be equal{}; got {} and {}", op, equal ? "" : ", or f32 after bf16", a.dtype(),
              b.dtype());
}

/// Where what is made of the weights may be kept: beside them in inference, where they stay as they are for long.
Storage* keeper(const Tensor& w) { return is_inference_mode() ? w.impl().storage.get() : nullptr; }

// The three ops as their rules call each other. What conv2d makes of its operands under autocast, bf16 images and f32
// weights, stays within these: gradients have the dtype of what they are gradients of.

Tensor forward(const Tensor& x, const Tensor& w, const Tensor& b, const Conv2dOptions& options);
Tensor input_grad(const Tensor& dy, const Tensor& w, const Shape& input_shape, const Conv2dOptions& options);
Tensor weight_grad(const Tensor& x, const Tensor& dy, const Shape& weight_shape, Dtype dtype,
                   const Conv2dOptions& options);

Tensor forward(const Tensor& x, const Tensor& w, const Tensor& b, const Conv2dOptions& options) {
  const kernels::Conv2dShape shape = plan("conv2d", x.shape(), w.shape(), options);
  if (b.defined()) check_shape("conv2d", "the bias", b, {shape.k});
  check_operands("conv2d", x, w, false);
  Tensor y = detail::kept_or("conv2d", [&] {
    Tensor sums = empty(output_shape(shape), x.dtype());
    const Tensor bias = bias_of_sums(x, b);
    kernels::conv2d(shape, kernel_precision(), elements(x), elements(w), bias.defined() ? elements(bias).data : nullptr,
                    result(sums), keeper(w));
    return sums;
  });
  return record(
      "conv2d", std::move(y),
      wrt(
          x,
          [w = saved(w), input = x.shape(), options](const Tensor& dy) { return input_grad(dy, w(), input, options); },
          [&](const Tensor& t) { return forward(t, w, {}, options); }),
      wrt(
          w,
          [x = saved(x), weight = w.shape(), dtype = w.dtype(), options](const Tensor& dy) {
            return weight_grad(x(), dy, weight, dtype, options);
          },
          [&](const Tensor& t) { return forward(x, t, {}, options); }),
      wrt(
          b,
          [k = shape.k, dtype = b.defined() ? b.dtype() : f32](const Tensor& dy) {
            return to(sum_to(widened(dy), Shape{k}), dtype);
          },
          [](const Tensor& t, const Tensor& sums) { return to(broadcast_to(t, sums.shape()), sums.dtype()); }));
}

Tensor input_grad(const Tensor& dy, const Tensor& w, const Shape& input_shape, const Conv2dOptions& options) {
  const kernels::Conv2dShape shape = plan("conv2d_input_grad", input_shape, w.shape(), options);
  check_shape("conv2d_input_grad", "dy", dy, output_shape(shape));
  check_operands("conv2d_input_grad", dy, w, false);
  Tensor dx = empty(input_shape, dy.dtype());
  kernels::conv2d_input_grad(shape, kernel_precision(), elements(dy), elements(w), result(dx));
  return record("conv2d_input_grad", std::move(dx),
                wrt(
                    dy, [w = saved(w), options](const Tensor& g) { return forward(g, w(), {}, options); },
                    [&](const Tensor& t) { return input_grad(t, w, input_shape, options); }),
                wrt(
                    w,
                    [dy = saved(dy), weight = w.shape(), dtype = w.dtype(), options](const Tensor& g) {
                      return weight_grad(g, dy(), weight, dtype, options);
                    },
                    [&](const Tensor& t) { return input_grad(dy, t, input_shape, options); }));
}

/// dtype: that of dw. f32 for bf16 operands is the sum before it is rounded.
Tensor weight_grad(const Tensor& x, const Tensor& dy, const Shape& weight_shape, Dtype dtype,
                   const Conv2dOptions& options) {
  const kernels::Conv2dShape shape = plan("conv2d_weight_grad", x.shape(), weight_shape, options);
  check_shape("conv2d_weight_grad", "dy", dy, output_shape(shape));
  check_operands("conv2d_weight_grad", x, dy, true);
  Tensor dw = empty(weight_shape, x.dtype() == bf16 ? f32 : x.dtype());
  kernels::conv2d_weight_grad(shape, kernel_precision(), elements(x), elements(dy), result(dw));
  if (dw.dtype() != dtype) dw = no_grad([&] { return to(dw, dtype); });
  return record(
      "conv2d_weight_grad", std::move(dw),
      wrt(
          x,
          [dy = saved(dy), input = x.shape(), options](const Tensor& g) { return input_grad(dy(), g, input, options); },
          [&](const Tensor& t) { return weight_grad(t, dy, weight_shape, dtype, options); }),
      wrt(
          dy, [x = saved(x), options](const Tensor& g) { return forward(x(), g, {}, options); },
          [&](const Tensor& t) { return weight_grad(x, t, weight_shape, dtype, options); }));
}

}  // namespace

Tensor conv2d(const Tensor& x, const Tensor& w, const Tensor& b, const Conv2dOptions& options, Here here) {
  const CallSite site(here);
  check_defined("conv2d", "x", x);
  check_defined("conv2d", "w", w);
  if (is_autocast_enabled() && is_f32_or_bf16(x, w, b)) return forward(to(x, bf16), w, b, options);
  check_dtypes("conv2d", x, w);
  if (b.defined()) check_same_dtype("conv2d", x, b);
  return forward(x, w, b, options);
}

Tensor conv2d_input_grad(const Tensor& dy, const Tensor& w, const Shape& input_shape, const Conv2dOptions& options,
                         Here here) {
  const CallSite site(here);
  check_dtypes("conv2d_input_grad", dy, w);
  return input_grad(dy, w, input_shape, options);
}

Tensor conv2d_weight_grad(const Tensor& x, const Tensor& dy, const Shape& weight_shape, const Conv2dOptions& options,
                          Here here) {
  const CallSite site(here);
  check_dtypes("conv2d_weight_grad", x, dy);
  return weight_grad(x, dy, weight_shape, x.dtype(), options);
}

}  // namespace tapestry
