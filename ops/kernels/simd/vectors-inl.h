// Loops over elements in vectors, for one instruction set: included once per target through
// foreach_target. Hence a guard that toggles instead of #pragma once.
#if defined(TAPESTRY_VECTORS_INL_H) == defined(HWY_TARGET_TOGGLE)
#ifdef TAPESTRY_VECTORS_INL_H
#undef TAPESTRY_VECTORS_INL_H
#else
#define TAPESTRY_VECTORS_INL_H
#endif

#include <hwy/contrib/math/math-inl.h>
#include <hwy/highway.h>

#include <limits>

#include <tapestry/autograd/base/parallel.h>

HWY_BEFORE_NAMESPACE();
namespace tapestry::kernels::HWY_NAMESPACE {
namespace {

namespace hn = hwy::HWY_NAMESPACE;

/// f(tag, i) for i = 0, lanes, 2 lanes, ...; single elements at the end get a tag of one lane.
template <class T, class F>
HWY_INLINE void for_vectors(Index n, const F& f) {
  const hn::ScalableTag<T> d;
  const hn::CappedTag<T, 1> single;
  const auto lanes = static_cast<Index>(hn::Lanes(d));
  Index i = 0;
  for (; i + lanes <= n; i += lanes) f(d, i);
  for (; i < n; ++i) f(single, i);
}

/// The sum of the lanes of f(tag, i) over a row; f as for for_vectors. Two chains hide the latency of an addition.
template <class T, class F>
HWY_INLINE T sum_vectors(Index n, const F& f) {
  const hn::ScalableTag<T> d;
  const hn::CappedTag<T, 1> single;
  const auto lanes = static_cast<Index>(hn::Lanes(d));
  auto even = hn::Zero(d), odd = hn::Zero(d);
  Index i = 0;
  for (; i + 2 * lanes <= n; i += 2 * lanes) {
    even = hn::Add(even, f(d, i));
    odd = hn::Add(odd, f(d, i + lanes));
  }
  if (i + lanes <= n) {
    even = hn::Add(even, f(d, i));
    i += lanes;
  }
  T sum = hn::GetLane(hn::SumOfLanes(d, hn::Add(even, odd)));
  for (; i < n; ++i) sum += hn::GetLane(f(single, i));
  return sum;
}

/// The largest of n > 0 elements. A NaN may go unnoticed here: whoever shifts by the result meets it again.
template <class T>
HWY_INLINE T largest(const T* x, Index n) {
  const hn::ScalableTag<T> d;
  const auto lanes = static_cast<Index>(hn::Lanes(d));
  T best = x[0];
  Index i = 0;
  if (lanes <= n) {
    auto most = hn::LoadU(d, x);
    for (i = lanes; i + lanes <= n; i += lanes) most = hn::Max(most, hn::LoadU(d, x + i));
    best = hn::GetLane(hn::MaxOfLanes(d, most));
  }
  for (; i < n; ++i) best = x[i] > best ? x[i] : best;
  return best;
}

/// exp(x) for x <= 0 or NaN. Highway's needs finite arguments.
template <class D, class V>
HWY_INLINE V exp_negative(D d, V x) {
  using T = hn::TFromD<D>;
  const V y = hn::Exp(d, hn::Max(x, hn::Set(d, std::numeric_limits<T>::lowest())));
  return hn::IfThenElse(hn::IsNaN(x), x, y);
}

}  // namespace
}  // namespace tapestry::kernels::HWY_NAMESPACE
HWY_AFTER_NAMESPACE();

#endif
