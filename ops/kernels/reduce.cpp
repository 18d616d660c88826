#include <tapestry/ops/kernels/simd/targets.h>

#undef HWY_TARGET_INCLUDE
#define HWY_TARGET_INCLUDE "tapestry/ops/kernels/reduce.cpp"
#include <hwy/foreach_target.h>

#include <hwy/highway.h>

#include <algorithm>
#include <cstdint>
#include <type_traits>

#include <tapestry/autograd/memory/scratch.h>
#include <tapestry/ops/kernels/base/tuning.h>
#include <tapestry/ops/kernels/reduce.h>

HWY_BEFORE_NAMESPACE();
namespace tapestry::kernels {
namespace HWY_NAMESPACE {
namespace {

constexpr Index kLanes = 16;  // sums that run side by side: the same number on every instruction set, so the same bits

/// Sum of n contiguous elements.
template <class T>
double sum_run(const T* HWY_RESTRICT x, Index n) {
  double lane[kLanes] = {};
  Index i = 0;
  for (; i + kLanes <= n; i += kLanes) {
    for (Index j = 0; j < kLanes; ++j) lane[j] += static_cast<double>(x[i + j]);
  }
  for (Index j = 0; i + j < n; ++j) lane[j] += static_cast<double>(x[i + j]);
  for (Index width = kLanes / 2; width > 0; width /= 2) {
    for (Index j = 0; j < width; ++j) lane[j] += lane[j + width];
  }
  return lane[0];
}

/// sums [inner] += rows of x [n, inner].
template <class T>
void sum_rows(const T* HWY_RESTRICT x, Index n, Index inner, double* HWY_RESTRICT sums) {
  for (Index i = 0; i < n; ++i) {
    const T* HWY_RESTRICT row = x + i * inner;
    for (Index j = 0; j < inner; ++j) sums[j] += static_cast<double>(row[j]);
  }
}

namespace hn = hwy::HWY_NAMESPACE;

/// The larger (or smaller) of both; x where that is NaN, and a NaN in `best` stays.
template <bool largest, class V>
HWY_INLINE V better(V x, V best) {
  const auto wins = largest ? hn::Gt(x, best) : hn::Lt(x, best);
  return hn::IfThenElse(hn::Or(wins, hn::IsNaN(x)), x, best);
}

/// best [width] becomes the better of itself and x.
template <bool largest, class T>
HWY_INLINE void keep_best(const T* HWY_RESTRICT x, Index width, T* HWY_RESTRICT best) {
  const hn::ScalableTag<T> d;
  const auto lanes = static_cast<Index>(hn::Lanes(d));
  Index j = 0;
  for (; j + lanes <= width; j += lanes) {
    hn::StoreU(better<largest>(hn::LoadU(d, x + j), hn::LoadU(d, best + j)), d, best + j);
  }
  const hn::CappedTag<T, 1> one;
  for (; j < width; ++j) hn::StoreU(better<largest>(hn::LoadU(one, x + j), hn::LoadU(one, best + j)), one, best + j);
}

/// Two vectors at a time, so that one compare need not wait for the other.
template <bool largest, class T>
HWY_INLINE T extreme_of_run(const T* HWY_RESTRICT x, Index n) {
  const hn::ScalableTag<T> d;
  const auto lanes = static_cast<Index>(hn::Lanes(d));
  auto u = hn::Set(d, x[0]), v = u;
  Index i = 0;
  for (; i + 2 * lanes <= n; i += 2 * lanes) {
    u = better<largest>(hn::LoadU(d, x + i), u);
    v = better<largest>(hn::LoadU(d, x + i + lanes), v);
  }
  HWY_ALIGN T lane[HWY_MAX_BYTES / sizeof(T)];
  hn::Store(better<largest>(u, v), d, lane);
  T best = x[0];
  for (Index j = 0; j < lanes; ++j) keep_best<largest>(lane + j, 1, &best);
  for (; i < n; ++i) keep_best<largest>(x + i, 1, &best);
  return best;
}

/// y [inner] of x [n, inner].
template <bool largest, class T>
HWY_INLINE void extreme_block(const T* x, Index n, Index inner, T* y) {
  if (inner == 1) {
    *y = extreme_of_run<largest>(x, n);
    return;
  }
  std::copy(x, x + inner, y);
  for (Index i = 1; i < n; ++i) keep_best<largest>(x + i * inner, inner, y);
}

}  // namespace

void extreme_f32(bool largest, const float* x, Index n, Index inner, float* y) {
  largest ? extreme_block<true>(x, n, inner, y) : extreme_block<false>(x, n, inner, y);
}
void extreme_f64(bool largest, const double* x, Index n, Index inner, double* y) {
  largest ? extreme_block<true>(x, n, inner, y) : extreme_block<false>(x, n, inner, y);
}

double sum_run_f32(const float* x, Index n) { return sum_run(x, n); }
double sum_run_f64(const double* x, Index n) { return sum_run(x, n); }
void sum_rows_f32(const float* x, Index n, Index inner, double* sums) { sum_rows(x, n, inner, sums); }
void sum_rows_f64(const double* x, Index n, Index inner, double* sums) { sum_rows(x, n, inner, sums); }

}  // namespace HWY_NAMESPACE
}  // namespace tapestry::kernels
HWY_AFTER_NAMESPACE();

