#include <tapestry/ops/pool2d.h>

#include <algorithm>
#include <cmath>
#include <cstdint>
#include <limits>
#include <memory>

#include <tapestry/autograd/base/check.h>
#include <tapestry/autograd/base/extent.h>
#include <tapestry/autograd/memory/scratch.h>
#include <tapestry/autograd/record.h>
#include <tapestry/ops/binary.h>
#include <tapestry/ops/cast.h>
#include <tapestry/ops/compare.h>
#include <tapestry/ops/detail/common.h>
#include <tapestry/ops/index.h>
#include <tapestry/ops/kernels/find.h>
#include <tapestry/ops/kernels/pool2d.h>
#include <tapestry/ops/kernels/unpool2d.h>
#include <tapestry/ops/shape_ops.h>
#include <tapestry/ops/unary.h>

namespace tapestry {
namespace {

using kernels::Pool2dShape;
using kernels::PoolWindow;

constexpr Index kByteTaps = 256;  // taps that a byte can number
constexpr Index kLastTap = std::numeric_limits<std::int32_t>::max();

using Windows = CountedVector<PoolWindow>;  // of one axis

/// Windows of both axes, and the extents they lead from and to. Rules share one.
struct Plan {
  Shape input, output;
  Windows rows, columns;
  Pair2 kernel = 1, dilation = 1;

  [[nodiscard]] Pool2dShape shape() const {
    return {.n = input[0],
            .h = input[1],
            .w = input[2],
            .c = input[3],
            .oh = output[1],
            .ow = output[2],
            .rows = rows.data(),
            .columns = columns.data(),
            .dilation_h = dilation.h,
            .dilation_w = dilation.w,
            .kernel_w = kernel.w};
  }
};
using SharedPlan = std::shared_ptr<const Plan>;

// --- checks

void check_input(const char* op, const Tensor& x) {
  check_any_float(op, x);
  check_image(op, x.shape());
  if (x.shape()[1] == 0 || x.shape()[2] == 0) throw_invalid("{}: the input must have a pixel; got {}", op, x.shape());
}

void check_option(const char* op, const char* what, const Pair2& value, Index least) {
  if (value.h < least || value.w < least) {
    throw_invalid("{}: {} must be at least {}; got {{{}, {}}}", op, what, least, value.h, value.w);
  }
}

/// Windows number their taps with 32 bits at most.
void check_taps(const char* op, const Pair2& kernel) {
  if (kernel.h > kLastTap / kernel.w) {
    throw_invalid("{}: a window must have fewer than 2^31 taps; got {{{}, {}}}", op, kernel.h, kernel.w);
  }
}

/// What max and average pooling have in common.
struct Window {
  Pair2 kernel, stride, padding, dilation;
  bool ceil_mode;

  void check(const char* op) const {
    check_option(op, "kernel", kernel, 1);
    check_option(op, "stride", stride, 1);
    check_option(op, "dilation", dilation, 1);
    check_option(op, "padding", padding, 0);
    if (padding.h > kernel.h / 2 || padding.w > kernel.w / 2) {
      throw_invalid("{}: padding must be at most half the kernel, {{{}, {}}}; got {{{}, {}}}", op, kernel.h, kernel.w,
                    padding.h, padding.w);
    }
  }
};

// --- windows

/// One axis of sliding windows, none of whose positions is anywhere near what an Index can hold.
struct Axis {
  Index size, kernel, stride, padding, dilation;
  WindowSpan span;

  Axis(const char* op, Index size_of, Index kernel_of, Index stride_of, Index padding_of, Index dilation_of)
      : size(size_of),
        kernel(kernel_of),
        padding(padding_of),
        dilation(dilation_of),
        span(checked_span(op, size_of, kernel_of, padding_of, dilation_of)) {
    stride = std::min(stride_of, span.padded + span.reach);  // a longer one leads to no second window either
  }

