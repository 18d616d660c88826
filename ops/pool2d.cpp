#include <tapestry/ops/pool2d.h>

#include <vector>

#include <tapestry/autograd/check.h>
#include <tapestry/autograd/record.h>
#include <tapestry/ops/binary.h>
#include <tapestry/ops/common.h>
#include <tapestry/ops/kernels/pool2d.h>

namespace tapestry {
namespace {

using kernels::AvgPool2dShape;
using kernels::MaxPool2dShape;
using kernels::PoolWindow;

void check_image(const char* op, const Tensor& x) {
  check_float(op, x);
  if (x.dim() != 4) {
    throw_invalid("{}: the input must be [N, H, W, C]; got {}, reshape one image to [1, H, W, C]", op, x.shape());
  }
}

void check_option(const char* op, const char* what, const Pair2& value, Index least) {
  if (value.h < least || value.w < least) {
    throw_invalid("{}: {} must be at least {}; got {{{}, {}}}", op, what, least, value.h, value.w);
  }
}

Index output_extent(const char* op, Index size, Index kernel, Index stride, Index padding, Index dilation, bool ceil_mode) {
  if (2 * padding > kernel) throw_invalid("{}: padding must be at most half the kernel, {}; got {}", op, kernel, padding);
  const Index room = size + 2 * padding - dilation * (kernel - 1) - 1;
  // rounded down also where room is negative
  Index out = (room >= 0 ? (room + (ceil_mode ? stride - 1 : 0)) / stride : -1) + 1;
  if (ceil_mode && room < 0 && room > -stride) out = 1;
  if (ceil_mode && (out - 1) * stride >= size + padding) --out;
  if (out < 1) throw_invalid("{}: the output must have a pixel; an extent of {} with kernel {} leaves none", op, size, kernel);
  return out;
}

// --- max --------------------------------------------------------------------------------------------------------------

Tensor max_scatter(const Tensor& dy, const Tensor& tap, const MaxPool2dShape& shape);

/// x at the taps chosen: what max_pool2d is once the choice is made. Linear, the transpose of max_scatter.
Tensor max_gather(const Tensor& x, const Tensor& tap, const MaxPool2dShape& shape) {
  Tensor y = empty({shape.n, shape.oh, shape.ow, shape.c}, x.dtype());
  visit_float(x.dtype(), [&]<class T>() {
    kernels::max_pool2d_gather<T>(shape, x.data<T>(), tap.data<std::uint8_t>(), y.mutable_data<T>());
  });
  return record("max_pool2d_gather", std::move(y),
                wrt(x, [tap = saved(tap), shape](const Tensor& dy) { return max_scatter(dy, tap(), shape); }));
}

Tensor max_scatter(const Tensor& dy, const Tensor& tap, const MaxPool2dShape& shape) {
  Tensor dx = empty({shape.n, shape.h, shape.w, shape.c}, dy.dtype());
  visit_float(dy.dtype(), [&]<class T>() {
    kernels::max_pool2d_scatter<T>(shape, dy.data<T>(), tap.data<std::uint8_t>(), dx.mutable_data<T>());
  });
  return record("max_pool2d_scatter", std::move(dx),
                wrt(dy, [tap = saved(tap), shape](const Tensor& g) { return max_gather(g, tap(), shape); }));
}

// --- average ----------------------------------------------------------------------------------------------------------

/// Windows of both axes, and the extents they lead from and to.
struct AvgPlan {
  Shape input, output;
  std::vector<PoolWindow> rows, columns;

