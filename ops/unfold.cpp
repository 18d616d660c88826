#include <tapestry/ops/unfold.h>

#include <algorithm>

#include <tapestry/autograd/base/check.h>
#include <tapestry/autograd/base/extent.h>
#include <tapestry/autograd/record.h>
#include <tapestry/ops/cast.h>
#include <tapestry/ops/detail/common.h>
#include <tapestry/ops/kernels/unfold.h>

namespace tapestry {
namespace {

void check_option(const char* op, const char* what, const Pair2& value, Index least) {
  if (value.h < least || value.w < least) {
    throw_invalid("{}: {} must be at least {}; got {{{}, {}}}", op, what, least, value.h, value.w);
  }
}

Index windows_along(const char* op, Index size, Index kernel, Index stride, Index padding, Index dilation) {
  const auto [reach, padded] = checked_span(op, size, kernel, padding, dilation);
  if (reach > padded) {
    throw_invalid("{}: the kernel must fit into the padded image; it spans {}, the image {}", op, reach, padded);
  }
  return (padded - reach) / stride + 1;
}

/// All extents for an image [N, H, W, C], checked.
kernels::UnfoldShape plan(const char* op, Index n, const Pair2& size, Index channels, const UnfoldOptions& o) {
  check_option(op, "the kernel", o.kernel, 1);
  check_option(op, "stride", o.stride, 1);
  check_option(op, "padding", o.padding, 0);
  check_option(op, "dilation", o.dilation, 1);
  return {.n = n,
          .h = size.h,
          .w = size.w,
          .c = channels,
          .oh = windows_along(op, size.h, o.kernel.h, o.stride.h, o.padding.h, o.dilation.h),
          .ow = windows_along(op, size.w, o.kernel.w, o.stride.w, o.padding.w, o.dilation.w),
          .r = o.kernel.h,
          .s = o.kernel.w,
          .stride_h = std::min(o.stride.h, kLongestSide),  // a longer one leads to no second window either
          .stride_w = std::min(o.stride.w, kLongestSide),
          .pad_top = o.padding.h,
          .pad_left = o.padding.w,
          .dilation_h = o.dilation.h,
          .dilation_w = o.dilation.w};
}

Index row_of(const char* op, const kernels::UnfoldShape& s) {
  return checked_product(op, checked_product(op, s.r, s.s), s.c);
}

}  // namespace

Tensor unfold(const Tensor& x, const UnfoldOptions& options, Here here) {
  const CallSite site(here);
  check_any_float("unfold", x);
  check_image("unfold", x.shape());
  const Pair2 size{x.size(1), x.size(2)};
  const kernels::UnfoldShape shape = plan("unfold", x.size(0), size, x.size(3), options);
  Tensor y = empty({shape.n, shape.oh, shape.ow, row_of("unfold", shape)}, x.dtype());
  kernels::unfold(shape, x.impl().bytes(), y.impl().bytes(), item_bytes(x.dtype()));
  return record("unfold", std::move(y),
                wrt(
                    x, [size, options](const Tensor& dy) { return fold(dy, size, options); },
                    [&](const Tensor& t) { return unfold(t, options); }));
}

Tensor fold(const Tensor& x, const Pair2& size, const UnfoldOptions& options, Here here) {
  const CallSite site(here);
  check_any_float("fold", x);
  if (x.dtype() == bf16) return to(fold(to(x, f32), size, options), bf16);
  if (x.dim() != 4) throw_invalid("fold: the windows must be [N, Ho, Wo, R S C]; got {}", x.shape());
  check_option("fold", "the size", size, 1);
  kernels::UnfoldShape shape = plan("fold", x.size(0), size, 1, options);
  const Index taps = row_of("fold", shape);
  shape.c = x.size(3) / taps;
  const Shape expected{shape.n, shape.oh, shape.ow, taps * shape.c};
  if (x.shape() != expected) {
    throw_invalid("fold: the windows of an image of {{{}, {}}} must be [N, {}, {}, {} C]; got {}", size.h, size.w,
                  shape.oh, shape.ow, taps, x.shape());
  }
  Tensor y = empty({shape.n, size.h, size.w, shape.c}, x.dtype());
  visit_float(x.dtype(), [&]<class T>() { kernels::fold(shape, x.data<T>(), y.mutable_data<T>()); });
  return record("fold", std::move(y),
                wrt(
                    x, [options](const Tensor& dy) { return unfold(dy, options); },
                    [&](const Tensor& t) { return fold(t, size, options); }));
}

}  // namespace tapestry