  [[nodiscard]] Index output_extent(bool ceil_mode) const {
    const Index room = span.padded - span.reach;  // how far the first window can move
    if (!ceil_mode) return room < 0 ? 0 : room / stride + 1;
    if (room <= -stride) return 0;
    const Index out = divide_up(std::max<Index>(room, 0), stride) + 1;
    return (out - 1) * stride >= size + padding ? out - 1 : out;
  }
};

/// One window along an axis that begins at `from` and has `kernel` taps, cut to the input.
PoolWindow cut(Index from, Index kernel, Index dilation, Index size) {
  const Index first = from < 0 ? std::min(kernel, divide_up(-from, dilation)) : 0;
  const Index end = std::min(from + (kernel - 1) * dilation + 1, size);
  const Index begin = from + first * dilation;
  return {.begin = begin, .end = std::max(begin, end), .first = first, .count = 1};
}

/// Room for the windows of `out` outputs, or OutOfMemory before any is computed.
Windows room_for(Index out) {
  Windows axis;
  axis.reserve(static_cast<std::size_t>(out));
  return axis;
}

Windows windows(const Axis& a, Index out) {
  Windows axis = room_for(out);
  for (Index i = 0; i < out; ++i) axis.push_back(cut(i * a.stride - a.padding, a.kernel, a.dilation, a.size));
  return axis;
}

Windows bins(Index size, Index out) {
  Windows axis = room_for(out);
  for (Index i = 0; i < out; ++i) {
    const Index begin = i * size / out, end = divide_up((i + 1) * size, out);
    axis.push_back({.begin = begin, .end = end, .first = 0, .count = end - begin});
  }
  return axis;
}

Plan plan_windows(const char* op, const Shape& x, const Window& o) {
  o.check(op);
  const Axis h(op, x[1], o.kernel.h, o.stride.h, o.padding.h, o.dilation.h);
  const Axis w(op, x[2], o.kernel.w, o.stride.w, o.padding.w, o.dilation.w);
  check_taps(op, o.kernel);
  const Index oh = h.output_extent(o.ceil_mode), ow = w.output_extent(o.ceil_mode);
  if (oh < 1 || ow < 1) {
    throw_invalid("{}: the kernel must fit into the padded input; it spans {{{}, {}}}, the input {{{}, {}}}", op,
                  h.span.reach, w.span.reach, h.span.padded, w.span.padded);
  }
  return {.input = x,
          .output = {x[0], oh, ow, x[3]},
          .rows = windows(h, oh),
          .columns = windows(w, ow),
          .kernel = o.kernel,
          .dilation = o.dilation};
}

Plan plan_bins(const char* op, const Tensor& x, const Pair2& output) {
  check_input(op, x);
  check_option(op, "the output", output, 1);
  const Shape& s = x.shape();
  Plan plan{.input = s,
            .output = {s[0], output.h, output.w, s[3]},
            .rows = bins(s[1], output.h),
            .columns = bins(s[2], output.w)};
  const auto largest = [](const Windows& axis) {
    Index count = 0;
    for (const PoolWindow& bin : axis) count = std::max(count, bin.count);
    return count;
  };
  plan.kernel = {largest(plan.rows), largest(plan.columns)};
  return plan;
}

// --- max

/// Calls f.operator()<Tap>() with the type that stores tap numbers as `dtype`.
template <class F>
void visit_taps(Dtype dtype, const F& f) {
  if (dtype == u8) f.template operator()<std::uint8_t>();
  else f.template operator()<std::int32_t>();
}

Tensor max_scatter(const Tensor& dy, const Tensor& tap, const SharedPlan& plan);

/// x at the taps chosen: what a max-pooling is once the choice is made. Linear, the transpose of max_scatter.
Tensor max_gather(const Tensor& x, const Tensor& tap, const SharedPlan& plan) {
  Tensor y = empty(plan->output, x.dtype());
  visit_any_float(x.dtype(), [&]<class T>() {
    visit_taps(tap.dtype(), [&]<class Tap>() {
      kernels::max_pool2d_gather<T, Tap>(plan->shape(), x.data<T>(), tap.data<Tap>(), y.mutable_data<T>());
    });
  });
  return record("max_pool2d_gather", std::move(y),
                wrt(
                    x, [tap = saved(tap), plan](const Tensor& dy) { return max_scatter(dy, tap(), plan); },
                    [&](const Tensor& t) { return max_gather(t, tap, plan); }));
}

/// dy put where the maxima stood, and summed where windows overlap. Linear, the transpose of max_gather.
Tensor max_scatter(const Tensor& dy, const Tensor& tap, const SharedPlan& plan) {
  Tensor dx = empty(plan->input, dy.dtype());
  visit_any_float(dy.dtype(), [&]<class T>() {
    visit_taps(tap.dtype(), [&]<class Tap>() {
      kernels::max_pool2d_scatter<T, Tap>(plan->shape(), dy.data<T>(), tap.data<Tap>(), dx.mutable_data<T>());
    });
  });
  return record("max_pool2d_scatter", std::move(dx),
                wrt(
                    dy, [tap = saved(tap), plan](const Tensor& g) { return max_gather(g, tap(), plan); },
                    [&](const Tensor& t) { return max_scatter(t, tap, plan); }));
}

/// Maxima, and the numbers of their taps where somebody wants them.
struct MaxPooled {
  Tensor values, taps;
};

MaxPooled max_over(const char* op, const Tensor& x, const SharedPlan& plan, bool taps_wanted) {
  Tensor y = empty(plan->output, x.dtype());
  Tensor tap;
  if (taps_wanted || (is_grad_enabled() && x.requires_grad()))
    tap = empty(y.shape(), plan->kernel.h * plan->kernel.w <= kByteTaps ? u8 : i32);
  visit_any_float(x.dtype(), [&]<class T>() {
    visit_taps(tap.defined() ? tap.dtype() : u8, [&]<class Tap>() {
      kernels::max_pool2d<T, Tap>(plan->shape(), x.data<T>(), y.mutable_data<T>(),
                                  tap.defined() ? tap.mutable_data<Tap>() : nullptr);
    });
  });
  y = record(op, std::move(y),
             wrt(
                 x, [tap = saved(tap), plan](const Tensor& dy) { return max_scatter(dy, tap(), plan); },
                 [&](const Tensor& t) { return max_gather(t, tap, plan); }));
  return {y, tap};
}

Tensor max_over(const char* op, const Tensor& x, Plan windows) {
  return max_over(op, x, std::make_shared<const Plan>(std::move(windows)), false).values;
}

Plan plan_max(const char* op, const Shape& x, const MaxPool2dOptions& o) {
  return plan_windows(op, x, {o.kernel, o.stride.value_or(o.kernel), o.padding, o.dilation, o.ceil_mode});
}

// --- average

Tensor avg_spread(const Tensor& dy, const SharedPlan& plan);

Tensor avg_over(const char* op, const Tensor& x, const SharedPlan& plan) {
  Tensor y = empty(plan->output, x.dtype());
  visit_any_float(x.dtype(),
                  [&]<class T>() { kernels::avg_pool2d<T>(plan->shape(), x.data<T>(), y.mutable_data<T>()); });
  return record(op, std::move(y),
                wrt(
                    x, [plan](const Tensor& dy) { return avg_spread(dy, plan); },
                    [&](const Tensor& t) { return avg_over("avg_pool2d", t, plan); }));
}

/// dy shared out over its windows: the transpose of averaging, whose own transpose is averaging.
Tensor avg_spread(const Tensor& dy, const SharedPlan& plan) {
  Tensor dx = empty(plan->input, dy.dtype());
  visit_any_float(dy.dtype(),
                  [&]<class T>() { kernels::avg_pool2d_grad<T>(plan->shape(), dy.data<T>(), dx.mutable_data<T>()); });
  return record("avg_pool2d_grad", std::move(dx),
                wrt(
                    dy, [plan](const Tensor& g) { return avg_over("avg_pool2d", g, plan); },
                    [&](const Tensor& t) { return avg_spread(t, plan); }));
}

/// Cells of a window that a plain average counts: those of the input, or those of the padded input.
void count_cells(Windows& axis, Index size, Index kernel, Index stride, Index padding, bool with_padding) {
  Index from = -padding;
  for (std::size_t i = 0; i < axis.size(); ++i) {
    if (i > 0) from += stride;
    axis[i].count = with_padding ? std::min(from + kernel, size + padding) - from : axis[i].end - axis[i].begin;
  }
}

/// The image that a pooling to [., Ho, Wo, .] came from.
Pair2 unpooled_size(const Shape& x, const MaxUnpool2dOptions& o) {
  constexpr const char* op = "max_unpool2d";
  const Pair2 stride = o.stride.value_or(o.kernel);
  check_option(op, "kernel", o.kernel, 1);
  check_option(op, "stride", stride, 1);
  check_option(op, "padding", o.padding, 0);
  const auto extent = [](Index pooled, Index kernel, Index step, Index padding) {
    const Index span = checked_sum(op, checked_product(op, pooled - 1, step), kernel);
    return checked_sum(op, span, -checked_product(op, 2, padding));
  };
  const Pair2 usual{extent(x[1], o.kernel.h, stride.h, o.padding.h), extent(x[2], o.kernel.w, stride.w, o.padding.w)};
  const Pair2 size = o.output_size.value_or(usual);
  if (size.h < 1 || size.w < 1) {
    throw_invalid("{}: the output must have a pixel; it would be {{{}, {}}}", op, size.h, size.w);
  }
  const auto is_near = [](Index asked, Index by_formula, Index step) {
    return asked > by_formula - step && asked < by_formula + step;
  };
  if (!is_near(size.h, usual.h, stride.h) || !is_near(size.w, usual.w, stride.w)) {
    throw_invalid("{}: output_size must be less than a stride from {{{}, {}}}; got {{{}, {}}}", op, usual.h, usual.w,
                  size.h, size.w);
  }
  return size;
}

}  // namespace

Tensor max_pool2d(const Tensor& x, const MaxPool2dOptions& options, Here here) {
  const CallSite site(here);
  check_input("max_pool2d", x);
  return max_over("max_pool2d", x, plan_max("max_pool2d", x.shape(), options));
}

PooledWithIndices max_pool2d_with_indices(const Tensor& x, const MaxPool2dOptions& options, Here here) {
  constexpr const char* op = "max_pool2d_with_indices";
  const CallSite site(here);
  check_input(op, x);
  const auto plan = std::make_shared<const Plan>(plan_max(op, x.shape(), options));
  const MaxPooled pooled = max_over("max_pool2d", x, plan, true);
  Tensor indices = empty(plan->output, i64);
  visit_taps(pooled.taps.dtype(), [&]<class Tap>() {
    kernels::pooled_places(plan->shape(), pooled.taps.data<Tap>(), indices.mutable_data<std::int64_t>());
  });
  return {pooled.values, indices};
}

Tensor max_unpool2d(const Tensor& x, const Tensor& indices, const MaxUnpool2dOptions& options, Here here) {
  constexpr const char* op = "max_unpool2d";
  const CallSite site(here);
  check_any_float(op, x);
  check_defined(op, "indices", indices);
  check_image(op, x.shape());
  if (indices.dtype() != i64 && indices.dtype() != i32) {
    throw_invalid("{}: the indices must be i64 or i32; got {}", op, indices.dtype());
  }
  check_shape(op, "the indices", indices, x.shape());
  const Shape& s = x.shape();
  const Pair2 size = unpooled_size(s, options);
  const Index pixels = checked_product(op, size.h, size.w);
  const Shape lines{s[0], pixels, s[3]};
  const Tensor at = no_grad([&] { return to(indices, i64); });
  const auto* const places = at.data<std::int64_t>();
  const Index wrong = kernels::first_outside(places, at.numel(), std::int64_t{0}, pixels - 1);
  if (wrong < at.numel()) {
    throw_out_of_range("{}: an index must be in [0, {}); got {} at position {}", op, pixels, places[wrong], wrong);
  }
  const Shape image{s[0], size.h, size.w, s[3]};
  if (x.numel() == 0) return zeros(image, {.dtype = x.dtype()});
  // Which element of x stands where in y: what several were given to has the last of them, and only once.
  Tensor source = empty(lines, i64), is_set = empty(lines, boolean);
  kernels::unpooled_sources(s[0], s[1] * s[2], pixels, s[3], places, source.mutable_data<std::int64_t>(),
                            is_set.mutable_data<bool>());
  const Tensor moved = gather(reshape(x, Shape{s[0], s[1] * s[2], s[3]}), source, {.dim = 1});
  return reshape(where(is_set, moved, 0.0), image);
}

Tensor global_max_pool2d(const Tensor& x, Here here) {
  constexpr const char* op = "global_max_pool2d";
  const CallSite site(here);
  Plan plan = plan_bins(op, x, 1);
  check_taps(op, plan.kernel);
  return max_over(op, x, std::move(plan));
}

Tensor adaptive_max_pool2d(const Tensor& x, const Pair2& output, Here here) {
  const CallSite site(here);
  Plan plan = plan_bins("adaptive_max_pool2d", x, output);
  check_taps("adaptive_max_pool2d", plan.kernel);
  return max_over("adaptive_max_pool2d", x, std::move(plan));
}

Tensor avg_pool2d(const Tensor& x, const AvgPool2dOptions& options, Here here) {
  const CallSite site(here);
  check_input("avg_pool2d", x);
  const Pair2 kernel = options.kernel, stride = options.stride.value_or(kernel), padding = options.padding;
  if (options.divisor_override == 0) throw_invalid("avg_pool2d: divisor_override must not be 0; got 0");
  Plan plan = plan_windows("avg_pool2d", x.shape(), {kernel, stride, padding, 1, options.ceil_mode});
  if (options.divisor_override) {
    for (PoolWindow& row : plan.rows) row.count = *options.divisor_override;
  } else {
    count_cells(plan.rows, x.shape()[1], kernel.h, stride.h, padding.h, options.count_include_pad);
    count_cells(plan.columns, x.shape()[2], kernel.w, stride.w, padding.w, options.count_include_pad);
  }
  return avg_over("avg_pool2d", x, std::make_shared<const Plan>(std::move(plan)));
}

Tensor lp_pool2d(const Tensor& x, const LpPool2dOptions& options, Here here) {
  constexpr const char* op = "lp_pool2d";
  const CallSite site(here);
  check_input(op, x);
  const double p = options.norm_type;
  if (!(p >= 1 && std::isfinite(p))) throw_invalid("{}: norm_type must be at least 1 and finite; got {}", op, p);
  const Pair2 stride = options.stride.value_or(options.kernel);
  static_cast<void>(plan_windows(op, x.shape(), {options.kernel, stride, 0, 1, options.ceil_mode}));
  const Tensor sums =
      avg_pool2d(p == 1 ? x : pow(x, p),
                 {.kernel = options.kernel, .stride = stride, .ceil_mode = options.ceil_mode, .divisor_override = 1});
  if (p == 1) return sums;
  // Where the root has no slope, a constant takes the place of the sum.
  const Tensor is_zero = eq(detail::without_history(sums), 0);
  return where(is_zero, 0.0, pow(where(is_zero, 1.0, sums), 1 / p));
}

Tensor adaptive_avg_pool2d(const Tensor& x, const Pair2& output, Here here) {
  const CallSite site(here);
  return avg_over("adaptive_avg_pool2d", x, std::make_shared<const Plan>(plan_bins("adaptive_avg_pool2d", x, output)));
}

Tensor global_avg_pool2d(const Tensor& x, Here here) {
  const CallSite site(here);
  return avg_over("global_avg_pool2d", x, std::make_shared<const Plan>(plan_bins("global_avg_pool2d", x, 1)));
}

}  // namespace tapestry
