#include <tapestry/ops/reduce.h>

#include <algorithm>
#include <cmath>
#include <limits>

#include <tapestry/autograd/base/check.h>
#include <tapestry/autograd/record.h>
#include <tapestry/ops/binary.h>
#include <tapestry/ops/broadcast.h>
#include <tapestry/ops/cast.h>
#include <tapestry/ops/compare.h>
#include <tapestry/ops/detail/common.h>
#include <tapestry/ops/index.h>
#include <tapestry/ops/kernels/reduce.h>
#include <tapestry/ops/scan.h>
#include <tapestry/ops/shape_ops.h>
#include <tapestry/ops/unary.h>

namespace tapestry {
namespace {

/// What a reduction leaves: which dimensions go, the shape with extents of 1 in their place, and the final shape.
struct Plan {
  std::vector<bool> reduced;
  Shape kept;
  Shape result;
  Index count = 1;  ///< elements that become one

  Plan(const char* op, const Shape& shape, const Dims& dims, bool keepdim)
      : reduced(static_cast<std::size_t>(shape.rank()), dims.list().empty()) {
    for (const Index dim : dims.list()) {
      const Index d = normalize_dim(op, dim, shape.rank());
      if (shape.rank() == 0) continue;
      if (reduced[static_cast<std::size_t>(d)]) throw_invalid("{}: each dim must be named once; got {} twice", op, dim);
      reduced[static_cast<std::size_t>(d)] = true;
    }
    std::vector<Index> with_ones, without;
    for (Index d = 0; d < shape.rank(); ++d) {
      const bool gone = reduced[static_cast<std::size_t>(d)];
      with_ones.push_back(gone ? 1 : shape[d]);
      if (gone) count *= shape[d];
      else without.push_back(shape[d]);
    }
    kept = Shape(std::span<const Index>(with_ones));
    result = keepdim ? kept : Shape(std::span<const Index>(without));
  }

