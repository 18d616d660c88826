#include <tapestry/ops/kernels/simd/targets.h>

#undef HWY_TARGET_INCLUDE
#define HWY_TARGET_INCLUDE "tapestry/ops/kernels/optimizer_step.cpp"
#include <hwy/foreach_target.h>

#include <hwy/highway.h>

#include <cmath>

#include <tapestry/ops/kernels/base/tuning.h>
#include <tapestry/ops/kernels/optimizer_step.h>

HWY_BEFORE_NAMESPACE();
namespace tapestry::kernels {
namespace HWY_NAMESPACE {
namespace {

template <class T>
void sgd(const SgdStep<T>& s, T* HWY_RESTRICT p, const T* HWY_RESTRICT g, T* HWY_RESTRICT b, Index n) {
  if (!s.has_buffer) {
    for (Index i = 0; i < n; ++i) p[i] -= s.lr * (s.sign * g[i] + s.weight_decay * p[i]);
    return;
  }
  const T decay = s.first ? T{0} : s.momentum;
  const T keep = s.first ? T{1} : s.keep;
  const T ahead = s.nesterov ? s.momentum : T{1};
  const T direct = s.nesterov ? T{1} : T{0};
  for (Index i = 0; i < n; ++i) {
    const T d = s.sign * g[i] + s.weight_decay * p[i];
    b[i] = decay * b[i] + keep * d;
    p[i] -= s.lr * (direct * d + ahead * b[i]);
  }
}

template <class T>
void adam(const AdamStep<T>& s, T* HWY_RESTRICT p, const T* HWY_RESTRICT g, T* HWY_RESTRICT m, T* HWY_RESTRICT v,
          T* HWY_RESTRICT max_v, Index n) {
  for (Index i = 0; i < n; ++i) {
    const T d = s.sign * g[i] + s.weight_decay * p[i];
    m[i] = s.beta1 * m[i] + s.one_minus_beta1 * d;
    v[i] = s.beta2 * v[i] + s.one_minus_beta2 * (d * d);
    T second = v[i];
    if (max_v != nullptr) second = max_v[i] = max_v[i] < second ? second : max_v[i];
    p[i] = p[i] * s.shrink - s.rate * m[i] / (std::sqrt(second) / s.root_correction2 + s.eps);
  }
}

}  // namespace

void sgd_f32(const SgdStep<float>& s, float* p, const float* g, float* b, Index n) { sgd(s, p, g, b, n); }
void sgd_f64(const SgdStep<double>& s, double* p, const double* g, double* b, Index n) { sgd(s, p, g, b, n); }
void adam_f32(const AdamStep<float>& s, float* p, const float* g, float* m, float* v, float* max_v, Index n) {
  adam(s, p, g, m, v, max_v, n);
}
void adam_f64(const AdamStep<double>& s, double* p, const double* g, double* m, double* v, double* max_v, Index n) {
  adam(s, p, g, m, v, max_v, n);
}

}  // namespace HWY_NAMESPACE
}  // namespace tapestry::kernels
HWY_AFTER_NAMESPACE();

#if HWY_ONCE
namespace tapestry::kernels {
namespace {

HWY_EXPORT(sgd_f32);
HWY_EXPORT(sgd_f64);
HWY_EXPORT(adam_f32);
HWY_EXPORT(adam_f64);

}  // namespace

template <>
void sgd_step(const SgdStep<float>& s, float* p, const float* g, float* b, Index n) {
  parallel_for(n, tuning::kCostlyGrain, [&](Index begin, Index end) {
    HWY_DYNAMIC_DISPATCH(sgd_f32)(s, p + begin, g + begin, b ? b + begin : nullptr, end - begin);
  });
}

template <>
void sgd_step(const SgdStep<double>& s, double* p, const double* g, double* b, Index n) {
  parallel_for(n, tuning::kCostlyGrain, [&](Index begin, Index end) {
    HWY_DYNAMIC_DISPATCH(sgd_f64)(s, p + begin, g + begin, b ? b + begin : nullptr, end - begin);
  });
}

template <>
void adam_step(const AdamStep<float>& s, float* p, const float* g, float* m, float* v, float* max_v, Index n) {
  parallel_for(n, tuning::kCostlyGrain, [&](Index begin, Index end) {
    HWY_DYNAMIC_DISPATCH(adam_f32)
    (s, p + begin, g + begin, m + begin, v + begin, max_v ? max_v + begin : nullptr, end - begin);
  });
}

template <>
void adam_step(const AdamStep<double>& s, double* p, const double* g, double* m, double* v, double* max_v, Index n) {
  parallel_for(n, tuning::kCostlyGrain, [&](Index begin, Index end) {
    HWY_DYNAMIC_DISPATCH(adam_f64)
    (s, p + begin, g + begin, m + begin, v + begin, max_v ? max_v + begin : nullptr, end - begin);
  });
}

template <class T>
double sum_of_squares(const T* x, Index n) {
  const auto part = [x](Index begin, Index end) {
    double lanes[8] = {};  // independent sums, so that additions need not wait for each other
    Index i = begin;
    for (; i + 8 <= end; i += 8) {
      for (Index k = 0; k < 8; ++k) lanes[k] += static_cast<double>(x[i + k]) * static_cast<double>(x[i + k]);
    }
    for (; i < end; ++i) lanes[0] += static_cast<double>(x[i]) * static_cast<double>(x[i]);
    return ((lanes[0] + lanes[1]) + (lanes[2] + lanes[3])) + ((lanes[4] + lanes[5]) + (lanes[6] + lanes[7]));
  };
  return parallel_reduce(n, tuning::kGrain, 0.0, part, [](double a, double b) { return a + b; });
}

template <class T>
void scale_in_place(T* x, T factor, Index n) {
  parallel_for(n, tuning::kGrain, [=](Index begin, Index end) {
    for (Index i = begin; i < end; ++i) x[i] = x[i] * factor;
  });
}

template <class T>
void clamp_in_place(T* x, T bound, Index n) {
  parallel_for(n, tuning::kGrain, [=](Index begin, Index end) {
    for (Index i = begin; i < end; ++i) x[i] = x[i] > bound ? bound : x[i] < -bound ? -bound : x[i];
  });
}

template double sum_of_squares(const float*, Index);
template double sum_of_squares(const double*, Index);
template void scale_in_place(float*, float, Index);
template void scale_in_place(double*, double, Index);
template void clamp_in_place(float*, float, Index);
template void clamp_in_place(double*, double, Index);

}  // namespace tapestry::kernels
#endif
