#include <tapestry/ops/kernels/scan.h>

#include <algorithm>
#include <array>
#include <type_traits>

#include <tapestry/autograd/base/extent.h>
#include <tapestry/ops/kernels/base/tuning.h>

namespace tapestry::kernels {
namespace {

using tuning::kScanColumns;

/// f(first element, lines) for groups of neighbouring lines, at most kScanColumns of them, in parallel; the k-th
/// elements of a group lie `inner` behind the first ones.
template <class F>
void for_line_groups(const Scan& s, const F& f) {
  const Index groups = divide_up(s.inner, kScanColumns);
  const Index width = std::min(s.inner, kScanColumns);
  if (s.outer * s.n * s.inner == 0) return;
  parallel_for(s.outer * groups, tuning::rows_per_task(s.n * width), [&](Index begin, Index end) {
    for (Index i = begin; i < end; ++i) {
      const Index column = i % groups * kScanColumns;
      f(i / groups * s.n * s.inner + column, std::min(kScanColumns, s.inner - column));
    }
  });
}

/// f(offset of the k-th elements) for k in order.
template <class F>
void in_order(const Scan& s, Index first, const F& f) {
  for (Index k = 0; k < s.n; ++k) f(first + (s.reverse ? s.n - 1 - k : k) * s.inner);
}

/// Integers are added and multiplied as unsigned ones, which may overflow.
template <class T>
using Arithmetic = std::conditional_t<std::is_integral_v<T>, std::uint64_t, T>;

template <class Sum, class T>
void cumulative_sum_as(const Scan& s, const T* x, T* y) {
  for_line_groups(s, [&](Index first, Index lines) {
    std::array<Sum, kScanColumns> sum{};
    in_order(s, first, [&](Index at) {
      for (Index i = 0; i < lines; ++i) {
        Sum& total = sum[static_cast<std::size_t>(i)];
        total += static_cast<Sum>(x[at + i]);
        y[at + i] = static_cast<T>(total);
      }
    });
  });
}

}  // namespace

void cumulative_sum(const Scan& s, const float* x, float* y) { cumulative_sum_as<double>(s, x, y); }
void cumulative_sum(const Scan& s, const double* x, double* y) { cumulative_sum_as<double>(s, x, y); }
void cumulative_sum(const Scan& s, const std::int64_t* x, std::int64_t* y) {
  cumulative_sum_as<std::uint64_t>(s, x, y);
}

template <class T>
void linear_recurrence(const Scan& s, const T* a, const T* b, T* h) {
  using A = Arithmetic<T>;
  for_line_groups(s, [&](Index first, Index lines) {
    std::array<A, kScanColumns> last{};
    bool begun = false;  // the first product is left out: 0 times an infinite a would be NaN
    in_order(s, first, [&](Index at) {
      for (Index i = 0; i < lines; ++i) {
        A& value = last[static_cast<std::size_t>(i)];
        const A before = begun ? static_cast<A>(a[at + i]) * value : A{0};
        value = before + static_cast<A>(b[at + i]);
        h[at + i] = static_cast<T>(value);
      }
      begun = true;
    });
  });
}

template void linear_recurrence(const Scan&, const float*, const float*, float*);
template void linear_recurrence(const Scan&, const double*, const double*, double*);
template void linear_recurrence(const Scan&, const std::int64_t*, const std::int64_t*, std::int64_t*);

}  // namespace tapestry::kernels
