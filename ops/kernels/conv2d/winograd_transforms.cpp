#include <tapestry/ops/kernels/simd/targets.h>

#undef HWY_TARGET_INCLUDE
#define HWY_TARGET_INCLUDE "tapestry/ops/kernels/conv2d/winograd_transforms.cpp"
#include <hwy/foreach_target.h>

#include <hwy/highway.h>

#include <tapestry/ops/kernels/conv2d/winograd_transforms.h>

HWY_BEFORE_NAMESPACE();
namespace tapestry::kernels {
namespace HWY_NAMESPACE {
namespace {

namespace hn = hwy::HWY_NAMESPACE;

// One side of a transform: y = M x for a column of kFrom numbers, step elements apart.

struct Patch {  // B'
  static constexpr int kFrom = 4, kTo = 4;
  template <class V>
  static HWY_INLINE void apply(const V* x, int step, V* y) {
    y[0] = hn::Sub(x[0], x[2 * step]);
    y[1] = hn::Add(x[step], x[2 * step]);
    y[2] = hn::Sub(x[2 * step], x[step]);
    y[3] = hn::Sub(x[step], x[3 * step]);
  }
};

struct Taps {  // G
  static constexpr int kFrom = 3, kTo = 4;
  template <class V>
  static HWY_INLINE void apply(const V* x, int step, V* y) {
    const V half = hn::Set(hn::DFromV<V>(), 0.5F);
    const V ends = hn::Mul(half, hn::Add(x[0], x[2 * step])), middle = hn::Mul(half, x[step]);
    y[0] = x[0];
    y[1] = hn::Add(ends, middle);
    y[2] = hn::Sub(ends, middle);
    y[3] = x[2 * step];
  }
};

struct Result {  // A'
  static constexpr int kFrom = 4, kTo = 2;
  template <class V>
  static HWY_INLINE void apply(const V* x, int step, V* y) {
    y[0] = hn::Add(x[0], hn::Add(x[step], x[2 * step]));
    y[1] = hn::Sub(hn::Sub(x[step], x[2 * step]), x[3 * step]);
  }
};

struct ResultGrad {  // A
  static constexpr int kFrom = 2, kTo = 4;
  template <class V>
  static HWY_INLINE void apply(const V* x, int step, V* y) {
    y[0] = x[0];
    y[1] = hn::Add(x[0], x[step]);
    y[2] = hn::Sub(x[0], x[step]);
    y[3] = hn::Neg(x[step]);
  }
};

struct TapsGrad {  // G'
  static constexpr int kFrom = 4, kTo = 3;
  template <class V>
  static HWY_INLINE void apply(const V* x, int step, V* y) {
    const V half = hn::Set(hn::DFromV<V>(), 0.5F);
    const V sum = hn::Mul(half, hn::Add(x[step], x[2 * step]));
    y[0] = hn::Add(x[0], sum);
    y[1] = hn::Mul(half, hn::Sub(x[step], x[2 * step]));
    y[2] = hn::Add(sum, x[3 * step]);
  }
};

/// M x M' of the matrices from `i` on, as many as D has lanes.
template <class Side, class D>
HWY_INLINE void transform_at(D d, Index i, const float* const* from, float* const* to) {
  constexpr int kFrom = Side::kFrom, kTo = Side::kTo;
  using V = hn::Vec<D>;
  V half[kFrom][kTo];  // (M x)', a column of x at a time
  HWY_UNROLL(4)
  for (int column = 0; column < kFrom; ++column) {
    V x[kFrom];
    HWY_UNROLL(4)
    for (int row = 0; row < kFrom; ++row) x[row] = hn::LoadU(d, from[row * kFrom + column] + i);
    Side::apply(x, 1, half[column]);
  }
  HWY_UNROLL(4)
  for (int row = 0; row < kTo; ++row) {
    V y[kTo];
    Side::apply(&half[0][row], kTo, y);
    HWY_UNROLL(4)
    for (int column = 0; column < kTo; ++column) hn::StoreU(y[column], d, to[row * kTo + column] + i);
  }
}

template <class Side>
void transform(Index n, const float* const* from, float* const* to) {
  const hn::ScalableTag<float> d;
  const hn::CappedTag<float, 1> single;
  const auto lanes = static_cast<Index>(hn::Lanes(d));
  Index i = 0;
  for (; i + lanes <= n; i += lanes) transform_at<Side>(d, i, from, to);
  for (; i < n; ++i) transform_at<Side>(single, i, from, to);
}

constexpr WinogradTransforms kTransforms = {transform<Patch>, transform<Taps>, transform<Result>, transform<ResultGrad>,
                                            transform<TapsGrad>};

}  // namespace

const WinogradTransforms* transforms() { return &kTransforms; }

}  // namespace HWY_NAMESPACE
}  // namespace tapestry::kernels
HWY_AFTER_NAMESPACE();

#if HWY_ONCE
namespace tapestry::kernels {

HWY_EXPORT(transforms);

const WinogradTransforms& winograd_transforms() { return *HWY_DYNAMIC_DISPATCH(transforms)(); }

}  // namespace tapestry::kernels
#endif
