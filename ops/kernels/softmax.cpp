#include <tapestry/ops/kernels/simd/targets.h>

#undef HWY_TARGET_INCLUDE
#define HWY_TARGET_INCLUDE "tapestry/ops/kernels/softmax.cpp"
#include <hwy/foreach_target.h>

#include <tapestry/ops/kernels/simd/vectors-inl.h>

#include <algorithm>
#include <cmath>
#include <type_traits>

#include <tapestry/ops/kernels/base/tuning.h>
#include <tapestry/ops/kernels/softmax.h>

#ifndef TAPESTRY_SOFTMAX_ONCE
#define TAPESTRY_SOFTMAX_ONCE
namespace tapestry::kernels {
namespace {

using tuning::kSoftmaxColumns;

/// One row (n contiguous elements), and up to kSoftmaxColumns columns of n elements that are `inner` apart. `log`
/// selects log_softmax.
template <class T>
struct SoftmaxTable {
  void (*row)(bool log, const T* x, Index n, T* y);
  void (*columns)(bool log, const T* x, Index n, Index inner, Index count, T* y);
  void (*row_gradient)(bool log, const T* y, const T* dy, Index n, T* dx);
  void (*columns_gradient)(bool log, const T* y, const T* dy, Index n, Index inner, Index count, T* dx);
};

}  // namespace
}  // namespace tapestry::kernels
#endif

HWY_BEFORE_NAMESPACE();
namespace tapestry::kernels {
namespace HWY_NAMESPACE {
namespace {

template <class T>
void row(bool log, const T* x, Index n, T* y) {
  const T shift = largest(x, n);
  const T sum = sum_vectors<T>(n, [=](auto d, Index i) HWY_ATTR {
    const auto e = exp_negative(d, hn::Sub(hn::LoadU(d, x + i), hn::Set(d, shift)));
    if (!log) hn::StoreU(e, d, y + i);
    return e;
  });
  if (log) {
    const T log_sum = std::log(sum);
    for_vectors<T>(n, [=](auto d, Index i) HWY_ATTR {
      hn::StoreU(hn::Sub(hn::Sub(hn::LoadU(d, x + i), hn::Set(d, shift)), hn::Set(d, log_sum)), d, y + i);
    });
  } else {
    const T factor = T{1} / sum;
    for_vectors<T>(
        n, [=](auto d, Index i) HWY_ATTR { hn::StoreU(hn::Mul(hn::LoadU(d, y + i), hn::Set(d, factor)), d, y + i); });
  }
}

template <class T>
void columns(bool log, const T* x, Index n, Index inner, Index count, T* y) {
  T shift[kSoftmaxColumns], sum[kSoftmaxColumns];
  std::copy_n(x, count, shift);
  for (Index k = 1; k < n; ++k) {
    const T* const at = x + k * inner;
    for (Index i = 0; i < count; ++i) shift[i] = at[i] > shift[i] ? at[i] : shift[i];
  }
  std::fill_n(sum, count, T{0});
  T* const shifts = shift;
  T* const sums = sum;
  for (Index k = 0; k < n; ++k) {
    const T* const from = x + k * inner;
    T* const to = y + k * inner;
    for_vectors<T>(count, [=](auto d, Index i) HWY_ATTR {
      const auto e = exp_negative(d, hn::Sub(hn::LoadU(d, from + i), hn::LoadU(d, shifts + i)));
      if (!log) hn::StoreU(e, d, to + i);
      hn::StoreU(hn::Add(hn::LoadU(d, sums + i), e), d, sums + i);
    });
  }
  for (Index i = 0; i < count; ++i) sum[i] = log ? std::log(sum[i]) : T{1} / sum[i];
  for (Index k = 0; k < n; ++k) {
    const T* const from = x + k * inner;
    T* const to = y + k * inner;
    for (Index i = 0; i < count; ++i) to[i] = log ? from[i] - shift[i] - sum[i] : to[i] * sum[i];
  }
}

template <class T>
void row_gradient(bool log, const T* y, const T* dy, Index n, T* dx) {
  const T sum = sum_vectors<T>(n, [=](auto d, Index i) HWY_ATTR {
    const auto g = hn::LoadU(d, dy + i);
    return log ? g : hn::Mul(g, hn::LoadU(d, y + i));
  });
  for_vectors<T>(n, [=](auto d, Index i) HWY_ATTR {
    const auto g = hn::LoadU(d, dy + i), of_sum = hn::Set(d, sum), out = hn::LoadU(d, y + i);
    hn::StoreU(log ? hn::Sub(g, hn::Mul(exp_negative(d, out), of_sum)) : hn::Mul(out, hn::Sub(g, of_sum)), d, dx + i);
  });
}

template <class T>
void columns_gradient(bool log, const T* y, const T* dy, Index n, Index inner, Index count, T* dx) {
  T sum[kSoftmaxColumns];
  std::fill_n(sum, count, T{0});
  for (Index k = 0; k < n; ++k) {
    for (Index i = 0; i < count; ++i) sum[i] += log ? dy[k * inner + i] : dy[k * inner + i] * y[k * inner + i];
  }
  const T* const sums = sum;
  for (Index k = 0; k < n; ++k) {
    const T* const out = y + k * inner;
    const T* const g = dy + k * inner;
    T* const to = dx + k * inner;
    for_vectors<T>(count, [=](auto d, Index i) HWY_ATTR {
      const auto v = hn::LoadU(d, out + i), u = hn::LoadU(d, g + i), of_sum = hn::LoadU(d, sums + i);
      hn::StoreU(log ? hn::Sub(u, hn::Mul(exp_negative(d, v), of_sum)) : hn::Mul(v, hn::Sub(u, of_sum)), d, to + i);
    });
  }
}

template <class T>
constexpr SoftmaxTable<T> table_of() {
  return {row<T>, columns<T>, row_gradient<T>, columns_gradient<T>};
}

}  // namespace

const void* softmax_table(bool is_double) {
  static constexpr auto of_float = table_of<float>();
  static constexpr auto of_double = table_of<double>();
  return is_double ? static_cast<const void*>(&of_double) : static_cast<const void*>(&of_float);
}

}  // namespace HWY_NAMESPACE
}  // namespace tapestry::kernels
HWY_AFTER_NAMESPACE();

