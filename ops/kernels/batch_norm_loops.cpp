// Plain loops over channels, which the compiler vectorises for each instruction set in turn.
#include <tapestry/ops/kernels/simd/targets.h>

#undef HWY_TARGET_INCLUDE
#define HWY_TARGET_INCLUDE "tapestry/ops/kernels/batch_norm_loops.cpp"
#include <hwy/foreach_target.h>

#include <hwy/highway.h>

#include <algorithm>

#include <tapestry/ops/kernels/batch_norm_loops.h>
#include <tapestry/ops/kernels/simd/prefetch.h>

HWY_BEFORE_NAMESPACE();
namespace tapestry::kernels {
namespace HWY_NAMESPACE {
namespace {

/// sum[w] of x - (first row), then square[w] of the deviations from mean[w] = first row + sum / rows, which is exact
/// for a constant column.
template <class T>
void block_moments(const T* HWY_RESTRICT x, Index rows, Index width, T* HWY_RESTRICT sum, T* HWY_RESTRICT square,
                   T* HWY_RESTRICT mean) {
  const T* HWY_RESTRICT first = x;
  std::fill_n(sum, width, T{0});
  std::fill_n(square, width, T{0});
  Index r = 0;
  for (; r + 4 <= rows; r += 4) {  // four rows per load and store of the sums
    const T* HWY_RESTRICT row = x + r * width;
    prefetch_behind(row, 4 * width);
    for (Index w = 0; w < width; ++w) {
      sum[w] += ((row[w] - first[w]) + (row[w + width] - first[w])) +
                ((row[w + 2 * width] - first[w]) + (row[w + 3 * width] - first[w]));
    }
  }
  for (; r < rows; ++r) {
    for (Index w = 0; w < width; ++w) sum[w] += x[r * width + w] - first[w];
  }
  const T inverse = T{1} / static_cast<T>(rows);
  for (Index w = 0; w < width; ++w) mean[w] = first[w] + sum[w] * inverse;
  for (r = 0; r + 4 <= rows; r += 4) {
    const T* HWY_RESTRICT row = x + r * width;
    for (Index w = 0; w < width; ++w) {
      const T a = row[w] - mean[w], b = row[w + width] - mean[w];
      const T c = row[w + 2 * width] - mean[w], d = row[w + 3 * width] - mean[w];
      square[w] += (a * a + b * b) + (c * c + d * d);
    }
  }
  for (; r < rows; ++r) {
    for (Index w = 0; w < width; ++w) {
      const T a = x[r * width + w] - mean[w];
      square[w] += a * a;
    }
  }
}

/// Adds a block of `rows` rows to (mean, m2) of `before` rows. The mean in T is rounded; what it misses follows from
/// sum.
template <class T>
void merge_block(const T* HWY_RESTRICT x, const T* HWY_RESTRICT sum, const T* HWY_RESTRICT square,
                 const T* HWY_RESTRICT block_mean, Index rows, Index width, double before, double* HWY_RESTRICT mean,
                 double* HWY_RESTRICT m2) {
  const double n = static_cast<double>(rows);
  const double inverse = 1 / n, share = n / (before + n), both = before * share;
  for (Index w = 0; w < width; ++w) {
    const double exact = static_cast<double>(x[w]) + static_cast<double>(sum[w]) * inverse;
    const double missed = exact - static_cast<double>(block_mean[w]);
    const double delta = exact - mean[w];
    m2[w] += static_cast<double>(square[w]) - n * missed * missed + delta * delta * both;
    mean[w] += delta * share;
  }
}

/// The gradient behind a relu whose output is v. Both are loaded before one is chosen: the compiler then blends
/// vectors.
template <class T>
HWY_INLINE T where_counts(T v, T gradient) {
  return v <= 0 ? T{0} : gradient;
}

/// f(g), where g(at, w) is the gradient that counts at element `at`, of column w: one loop for every kind of mask.
template <class T, class F>
HWY_INLINE void with_mask(const T* HWY_RESTRICT x, const T* HWY_RESTRICT dy, const T* HWY_RESTRICT mean,
                          const ReluMask<T>& mask, const F& f) {
  const T* HWY_RESTRICT y = mask.y;
  const T* HWY_RESTRICT scale = mask.scale;
  const T* HWY_RESTRICT shift = mask.shift;
  if (y != nullptr) {
    f([=](Index at, Index) HWY_ATTR { return where_counts(y[at], dy[at]); });
  } else if (scale != nullptr) {
    f([=](Index at, Index w) HWY_ATTR { return where_counts((x[at] - mean[w]) * scale[w] + shift[w], dy[at]); });
  } else {
    f([=](Index at, Index) HWY_ATTR { return dy[at]; });
  }
}

template <class T>
void gradient_sums(const T* HWY_RESTRICT x, const T* HWY_RESTRICT dy, Index rows, Index width,
                   const T* HWY_RESTRICT mean, const ReluMask<T>& mask, T* HWY_RESTRICT sum_dy,
                   T* HWY_RESTRICT sum_dy_x) {
  std::fill_n(sum_dy, width, T{0});
  std::fill_n(sum_dy_x, width, T{0});
  const T* counted = dy;
  if (mask.masked != nullptr) {  // a block is small enough to still be in the cache below
    const T* HWY_RESTRICT y = mask.y;
    T* HWY_RESTRICT masked = mask.masked;
    for (Index i = 0; i < rows * width; ++i) masked[i] = where_counts(y[i], dy[i]);
    counted = masked;
  }
  const auto add = [=](const auto& g) HWY_ATTR {
    Index r = 0;
    for (; r + 4 <= rows; r += 4) {
      const Index at = r * width;
      prefetch_behind(x + at, 4 * width);
      prefetch_behind(counted + at, 4 * width);
      for (Index w = 0; w < width; ++w) {
        const Index w0 = at + w, w1 = w0 + width, w2 = w1 + width, w3 = w2 + width;
        const T g0 = g(w0, w), g1 = g(w1, w), g2 = g(w2, w), g3 = g(w3, w);
        sum_dy[w] += (g0 + g1) + (g2 + g3);
        sum_dy_x[w] +=
            (g0 * (x[w0] - mean[w]) + g1 * (x[w1] - mean[w])) + (g2 * (x[w2] - mean[w]) + g3 * (x[w3] - mean[w]));
      }
    }
    for (; r < rows; ++r) {
      for (Index w = 0; w < width; ++w) {
        const T g0 = g(r * width + w, w);
        sum_dy[w] += g0;
        sum_dy_x[w] += g0 * (x[r * width + w] - mean[w]);
      }
    }
  };
  with_mask(x, counted, mean, mask.masked != nullptr ? ReluMask<T>{} : mask, add);
}

/// `then(v, at)` makes y[at] of v, the value of the affine map.
template <class T, class F>
HWY_INLINE void affine_then(const T* HWY_RESTRICT x, Index rows, Index width, const T* HWY_RESTRICT mean,
                            const T* HWY_RESTRICT scale, const T* HWY_RESTRICT shift, T* HWY_RESTRICT y,
                            const F& then) {
  for (Index r = 0; r < rows; ++r) {
    const Index at = r * width;
    prefetch_behind(x + at, width);
    for (Index w = 0; w < width; ++w) y[at + w] = then((x[at + w] - mean[w]) * scale[w] + shift[w], at + w);
  }
}

template <class T>
void affine(const T* HWY_RESTRICT x, Index rows, Index width, const T* HWY_RESTRICT mean, const T* HWY_RESTRICT scale,
            const T* HWY_RESTRICT shift, const T* HWY_RESTRICT residual, bool relu, T* HWY_RESTRICT y) {
  const auto rectified = [](T v) HWY_ATTR { return v < 0 ? T{0} : v; };
  const auto run = [=](const auto& then) HWY_ATTR { affine_then(x, rows, width, mean, scale, shift, y, then); };
  if (residual != nullptr && relu) run([=](T v, Index at) HWY_ATTR { return rectified(v + residual[at]); });
  else if (residual != nullptr) run([=](T v, Index at) HWY_ATTR { return v + residual[at]; });
  else if (relu) run([=](T v, Index) HWY_ATTR { return rectified(v); });
  else run([](T v, Index) HWY_ATTR { return v; });
}

template <class T>
void gradient(const T* HWY_RESTRICT x, const T* HWY_RESTRICT dy, Index rows, Index width, const T* HWY_RESTRICT mean,
              const ReluMask<T>& mask, const T* HWY_RESTRICT scale, const T* HWY_RESTRICT offset,
              const T* HWY_RESTRICT slope, T* HWY_RESTRICT dx) {
  with_mask(x, dy, mean, mask, [=](const auto& g) HWY_ATTR {
    for (Index r = 0; r < rows; ++r) {
      const Index at = r * width;
      prefetch_behind(x + at, width);
      prefetch_behind(dy + at, width);
      for (Index w = 0; w < width; ++w) {
        dx[at + w] = scale[w] * (g(at + w, w) - offset[w] - (x[at + w] - mean[w]) * slope[w]);
      }
    }
  });
}

template <class T>
void scale_rows(const T* HWY_RESTRICT x, const T* HWY_RESTRICT dy, Index rows, Index width, const T* HWY_RESTRICT mean,
                const ReluMask<T>& mask, const T* HWY_RESTRICT scale, T* HWY_RESTRICT dx) {
  with_mask(x, dy, mean, mask, [=](const auto& g) HWY_ATTR {
    for (Index r = 0; r < rows; ++r) {
      const Index at = r * width;
      for (Index w = 0; w < width; ++w) dx[at + w] = scale[w] * g(at + w, w);
    }
  });
}

template <class T>
constexpr BatchNormLoops<T> loops_of_type() {
  return {block_moments<T>, merge_block<T>, gradient_sums<T>, affine<T>, gradient<T>, scale_rows<T>};
}

}  // namespace

const BatchNormLoops<float>* loops_of_float() {
  static constexpr auto loops = loops_of_type<float>();
  return &loops;
}
const BatchNormLoops<double>* loops_of_double() {
  static constexpr auto loops = loops_of_type<double>();
  return &loops;
}

}  // namespace HWY_NAMESPACE
}  // namespace tapestry::kernels
HWY_AFTER_NAMESPACE();

#if HWY_ONCE
namespace tapestry::kernels {

HWY_EXPORT(loops_of_float);
HWY_EXPORT(loops_of_double);

template <>
const BatchNormLoops<float>& batch_norm_loops() {
  return *HWY_DYNAMIC_DISPATCH(loops_of_float)();
}
template <>
const BatchNormLoops<double>& batch_norm_loops() {
  return *HWY_DYNAMIC_DISPATCH(loops_of_double)();
}

}  // namespace tapestry::kernels
#endif
