#include <tapestry/ops/pool2d.h>

#include <algorithm>
#include <cstdint>
#include <limits>
#include <memory>

#include <tapestry/autograd/base/check.h>
#include <tapestry/autograd/base/extent.h>
#include <tapestry/autograd/memory/scratch.h>
#include <tapestry/autograd/record.h>
#include <tapestry/ops/detail/common.h>
#include <tapestry/ops/kernels/pool2d.h>

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

Tensor max_over(const char* op, const Tensor& x, Plan windows) {
  const auto plan = std::make_shared<const Plan>(std::move(windows));
  Tensor y = empty(plan->output, x.dtype());
  Tensor tap;
  if (is_grad_enabled() && x.requires_grad())
    tap = empty(y.shape(), plan->kernel.h * plan->kernel.w <= kByteTaps ? u8 : i32);
  visit_any_float(x.dtype(), [&]<class T>() {
    visit_taps(tap.defined() ? tap.dtype() : u8, [&]<class Tap>() {
      kernels::max_pool2d<T, Tap>(plan->shape(), x.data<T>(), y.mutable_data<T>(),
                                  tap.defined() ? tap.mutable_data<Tap>() : nullptr);
    });
  });
  return record(op, std::move(y),
                wrt(
                    x, [tap = saved(tap), plan](const Tensor& dy) { return max_scatter(dy, tap(), plan); },
                    [&](const Tensor& t) { return max_gather(t, tap, plan); }));
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

}  // namespace

Tensor max_pool2d(const Tensor& x, const MaxPool2dOptions& options, Here here) {
  const CallSite site(here);
  check_input("max_pool2d", x);
  return max_over("max_pool2d", x,
                  plan_windows("max_pool2d", x.shape(),
                               {options.kernel, options.stride.value_or(options.kernel), options.padding,
                                options.dilation, options.ceil_mode}));
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

Tensor adaptive_avg_pool2d(const Tensor& x, const Pair2& output, Here here) {
  const CallSite site(here);
  return avg_over("adaptive_avg_pool2d", x, std::make_shared<const Plan>(plan_bins("adaptive_avg_pool2d", x, output)));
}

Tensor global_avg_pool2d(const Tensor& x, Here here) {
  const CallSite site(here);
  return avg_over("global_avg_pool2d", x, std::make_shared<const Plan>(plan_bins("global_avg_pool2d", x, 1)));
}

}  // namespace tapestry
