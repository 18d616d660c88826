#include <tapestry/ops/kernels/simd/targets.h>

#undef HWY_TARGET_INCLUDE
#define HWY_TARGET_INCLUDE "tapestry/ops/kernels/optimizer_step.cpp"
#include <hwy/foreach_target.h>

#include <hwy/highway.h>

#include <algorithm>
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

template <class T>
void rmsprop(const RmspropStep<T>& s, T* HWY_RESTRICT p, const T* HWY_RESTRICT g, T* HWY_RESTRICT v,
             T* HWY_RESTRICT mean, T* HWY_RESTRICT b, Index n) {
  for (Index i = 0; i < n; ++i) {
    const T d = s.sign * g[i] + s.weight_decay * p[i];
    v[i] = s.alpha * v[i] + s.one_minus_alpha * (d * d);
    T second = v[i];
    if (mean != nullptr) {
      mean[i] = s.alpha * mean[i] + s.one_minus_alpha * d;
      second -= mean[i] * mean[i];
      second = second < T{0} ? T{0} : second;  // rounding alone takes it there; NaN stays
    }
    T u = d / (std::sqrt(second) + s.eps);
    if (b != nullptr) u = b[i] = s.momentum * b[i] + u;
    p[i] -= s.lr * u;
  }
}

template <class T>
void adagrad(const AdagradStep<T>& s, T* HWY_RESTRICT p, const T* HWY_RESTRICT g, T* HWY_RESTRICT sum, Index n) {
  for (Index i = 0; i < n; ++i) {
    const T d = s.sign * g[i] + s.weight_decay * p[i];
    sum[i] += d * d;
    p[i] -= s.rate * (d / (std::sqrt(sum[i]) + s.eps));
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
void rmsprop_f32(const RmspropStep<float>& s, float* p, const float* g, float* v, float* mean, float* b, Index n) {
  rmsprop(s, p, g, v, mean, b, n);
}
void rmsprop_f64(const RmspropStep<double>& s, double* p, const double* g, double* v, double* mean, double* b,
                 Index n) {
  rmsprop(s, p, g, v, mean, b, n);
}
void adagrad_f32(const AdagradStep<float>& s, float* p, const float* g, float* sum, Index n) {
  adagrad(s, p, g, sum, n);
}
void adagrad_f64(const AdagradStep<double>& s, double* p, const double* g, double* sum, Index n) {
  adagrad(s, p, g, sum, n);
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
HWY_EXPORT(rmsprop_f32);
HWY_EXPORT(rmsprop_f64);
HWY_EXPORT(adagrad_f32);
HWY_EXPORT(adagrad_f64);

/// A part of an array that may be missing.
template <class T>
T* from(T* x, Index begin) {
  return x != nullptr ? x + begin : nullptr;
}

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

template <>
void rmsprop_step(const RmspropStep<float>& s, float* p, const float* g, float* v, float* mean, float* b, Index n) {
  parallel_for(n, tuning::kCostlyGrain, [&](Index begin, Index end) {
    HWY_DYNAMIC_DISPATCH(rmsprop_f32)
    (s, p + begin, g + begin, v + begin, from(mean, begin), from(b, begin), end - begin);
  });
}

template <>
void rmsprop_step(const RmspropStep<double>& s, double* p, const double* g, double* v, double* mean, double* b,
                  Index n) {
  parallel_for(n, tuning::kCostlyGrain, [&](Index begin, Index end) {
    HWY_DYNAMIC_DISPATCH(rmsprop_f64)
    (s, p + begin, g + begin, v + begin, from(mean, begin), from(b, begin), end - begin);
  });
}

template <>
void adagrad_step(const AdagradStep<float>& s, float* p, const float* g, float* sum, Index n) {
  parallel_for(n, tuning::kCostlyGrain, [&](Index begin, Index end) {
    HWY_DYNAMIC_DISPATCH(adagrad_f32)(s, p + begin, g + begin, sum + begin, end - begin);
  });
}

template <>
void adagrad_step(const AdagradStep<double>& s, double* p, const double* g, double* sum, Index n) {
  parallel_for(n, tuning::kCostlyGrain, [&](Index begin, Index end) {
    HWY_DYNAMIC_DISPATCH(adagrad_f64)(s, p + begin, g + begin, sum + begin, end - begin);
  });
}

template <class T>
void momentum_direction(T momentum, bool nesterov, const T* gradient, const T* buffer, T* direction, Index n) {
  const T ahead = nesterov ? momentum : T{1};
  const T direct = nesterov ? T{1} : T{0};
  parallel_for(n, tuning::kCostlyGrain, [=](Index begin, Index end) {
    for (Index i = begin; i < end; ++i) {
      const T next = momentum * buffer[i] + gradient[i];
      direction[i] = direct * gradient[i] + ahead * next;
    }
  });
}

template <class T>
void scale_and_add_in_place(T* x, T factor, const T* y, T weight, Index n) {
  parallel_for(n, tuning::kGrain, [=](Index begin, Index end) {
    for (Index i = begin; i < end; ++i) x[i] = factor * x[i] + weight * y[i];
  });
}

template <class T>
void lerp_in_place(T* x, const T* y, T weight, Index n) {
  parallel_for(n, tuning::kGrain, [=](Index begin, Index end) {
    for (Index i = begin; i < end; ++i) x[i] += weight * (y[i] - x[i]);
  });
}

namespace {

/// The sum of x[i] y[i] over [begin, end): independent sums, so that additions need not wait for each other.
template <class T>
double products_of_part(const T* x, const T* y, Index begin, Index end) {
  double lanes[8] = {};
  Index i = begin;
  for (; i + 8 <= end; i += 8) {
    for (Index k = 0; k < 8; ++k) lanes[k] += static_cast<double>(x[i + k]) * static_cast<double>(y[i + k]);
  }
  for (; i < end; ++i) lanes[0] += static_cast<double>(x[i]) * static_cast<double>(y[i]);
  return ((lanes[0] + lanes[1]) + (lanes[2] + lanes[3])) + ((lanes[4] + lanes[5]) + (lanes[6] + lanes[7]));
}

}  // namespace

template <class T>
void clip_rows_to_parameter(T* gradient, const T* parameter, Index rows, Index columns, double factor, double eps) {
  parallel_for(rows, tuning::rows_per_task(columns), [=](Index begin, Index end) {
    for (Index r = begin; r < end; ++r) {
      T* const g = gradient + r * columns;
      const T* const p = parameter + r * columns;
      const double length = std::sqrt(products_of_part(g, g, 0, columns));
      const double most = factor * std::max(std::sqrt(products_of_part(p, p, 0, columns)), eps);
      if (!(length > most)) continue;
      const T scale = static_cast<T>(most / length);
      for (Index i = 0; i < columns; ++i) g[i] *= scale;
    }
  });
}

template <class T>
double sum_of_products(const T* x, const T* y, Index n) {
  return parallel_reduce(
      n, tuning::kGrain, 0.0, [=](Index begin, Index end) { return products_of_part(x, y, begin, end); },
      [](double a, double b) { return a + b; });
}

template <class T>
double sum_of_squares(const T* x, Index n) {
  return sum_of_products(x, x, n);
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

template void momentum_direction(float, bool, const float*, const float*, float*, Index);
template void momentum_direction(double, bool, const double*, const double*, double*, Index);
template void scale_and_add_in_place(float*, float, const float*, float, Index);
template void scale_and_add_in_place(double*, double, const double*, double, Index);
template void lerp_in_place(float*, const float*, float, Index);
template void lerp_in_place(double*, const double*, double, Index);
template void clip_rows_to_parameter(float*, const float*, Index, Index, double, double);
template void clip_rows_to_parameter(double*, const double*, Index, Index, double, double);
template double sum_of_products(const float*, const float*, Index);
template double sum_of_products(const double*, const double*, Index);
template double sum_of_squares(const float*, Index);
template double sum_of_squares(const double*, Index);
template void scale_in_place(float*, float, Index);
template void scale_in_place(double*, double, Index);
template void clamp_in_place(float*, float, Index);
template void clamp_in_place(double*, double, Index);

}  // namespace tapestry::kernels
#endif