#if HWY_ONCE
namespace tapestry::kernels {

HWY_EXPORT(softmax_table);

namespace {

template <class T>
const SoftmaxTable<T>& table() {
  return *static_cast<const SoftmaxTable<T>*>(HWY_DYNAMIC_DISPATCH(softmax_table)(std::is_same_v<T, double>));
}

/// of_row(offset) for every row when inner is 1; of_columns(offset, count) for pieces of neighbouring columns
/// otherwise.
template <class Row, class Columns>
void for_slices(Index outer, Index n, Index inner, const Row& of_row, const Columns& of_columns) {
  if (outer * n * inner == 0) return;
  if (inner == 1) {
    parallel_for(outer, tuning::rows_per_task(n, tuning::kCostlyGrain), [&](Index begin, Index end) {
      for (Index i = begin; i < end; ++i) of_row(i * n);
    });
    return;
  }
  const Index pieces = (inner + kSoftmaxColumns - 1) / kSoftmaxColumns;
  const Index grain = tuning::rows_per_task(n * std::min(inner, kSoftmaxColumns), tuning::kCostlyGrain);
  parallel_for(outer * pieces, grain, [&](Index begin, Index end) {
    for (Index i = begin; i < end; ++i) {
      const Index column = i % pieces * kSoftmaxColumns;
      of_columns(i / pieces * n * inner + column, std::min(kSoftmaxColumns, inner - column));
    }
  });
}

template <class T>
void forward(bool log, const T* x, Index outer, Index n, Index inner, T* y) {
  const SoftmaxTable<T>& t = table<T>();
  for_slices(
      outer, n, inner, [&](Index at) { t.row(log, x + at, n, y + at); },
      [&](Index at, Index count) { t.columns(log, x + at, n, inner, count, y + at); });
}

template <class T>
void gradient(bool log, const T* y, const T* dy, Index outer, Index n, Index inner, T* dx) {
  const SoftmaxTable<T>& t = table<T>();
  for_slices(
      outer, n, inner, [&](Index at) { t.row_gradient(log, y + at, dy + at, n, dx + at); },
      [&](Index at, Index count) { t.columns_gradient(log, y + at, dy + at, n, inner, count, dx + at); });
}

}  // namespace

template <class T>
void softmax(const T* x, Index outer, Index n, Index inner, T* y) {
  forward(false, x, outer, n, inner, y);
}

template <class T>
void log_softmax(const T* x, Index outer, Index n, Index inner, T* y) {
  forward(true, x, outer, n, inner, y);
}

template <class T>
void softmax_gradient(const T* y, const T* dy, Index outer, Index n, Index inner, T* dx) {
  gradient(false, y, dy, outer, n, inner, dx);
}

template <class T>
void log_softmax_gradient(const T* y, const T* dy, Index outer, Index n, Index inner, T* dx) {
  gradient(true, y, dy, outer, n, inner, dx);
}

template void softmax(const float*, Index, Index, Index, float*);
template void softmax(const double*, Index, Index, Index, double*);
template void log_softmax(const float*, Index, Index, Index, float*);
template void log_softmax(const double*, Index, Index, Index, double*);
template void softmax_gradient(const float*, const float*, Index, Index, Index, float*);
template void softmax_gradient(const double*, const double*, Index, Index, Index, double*);
template void log_softmax_gradient(const float*, const float*, Index, Index, Index, float*);
template void log_softmax_gradient(const double*, const double*, Index, Index, Index, double*);

}  // namespace tapestry::kernels
#endif
