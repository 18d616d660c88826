#include <tapestry/ops/kernels/simd/targets.h>

#undef HWY_TARGET_INCLUDE
#define HWY_TARGET_INCLUDE "tapestry/ops/kernels/dropout.cpp"
#include <hwy/foreach_target.h>

#include <tapestry/ops/kernels/simd/vectors-inl.h>

#include <algorithm>
#include <cstdint>
#include <type_traits>

#include <tapestry/ops/kernels/base/tuning.h>
#include <tapestry/ops/kernels/dropout.h>

HWY_BEFORE_NAMESPACE();
namespace tapestry::kernels {
namespace HWY_NAMESPACE {
namespace {

/// Bytes as whole numbers of D's width.
template <class D>
HWY_INLINE auto widened(D, const std::uint8_t* bytes) {
  const auto words = hn::PromoteTo(hn::Rebind<std::uint32_t, D>(), hn::LoadU(hn::Rebind<std::uint8_t, D>(), bytes));
  if constexpr (sizeof(hn::TFromD<D>) == 8) return hn::PromoteTo(hn::Rebind<std::uint64_t, D>(), words);
  else return words;
}

/// Whether to keep an element is as good as random: a branch would cost more than all the rest.
template <class T>
void run(const T* x, const bool* mask, Index n, T scale, T* y) {
  const auto* const bytes = reinterpret_cast<const std::uint8_t*>(mask);
  for_vectors<T>(n, [=](auto d, Index i) HWY_ATTR {
    const auto kept = widened(d, bytes + i);
    const auto is_kept = hn::RebindMask(d, hn::Ne(kept, hn::Xor(kept, kept)));
    hn::StoreU(hn::IfThenElseZero(is_kept, hn::Mul(hn::LoadU(d, x + i), hn::Set(d, scale))), d, y + i);
  });
}

}  // namespace

void masked_scale_f32(const float* x, const bool* mask, Index n, float scale, float* y) { run(x, mask, n, scale, y); }
void masked_scale_f64(const double* x, const bool* mask, Index n, double scale, double* y) {
  run(x, mask, n, scale, y);
}

}  // namespace HWY_NAMESPACE
}  // namespace tapestry::kernels
HWY_AFTER_NAMESPACE();

#if HWY_ONCE
namespace tapestry::kernels {

HWY_EXPORT(masked_scale_f32);
HWY_EXPORT(masked_scale_f64);

namespace {

template <class T>
void run(const T* x, const bool* mask, Index n, T scale, T* y) {
  if constexpr (std::is_same_v<T, double>) HWY_DYNAMIC_DISPATCH(masked_scale_f64)(x, mask, n, scale, y);
  else HWY_DYNAMIC_DISPATCH(masked_scale_f32)(x, mask, n, scale, y);
}

}  // namespace

template <class T>
void masked_scale(const T* x, const bool* mask, Index outer, Index repeat, Index inner, T scale, T* y) {
  if (outer * repeat == 1) {
    parallel_for(inner, tuning::kGrain,
                 [&](Index begin, Index end) { run(x + begin, mask + begin, end - begin, scale, y + begin); });
    return;
  }
  parallel_for(outer * repeat, tuning::rows_per_task(inner), [&](Index begin, Index end) {
    for (Index i = begin; i < end; ++i) run(x + i * inner, mask + i / repeat * inner, inner, scale, y + i * inner);
  });
}

template void masked_scale(const float*, const bool*, Index, Index, Index, float, float*);
template void masked_scale(const double*, const bool*, Index, Index, Index, double, double*);

}  // namespace tapestry::kernels
#endif