#if HWY_ONCE
namespace tapestry::kernels {
namespace {

HWY_EXPORT(sum_run_f32);
HWY_EXPORT(sum_run_f64);
HWY_EXPORT(sum_rows_f32);
HWY_EXPORT(sum_rows_f64);
HWY_EXPORT(extreme_f32);
HWY_EXPORT(extreme_f64);

double sum_run(const float* x, Index n) { return HWY_DYNAMIC_DISPATCH(sum_run_f32)(x, n); }
double sum_run(const double* x, Index n) { return HWY_DYNAMIC_DISPATCH(sum_run_f64)(x, n); }
void sum_rows(const float* x, Index n, Index inner, double* sums) {
  HWY_DYNAMIC_DISPATCH(sum_rows_f32)(x, n, inner, sums);
}
void sum_rows(const double* x, Index n, Index inner, double* sums) {
  HWY_DYNAMIC_DISPATCH(sum_rows_f64)(x, n, inner, sums);
}

void extreme_block(bool largest, const float* x, Index n, Index inner, float* y) {
  HWY_DYNAMIC_DISPATCH(extreme_f32)(largest, x, n, inner, y);
}
void extreme_block(bool largest, const double* x, Index n, Index inner, double* y) {
  HWY_DYNAMIC_DISPATCH(extreme_f64)(largest, x, n, inner, y);
}

/// Contiguous sums: rows are shared out; a row longer than a chunk is cut, and the pieces added in order.
template <class T>
void reduce_contiguous(const T* x, Index outer, Index n, double factor, T* y) {
  if (n <= tuning::kGrain) {
    parallel_for(outer, tuning::rows_per_task(n), [=](Index begin, Index end) {
      for (Index o = begin; o < end; ++o) y[o] = static_cast<T>(factor * sum_run(x + o * n, n));
    });
    return;
  }
  for (Index o = 0; o < outer; ++o) {
    const T* row = x + o * n;
    const double total = parallel_reduce(
        n, tuning::kGrain, 0.0, [=](Index begin, Index end) { return sum_run(row + begin, end - begin); },
        [](double a, double b) { return a + b; });
    y[o] = static_cast<T>(factor * total);
  }
}

/// Column sums of x [n, inner]: chunks of rows into partial sums of their own, added in the order of the chunks.
template <class T>
void reduce_columns(const T* x, Index n, Index inner, double factor, T* y) {
  const auto width = static_cast<std::size_t>(inner);
  const Index rows = tuning::rows_per_task(inner);
  const Index chunks = (n + rows - 1) / rows;
  CountedVector<double> sums(width * static_cast<std::size_t>(std::max<Index>(chunks, 1)));
  parallel_for(n, rows, [&](Index begin, Index end) {
    sum_rows(x + begin * inner, end - begin, inner, sums.data() + (begin / rows) * inner);
  });
  for (Index chunk = 1; chunk < chunks; ++chunk) {
    for (Index j = 0; j < inner; ++j)
      sums[static_cast<std::size_t>(j)] += sums[static_cast<std::size_t>(chunk * inner + j)];
  }
  for (Index j = 0; j < inner; ++j) y[j] = static_cast<T>(factor * sums[static_cast<std::size_t>(j)]);
}

}  // namespace

template <class T>
void reduce_sum(const T* x, Index outer, Index n, Index inner, double factor, T* y) {
  if (outer * inner == 0) return;
  if (inner == 1) {
    reduce_contiguous(x, outer, n, factor, y);
    return;
  }
  if (outer == 1) {
    reduce_columns(x, n, inner, factor, y);
    return;
  }
  const Index grain = tuning::rows_per_task(n * inner);
  parallel_for(outer, grain, [=](Index begin, Index end) {
    const Scratch<double> sums(inner);
    for (Index o = begin; o < end; ++o) {
      std::fill_n(sums.data(), inner, 0.0);
      sum_rows(x + o * n * inner, n, inner, sums.data());
      for (Index j = 0; j < inner; ++j) y[o * inner + j] = static_cast<T>(factor * sums[j]);
    }
  });
}

template <class T>
void reduce_sum_integer(const T* x, Index outer, Index n, Index inner, std::int64_t* y) {
  parallel_for(outer, tuning::rows_per_task(n * inner), [=](Index begin, Index end) {
    for (Index o = begin; o < end; ++o) {
      for (Index j = 0; j < inner; ++j) {
        std::uint64_t sum = 0;
        for (Index i = 0; i < n; ++i)
          sum += static_cast<std::uint64_t>(static_cast<std::int64_t>(x[(o * n + i) * inner + j]));
        y[o * inner + j] = static_cast<std::int64_t>(sum);
      }
    }
  });
}

/// Values alone, on vectors. One long run is cut into chunks, whose extremes are then compared.
template <class T>
void reduce_extreme_values(bool largest, const T* x, Index outer, Index n, Index inner, T* values) {
  if (outer == 1 && inner == 1 && n > tuning::kGrain) {
    CountedVector<T> best(static_cast<std::size_t>((n + tuning::kGrain - 1) / tuning::kGrain));
    parallel_for(n, tuning::kGrain, [&](Index begin, Index end) {
      extreme_block(largest, x + begin, end - begin, 1, best.data() + begin / tuning::kGrain);
    });
    extreme_block(largest, best.data(), static_cast<Index>(best.size()), 1, values);
    return;
  }
  parallel_for(outer, tuning::rows_per_task(n * inner), [=](Index begin, Index end) {
    for (Index o = begin; o < end; ++o) extreme_block(largest, x + o * n * inner, n, inner, values + o * inner);
  });
}

template <class T>
void reduce_extreme(bool largest, const T* x, Index outer, Index n, Index inner, T* values, std::int64_t* indices) {
  if constexpr (std::is_floating_point_v<T>) {
    if (indices == nullptr) {
      if (outer * inner > 0) reduce_extreme_values(largest, x, outer, n, inner, values);
      return;
    }
  }
  parallel_for(outer * inner, tuning::rows_per_task(n), [=](Index begin, Index end) {
    for (Index at = begin; at < end; ++at) {
      const T* column = x + (at / inner) * n * inner + at % inner;
      Index best = 0;
      for (Index i = 1; i < n; ++i) {
        const T candidate = column[i * inner], current = column[best * inner];
        const bool better = largest ? candidate > current : candidate < current;
        const bool first_nan = candidate != candidate && current == current;
        if ((better && current == current) || first_nan) best = i;
      }
      if (values != nullptr) values[at] = column[best * inner];
      if (indices != nullptr) indices[at] = best;
    }
  });
}

template void reduce_sum(const float*, Index, Index, Index, double, float*);
template void reduce_sum(const double*, Index, Index, Index, double, double*);
template void reduce_sum_integer(const std::int64_t*, Index, Index, Index, std::int64_t*);
template void reduce_sum_integer(const std::int32_t*, Index, Index, Index, std::int64_t*);
template void reduce_sum_integer(const std::uint8_t*, Index, Index, Index, std::int64_t*);
template void reduce_sum_integer(const bool*, Index, Index, Index, std::int64_t*);
template void reduce_extreme(bool, const float*, Index, Index, Index, float*, std::int64_t*);
template void reduce_extreme(bool, const double*, Index, Index, Index, double*, std::int64_t*);
template void reduce_extreme(bool, const std::int64_t*, Index, Index, Index, std::int64_t*, std::int64_t*);
template void reduce_extreme(bool, const std::int32_t*, Index, Index, Index, std::int32_t*, std::int64_t*);
template void reduce_extreme(bool, const std::uint8_t*, Index, Index, Index, std::uint8_t*, std::int64_t*);

}  // namespace tapestry::kernels
#endif
