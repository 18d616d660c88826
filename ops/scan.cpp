#include <tapestry/ops/scan.h>

#include <vector>

#include <tapestry/autograd/base/check.h>
#include <tapestry/autograd/record.h>
#include <tapestry/ops/binary.h>
#include <tapestry/ops/cast.h>
#include <tapestry/ops/detail/common.h>
#include <tapestry/ops/kernels/scan.h>
#include <tapestry/ops/shape_ops.h>

namespace tapestry {
namespace {

kernels::Scan along(const Shape& shape, Index d, bool reverse) {
  if (shape.rank() == 0) return {1, 1, 1, reverse};
  return {shape.numel(0, d), shape[d], shape.numel(d + 1, shape.rank()), reverse};
}

/// x as it is added up: bf16 as f32, integers and bool as i64.
Tensor summable(const Tensor& x) { return is_float(x.dtype()) ? widened(x) : to(x, i64); }

/// Calls f.operator()<T>() for the types in which things are added up.
template <class F>
void visit_summable(Dtype dtype, const F& f) {
  if (dtype == f32) f.template operator()<float>();
  else if (dtype == f64) f.template operator()<double>();
  else f.template operator()<std::int64_t>();
}

Tensor cumsum_along(const Tensor& x, Index d, bool reverse) {
  Tensor y = empty(x.shape(), x.dtype());
  visit_summable(x.dtype(), [&]<class T>() {
    kernels::cumulative_sum(along(x.shape(), d, reverse), x.data<T>(), y.mutable_data<T>());
  });
  if (!is_float(x.dtype())) return y;
  return record("cumsum", std::move(y),
                wrt(
                    x, [d, reverse](const Tensor& dy) { return cumsum_along(dy, d, !reverse); },
                    [&](const Tensor& t) { return cumsum_along(t, d, reverse); }));
}

/// y[k] = x[k - by], 0 where there is none; by is 1 or -1.
Tensor shifted(const Tensor& x, Index d, Index by) {
  if (x.dim() == 0) return zeros_like(x);
  std::vector<std::pair<Index, Index>> widths(static_cast<std::size_t>(d + 1));
  if (x.shape()[d] > 0) widths.back() = {by, -by};
  return pad(x, widths);
}

/// linear_recurrence of checked arguments, of integers too.
Tensor recurrence(const Tensor& a, const Tensor& b, Index d, bool reverse) {
  Tensor h = empty(a.shape(), a.dtype());
  visit_summable(a.dtype(), [&]<class T>() {
    kernels::linear_recurrence(along(a.shape(), d, reverse), a.data<T>(), b.data<T>(), h.mutable_data<T>());
  });
  if (!is_float(a.dtype())) return h;
  const Index forward = reverse ? -1 : 1;
  // The gradient of b runs the other way: g[k] = dh[k] + a[k + 1] g[k + 1].
  const auto back = [d, reverse, forward](const Tensor& coefficients, const Tensor& dh) {
    return recurrence(shifted(coefficients, d, -forward), dh, d, !reverse);
  };
  return record("linear_recurrence", std::move(h),
                wrt(
                    a,
                    [a = saved(a), back, d, forward](const Tensor& dh, const Tensor& result) {
                      return back(a(), dh) * shifted(result, d, forward);
                    },
                    [&](const Tensor& t, const Tensor& result) {
                      return recurrence(a, t * shifted(result, d, forward), d, reverse);
                    }),
                wrt(
                    b, [a = saved(a), back](const Tensor& dh) { return back(a(), dh); },
                    [&](const Tensor& t) { return recurrence(a, t, d, reverse); }));
}

}  // namespace

Tensor cumsum(const Tensor& x, const ScanOptions& options, Here here) {
  const CallSite site(here);
  check_defined("cumsum", "x", x);
  const Index d = normalize_dim("cumsum", options.dim, x.dim());
  return cumsum_along(summable(x), d, false);
}

Tensor cumprod(const Tensor& given, const ScanOptions& options, Here here) {
  const CallSite site(here);
  check_defined("cumprod", "x", given);
  const Index d = normalize_dim("cumprod", options.dim, given.dim());
  const Tensor x = summable(given);
  if (x.dim() == 0 || x.shape()[d] < 2) return clone(x);
  // p[k] = x[k] p[k - 1] from p[0] = x[0] on
  std::vector<std::pair<Index, Index>> rest(static_cast<std::size_t>(d + 1));
  rest.back() = {0, x.shape()[d] - 1};
  return recurrence(x, pad(slice(x, {.dim = d, .end = 1}), rest), d, false);
}

Tensor linear_recurrence(const Tensor& a, const Tensor& b, const LinearRecurrenceOptions& options, Here here) {
  const CallSite site(here);
  check_float("linear_recurrence", a, "a");
  check_float("linear_recurrence", b, "b");
  check_same_dtype("linear_recurrence", a, b);
  check_shape("linear_recurrence", "b", b, a.shape());
  const Index d = normalize_dim("linear_recurrence", options.dim, a.dim());
  return recurrence(a, b, d, options.reverse);
}

}  // namespace tapestry