  [[nodiscard]] AvgPool2dShape shape() const {
    return {input[0], input[1], input[2], input[3], output[1], output[2], rows.data(), columns.data()};
  }
};

Tensor avg_scatter(const Tensor& dy, const AvgPlan& plan);

Tensor avg_gather(const char* name, const Tensor& x, const AvgPlan& plan) {
  Tensor y = empty(plan.output, x.dtype());
  visit_float(x.dtype(), [&]<class T>() { kernels::avg_pool2d<T>(plan.shape(), x.data<T>(), y.mutable_data<T>()); });
  return record(name, std::move(y), wrt(x, [plan](const Tensor& dy) { return avg_scatter(dy, plan); }));
}

Tensor avg_scatter(const Tensor& dy, const AvgPlan& plan) {
  Tensor dx = empty(plan.input, dy.dtype());
  visit_float(dy.dtype(), [&]<class T>() {
    kernels::avg_pool2d_grad<T>(plan.shape(), dy.data<T>(), dx.mutable_data<T>());
  });
  return record("avg_pool2d_grad", std::move(dx),
                wrt(dy, [plan](const Tensor& g) { return avg_gather("avg_pool2d", g, plan); }));
}

std::vector<PoolWindow> windows(Index size, Index out, Index kernel, Index stride, Index padding, bool include_pad) {
  std::vector<PoolWindow> axis;
  for (Index i = 0; i < out; ++i) {
    const Index from = i * stride - padding;
    const Index padded_end = std::min(from + kernel, size + padding);
    const Index begin = std::max<Index>(from, 0), end = std::min(padded_end, size);
    axis.push_back({begin, end, include_pad ? padded_end - from : end - begin});
  }
  return axis;
}

std::vector<PoolWindow> adaptive_windows(Index size, Index out) {
  std::vector<PoolWindow> axis;
  for (Index i = 0; i < out; ++i) {
    const Index begin = i * size / out, end = ((i + 1) * size + out - 1) / out;
    axis.push_back({begin, end, end - begin});
  }
  return axis;
}

}  // namespace

Tensor max_pool2d(const Tensor& x, const MaxPool2dOptions& options, Here here) {
  const CallSite site(here);
  constexpr const char* op = "max_pool2d";
  check_image(op, x);
  const Pair2 stride = options.stride.value_or(options.kernel);
  check_option(op, "kernel", options.kernel, 1);
  check_option(op, "stride", stride, 1);
  check_option(op, "dilation", options.dilation, 1);
  check_option(op, "padding", options.padding, 0);
  if (options.kernel.h * options.kernel.w > 256) {
    throw_invalid("{}: the kernel must have at most 256 taps; got {{{}, {}}}", op, options.kernel.h, options.kernel.w);
  }
  MaxPool2dShape shape{.n = x.shape()[0], .h = x.shape()[1], .w = x.shape()[2], .c = x.shape()[3], .oh = 0, .ow = 0,
                       .kernel_h = options.kernel.h, .kernel_w = options.kernel.w, .stride_h = stride.h,
                       .stride_w = stride.w, .pad_h = options.padding.h, .pad_w = options.padding.w,
                       .dilation_h = options.dilation.h, .dilation_w = options.dilation.w};
  shape.oh = output_extent(op, shape.h, shape.kernel_h, stride.h, shape.pad_h, shape.dilation_h, options.ceil_mode);
  shape.ow = output_extent(op, shape.w, shape.kernel_w, stride.w, shape.pad_w, shape.dilation_w, options.ceil_mode);
  Tensor y = empty({shape.n, shape.oh, shape.ow, shape.c}, x.dtype());
  Tensor tap = empty(y.shape(), u8);
  visit_float(x.dtype(), [&]<class T>() {
    kernels::max_pool2d<T>(shape, x.data<T>(), y.mutable_data<T>(), tap.mutable_data<std::uint8_t>());
  });
  return record(op, std::move(y), wrt(x, [tap = saved(tap), shape](const Tensor& dy) { return max_scatter(dy, tap(), shape); }));
}

Tensor avg_pool2d(const Tensor& x, const AvgPool2dOptions& options, Here here) {
  const CallSite site(here);
  constexpr const char* op = "avg_pool2d";
  check_image(op, x);
  const Pair2 stride = options.stride.value_or(options.kernel);
  check_option(op, "kernel", options.kernel, 1);
  check_option(op, "stride", stride, 1);
  check_option(op, "padding", options.padding, 0);
  if (options.divisor_override == 0) throw_invalid("{}: divisor_override must not be 0", op);
  const Shape& s = x.shape();
  const Index oh = output_extent(op, s[1], options.kernel.h, stride.h, options.padding.h, 1, options.ceil_mode);
  const Index ow = output_extent(op, s[2], options.kernel.w, stride.w, options.padding.w, 1, options.ceil_mode);
  AvgPlan plan{s, {s[0], oh, ow, s[3]},
               windows(s[1], oh, options.kernel.h, stride.h, options.padding.h, options.count_include_pad),
               windows(s[2], ow, options.kernel.w, stride.w, options.padding.w, options.count_include_pad)};
  if (options.divisor_override) {
    for (PoolWindow& row : plan.rows) row.count = *options.divisor_override;
    for (PoolWindow& column : plan.columns) column.count = 1;
  }
  return avg_gather(op, x, plan);
}

Tensor adaptive_avg_pool2d(const Tensor& x, const Pair2& output, Here here) {
  const CallSite site(here);
  constexpr const char* op = "adaptive_avg_pool2d";
  check_image(op, x);
  check_option(op, "the output", output, 1);
  const Shape& s = x.shape();
  if (s[1] == 0 || s[2] == 0) throw_invalid("{}: the input must have a pixel; got {}", op, s);
  return avg_gather(op, x, {s, {s[0], output.h, output.w, s[3]}, adaptive_windows(s[1], output.h),
                            adaptive_windows(s[2], output.w)});
}

Tensor global_avg_pool2d(const Tensor& x, Here here) {
  const CallSite site(here);
  return adaptive_avg_pool2d(x, 1);
}

}  // namespace tapestry