  /// f(begin, end) for groups of neighbouring dimensions to reduce, from the last on.
  template <class F>
  void for_groups(const F& f) const {
    for (auto end = static_cast<Index>(reduced.size()); end > 0;) {
      if (!reduced[static_cast<std::size_t>(end - 1)]) {
        --end;
        continue;
      }
      Index begin = end - 1;
      while (begin > 0 && reduced[static_cast<std::size_t>(begin - 1)]) --begin;
      f(begin, end);
      end = begin;
    }
  }
};

Shape with_ones(Shape shape, Index begin, Index end) {
  for (Index d = begin; d < end; ++d) shape = shape.with(d, 1);
  return shape;
}

/// factor * sum, in x's dtype, in the plan's final shape.
template <class T>
Tensor sum_float(const Tensor& x, const Plan& plan, double factor) {
  Tensor y = detail::without_history(x);
  bool first = true;
  plan.for_groups([&](Index begin, Index end) {
    Tensor partial = empty(with_ones(y.shape(), begin, end), x.dtype());
    kernels::reduce_sum(y.data<T>(), y.shape().numel(0, begin), y.shape().numel(begin, end),
                        y.shape().numel(end, y.dim()), first ? factor : 1.0, partial.template mutable_data<T>());
    y = partial;
    first = false;
  });
  if (first) {  // nothing to reduce: the factor alone
    Tensor scaled = empty(x.shape(), x.dtype());
    kernels::reduce_sum(x.data<T>(), x.numel(), 1, 1, factor, scaled.template mutable_data<T>());
    y = scaled;
  }
  return detail::alias(y, plan.result);
}

Tensor sum_of(const Tensor& x, const Plan& plan) {
  return visit_float(x.dtype(), [&]<class T>() { return sum_float<T>(x, plan, 1.0); });
}

Tensor sum_integer(const Tensor& x, const Plan& plan) {
  Tensor y = detail::without_history(x);
  bool first = true;
  const auto group = [&](Index begin, Index end) {
    Tensor partial = empty(with_ones(y.shape(), begin, end), i64);
    visit(y.dtype(), [&]<class T>() {
      if constexpr (std::is_integral_v<T>) {
        kernels::reduce_sum_integer(y.data<T>(), y.shape().numel(0, begin), y.shape().numel(begin, end),
                                    y.shape().numel(end, y.dim()), partial.mutable_data<std::int64_t>());
      }
    });
    y = partial;
    first = false;
  };
  plan.for_groups(group);
  if (first) y = to(y, i64);
  return detail::alias(y, plan.result);
}

Tensor extreme_values(const char* op, bool largest, const Tensor& x, const Plan& plan) {
  check_arithmetic(op, x.dtype());
  Tensor y = detail::without_history(x);
  plan.for_groups([&](Index begin, Index end) {
    const Index n = y.shape().numel(begin, end);
    if (n == 0 && y.shape().numel(0, begin) * y.shape().numel(end, y.dim()) > 0) {
      throw_invalid("{}: there must be an element to choose; got shape {}", op, x.shape());
    }
    Tensor partial = empty(with_ones(y.shape(), begin, end), x.dtype());
    visit(x.dtype(), [&]<class T>() {
      if constexpr (!std::is_same_v<T, BFloat16> && !std::is_same_v<T, bool>) {
        kernels::reduce_extreme(largest, y.data<T>(), y.shape().numel(0, begin), n, y.shape().numel(end, y.dim()),
                                partial.mutable_data<T>(), static_cast<std::int64_t*>(nullptr));
      }
    });
    y = partial;
  });
  return detail::alias(y, plan.result);
}

/// What each element of x has of the gradient of the best one: 1, or at ties an equal part.
Tensor shares(const Tensor& x, const Tensor& best, const Plan& plan) {
  return no_grad([&] {
    const Tensor at = reshape(best, plan.kept);
    const Tensor mine = to(logical_or(eq(x, at), logical_and(isnan(x), broadcast_to(isnan(at), x.shape()))), x.dtype());
    return mine / broadcast_to(reshape(sum_of(mine, plan), plan.kept), x.shape());
  });
}

Tensor extreme(const char* op, bool largest, const Tensor& given, const ReduceOptions& options) {
  const Tensor x = widened(given);
  const Plan plan(op, x.shape(), options.dim, options.keepdim);
  Tensor y = extreme_values(op, largest, x, plan);
  if (!is_grad_enabled() || !x.requires_grad()) {
    if (detail::call_state.watcher) [[unlikely]]
      detail::watch_op(op, y, {&x}, {});
    return y;
  }
  return record(op, std::move(y),
                wrt(
                    x,
                    [x = saved(x), plan](const Tensor& dy, const Tensor& best) {
                      const Tensor share = shares(x(), best, plan);
                      return broadcast_to(reshape(dy, plan.kept), share.shape()) * share;
                    },
                    [&](const Tensor& t, const Tensor& best) { return sum(t * shares(x, best, plan), options); }));
}

Tensor arg(const char* op, bool largest, const Tensor& given, const DimOptions& options) {
  const Tensor x = widened(given);
  check_arithmetic(op, x.dtype());
  const Index d = normalize_dim(op, options.dim, x.dim());
  const Shape shape = x.dim() == 0 ? Shape{1} : x.shape();
  const Index outer = shape.numel(0, d), n = shape[d], inner = shape.numel(d + 1, shape.rank());
  if (n == 0 && outer * inner > 0) throw_invalid("{}: there must be an element to choose; got shape {}", op, x.shape());
  Tensor y = empty(x.dim() == 0 ? Shape{} : options.keepdim ? shape.with(d, 1) : shape.without(d), i64);
  visit(x.dtype(), [&]<class T>() {
    if constexpr (!std::is_same_v<T, BFloat16> && !std::is_same_v<T, bool>) {
      kernels::reduce_extreme(largest, x.data<T>(), outer, n, inner, static_cast<T*>(nullptr),
                              y.mutable_data<std::int64_t>());
    }
  });
  return y;
}

ValuesAndIndices extreme_dim(const char* op, bool largest, const Tensor& given, const DimOptions& options) {
  const Tensor x = widened(given);
  if (x.dim() == 0) return {clone(x), arg(op, largest, x, options)};
  const Tensor indices = arg(op, largest, x, {.dim = options.dim, .keepdim = true});
  const Tensor values = gather(x, indices, {.dim = options.dim});
  if (options.keepdim) return {values, indices};
  const Shape shape = x.shape().without(normalize_dim(op, options.dim, x.dim()));
  return {reshape(values, shape), reshape(indices, shape)};
}

}  // namespace

Tensor sum(const Tensor& given, const ReduceOptions& options, Here here) {
  const CallSite site(here);
  const Tensor x = widened(given);
  const Plan plan("sum", x.shape(), options.dim, options.keepdim);
  if (!is_float(x.dtype())) return sum_integer(x, plan);
  Tensor y = sum_of(x, plan);
  return record(
      "sum", std::move(y),
      wrt(
          x,
          [kept = plan.kept](const Tensor& dy, const Shape& shape) { return broadcast_to(reshape(dy, kept), shape); },
          [&](const Tensor& t) { return sum(t, options); }));
}

Tensor prod(const Tensor& x, const ReduceOptions& options, Here here) {
  const CallSite site(here);
  check_defined("prod", "x", x);
  const Plan plan("prod", x.shape(), options.dim, options.keepdim);
  Tensor y = is_float(x.dtype()) ? widened(x) : to(x, i64);
  plan.for_groups([&](Index begin, Index end) {
    const Shape shape = y.shape(), after = with_ones(shape, begin, end);
    const Index n = shape.numel(begin, end);
    const Shape lines{shape.numel(0, begin), n, shape.numel(end, shape.rank())};
    // Over nothing 1, by way of the sum, which keeps x on the tape.
    const Tensor last = n == 0 ? sum(reshape(y, lines), {.dim = 1}) + 1
                               : select(cumprod(reshape(y, lines), {.dim = 1}), {.dim = 1, .index = n - 1});
    y = reshape(last, after);
  });
  return y.is_same(x) ? clone(x) : reshape(y, plan.result);
}

Tensor mean(const Tensor& given, const ReduceOptions& options, Here here) {
  const CallSite site(here);
  check_any_float("mean", given);
  const Tensor x = widened(given);
  const Plan plan("mean", x.shape(), options.dim, options.keepdim);
  const double factor =
      plan.count == 0 ? std::numeric_limits<double>::quiet_NaN() : 1.0 / static_cast<double>(plan.count);
  Tensor y = visit_float(x.dtype(), [&]<class T>() { return sum_float<T>(x, plan, factor); });
  return record("mean", std::move(y),
                wrt(
                    x,
                    [kept = plan.kept, factor](const Tensor& dy, const Shape& shape) {
                      return broadcast_to(reshape(factor * dy, kept), shape);
                    },
                    [&](const Tensor& t) { return mean(t, options); }));
}

Tensor var(const Tensor& given, const VarOptions& options, Here here) {
  const CallSite site(here);
  check_any_float("var", given);
  const Tensor x = widened(given);
  const Plan plan("var", x.shape(), options.dim, options.keepdim);
  const Tensor deviation = x - mean(x, {.dim = options.dim, .keepdim = true});
  const auto degrees = static_cast<double>(std::max<Index>(0, plan.count - options.correction));
  return sum(square(deviation), {.dim = options.dim, .keepdim = options.keepdim}) * (1.0 / degrees);
}

Tensor stddev(const Tensor& given, const VarOptions& options, Here here) {
  const CallSite site(here);
  check_any_float("stddev", given);
  const Tensor x = widened(given);
  const Tensor variance = var(x, options);
  const Tensor zero = eq(variance, 0);
  // The root's slope at 0 is infinite: a constant goes through another branch.
  return where(zero, 0.0, sqrt(where(zero, 1.0, variance)));
}

Tensor any(const Tensor& x, const ReduceOptions& options, Here here) {
  const CallSite site(here);
  check_bool("any", x);
  return gt(sum(x, options), 0);
}

Tensor all(const Tensor& x, const ReduceOptions& options, Here here) {
  const CallSite site(here);
  check_bool("all", x);
  return eq(sum(logical_not(x), options), 0);
}

Tensor amax(const Tensor& x, const ReduceOptions& options, Here here) {
  const CallSite site(here);
  return extreme("amax", true, x, options);
}

Tensor amin(const Tensor& x, const ReduceOptions& options, Here here) {
  const CallSite site(here);
  return extreme("amin", false, x, options);
}

Tensor max(const Tensor& x, Here here) {
  const CallSite site(here);
  return extreme("max", true, x, {});
}

Tensor min(const Tensor& x, Here here) {
  const CallSite site(here);
  return extreme("min", false, x, {});
}

ValuesAndIndices max_dim(const Tensor& x, const DimOptions& options, Here here) {
  const CallSite site(here);
  return extreme_dim("max_dim", true, x, options);
}

ValuesAndIndices min_dim(const Tensor& x, const DimOptions& options, Here here) {
  const CallSite site(here);
  return extreme_dim("min_dim", false, x, options);
}

ValuesAndIndices median_dim(const Tensor& given, const DimOptions& options, Here here) {
  const CallSite site(here);
  check_defined("median_dim", "x", given);
  check_arithmetic("median_dim", given.dtype());
  const Index d = normalize_dim("median_dim", options.dim, given.dim());
  const Tensor x = widened(given);
  if (x.dim() == 0) return {clone(x), zeros({}, {.dtype = i64})};
  const Index n = x.shape()[d];
  if (n == 0) {
    if (x.shape().without(d).numel() > 0)
      throw_invalid("median_dim: there must be an element to choose; got shape {}", x.shape());
    const Shape result = options.keepdim ? x.shape().with(d, 1) : x.shape().without(d);
    return {zeros(result, {.dtype = x.dtype()}), zeros(result, {.dtype = i64})};
  }
  const Sorted sorted = sort(x, {.dim = d});
  const Tensor at = no_grad([&] {
    const Tensor middle = full(x.shape().with(d, 1), (n - 1) / 2, {.dtype = i64});
    if (!is_float(x.dtype())) return middle;
    const Tensor nans = sum(isnan(x), {.dim = d, .keepdim = true});  // they stand last: the first of them
    return where(gt(nans, 0), n - nans, middle);
  });
  const Tensor values = gather(sorted.values, at, {.dim = d}), indices = gather(sorted.indices, at, {.dim = d});
  if (options.keepdim) return {values, indices};
  const Shape shape = x.shape().without(d);
  return {reshape(values, shape), reshape(indices, shape)};
}

Tensor median(const Tensor& x, Here here) {
  const CallSite site(here);
  check_defined("median", "x", x);
  check_arithmetic("median", x.dtype());
  if (x.numel() == 0) throw_invalid("median: there must be an element to choose; got shape {}", x.shape());
  return median_dim(reshape(x, {-1})).values;
}

Tensor argmax(const Tensor& x, const DimOptions& options, Here here) {
  const CallSite site(here);
  return arg("argmax", true, x, options);
}

Tensor argmin(const Tensor& x, const DimOptions& options, Here here) {
  const CallSite site(here);
  return arg("argmin", false, x, options);
}

Tensor logsumexp(const Tensor& given, const ReduceOptions& options, Here here) {
  const CallSite site(here);
  check_any_float("logsumexp", given);
  const Tensor x = widened(given);
  const Plan plan("logsumexp", x.shape(), options.dim, options.keepdim);
  if (plan.count == 0) return full(plan.result, -std::numeric_limits<double>::infinity(), {.dtype = x.dtype()});
  // The shift is a constant: it cancels in value and gradient. An infinite one would make inf - inf of its element.
  const Tensor shift = no_grad([&] {
    const Tensor largest = amax(x, {.dim = options.dim, .keepdim = true});
    return where(eq(abs(largest), std::numeric_limits<double>::infinity()), 0.0, largest);
  });
  return log(sum(exp(x - shift), {.dim = options.dim, .keepdim = options.keepdim})) + reshape(shift, plan.result);
}

namespace {
/// g x / |x|, for |x| = y; 0 where that is 0.
Tensor along_direction(const Tensor& g, const Tensor& x, const Tensor& y, const Plan& plan) {
  const Tensor at = reshape(y, plan.kept);
  const Tensor zero = eq(at, 0);
  return where(zero, 0.0, g * (x / where(zero, 1.0, at)));
}

Tensor euclidean(const Tensor& x, const Plan& plan, const ReduceOptions& options) {
  // f32 squares are added up in f64, and may exceed what f32 holds.
  const Tensor length = no_grad(
      [&] { return to(sqrt(sum(square(to(x, f64)), {.dim = options.dim, .keepdim = options.keepdim})), x.dtype()); });
  return record("norm", length,
                wrt(
                    x,
                    [x = saved(x), plan](const Tensor& dy, const Tensor& y) {
                      return along_direction(reshape(dy, plan.kept), x(), y, plan);
                    },
                    [&](const Tensor& t, const Tensor& y) { return sum(along_direction(t, x, y, plan), options); }));
}

/// (sum(|x|^p))^(1/p) for p > 0, of |x| by their largest, so that no power overflows.
Tensor p_norm(const Tensor& x, double p, const Plan& plan, const ReduceOptions& options) {
  if (p == 1 || plan.count == 0) return sum(abs(x), options);
  const Tensor unit = no_grad([&] {
    const Tensor largest = amax(abs(x), {.dim = options.dim, .keepdim = true});
    return where(logical_and(gt(largest, 0), isfinite(largest)), largest, 1.0);
  });
  // At 0 neither power has a slope that could be multiplied by: zeros go through other branches.
  const Tensor zero = eq(x, 0);
  const Tensor powers = where(zero, 0.0, pow(where(zero, 1.0, abs(x) / unit), p));
  const Tensor total = sum(powers, options);
  const Tensor nothing = eq(total, 0);
  return where(nothing, 0.0, reshape(unit, plan.result) * pow(where(nothing, 1.0, total), 1 / p));
}
}  // namespace

Tensor norm(const Tensor& given, const NormOptions& options, Here here) {
  const CallSite site(here);
  check_any_float("norm", given);
  const Tensor x = widened(given);
  const ReduceOptions dims{.dim = options.dim, .keepdim = options.keepdim};
  const Plan plan("norm", x.shape(), options.dim, options.keepdim);
  const double p = options.p;
  if (p == 2) return euclidean(x, plan, dims);
  if (std::isinf(p)) {
    if (plan.count == 0 && plan.result.numel() > 0) {
      throw_invalid("norm: with an infinite p there must be an element to choose; got shape {}", x.shape());
    }
    return p > 0 ? amax(abs(x), dims) : amin(abs(x), dims);
  }
  if (!(p >= 0)) throw_invalid("norm: .p must be 0 or more, or infinite; got {}", p);
  if (p == 0) return sum(where(ne(x, 0), 1.0, 0 * x), dims);
  return p_norm(x, p, plan, dims);
}

}  // namespace tapestry
