#include <tapestry/ops/kernels/simd/targets.h>

#undef HWY_TARGET_INCLUDE
#define HWY_TARGET_INCLUDE "tapestry/ops/kernels/resample.cpp"
#include <hwy/foreach_target.h>

#include <tapestry/ops/kernels/simd/vectors-inl.h>

#include <algorithm>
#include <type_traits>

#include <tapestry/ops/kernels/base/tuning.h>
#include <tapestry/ops/kernels/resample.h>

#ifndef TAPESTRY_RESAMPLE_ONCE
#define TAPESTRY_RESAMPLE_ONCE
namespace tapestry::kernels {
namespace {

/// One output row of one image, for one instruction set.
template <class T>
using ResampleRow = void (*)(const ResampleShape&, const T* image, Index row, T* y);

}  // namespace
}  // namespace tapestry::kernels
#endif

HWY_BEFORE_NAMESPACE();
namespace tapestry::kernels {
namespace HWY_NAMESPACE {
namespace {

template <class T>
void resample_row(const ResampleShape& s, const T* image, Index row, T* y) {
  const ResampleTaps& h = s.rows[row];
  for (Index column = 0; column < s.ow; ++column, y += s.c) {
    const ResampleTaps& v = s.columns[column];
    const T* const corner = image + (h.begin * s.w + v.begin) * s.c;
    for_vectors<T>(s.c, [&](auto d, Index c) HWY_ATTR {
      auto sum = hn::Zero(d);
      for (Index i = 0; i < h.count; ++i) {
        auto line = hn::Zero(d);
        const T* x = corner + i * s.w * s.c + c;
        for (Index j = 0; j < v.count; ++j, x += s.c) {
          line = hn::MulAdd(hn::LoadU(d, x), hn::Set(d, static_cast<T>(v.weights[j])), line);
        }
        sum = hn::MulAdd(line, hn::Set(d, static_cast<T>(h.weights[i])), sum);
      }
      hn::StoreU(sum, d, y + c);
    });
  }
}

}  // namespace

const void* resample_table(bool is_double) {
  static constexpr ResampleRow<float> of_float = resample_row<float>;
  static constexpr ResampleRow<double> of_double = resample_row<double>;
  return is_double ? static_cast<const void*>(&of_double) : static_cast<const void*>(&of_float);
}

}  // namespace HWY_NAMESPACE
}  // namespace tapestry::kernels
HWY_AFTER_NAMESPACE();

#if HWY_ONCE
namespace tapestry::kernels {

HWY_EXPORT(resample_table);

template <class T>
void resample(const ResampleShape& s, const T* x, T* y) {
  const auto row_loop =
      *static_cast<const ResampleRow<T>*>(HWY_DYNAMIC_DISPATCH(resample_table)(std::is_same_v<T, double>));
  const Index work = std::max(s.h * s.w, s.oh * s.ow) * s.c / std::max<Index>(1, s.oh);
  parallel_for(s.n * s.oh, tuning::rows_per_task(work), [&](Index begin, Index end) {
    for (Index i = begin; i < end; ++i) {
      row_loop(s, x + i / s.oh * s.h * s.w * s.c, i % s.oh, y + i * s.ow * s.c);
    }
  });
}

template void resample(const ResampleShape&, const float*, float*);
template void resample(const ResampleShape&, const double*, double*);

}  // namespace tapestry::kernels
#endif
