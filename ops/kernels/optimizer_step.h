#pragma once

#include <tapestry/autograd/base/parallel.h>

/// Optimizer updates over n elements; see <tapestry/ops/optimizer_step.h> for the formulas. T is float or double.
namespace tapestry::kernels {

template <class T>
struct SgdStep {
  T lr, momentum, keep, weight_decay, sign;  ///< keep: 1 - dampening
  bool first, nesterov, has_buffer;
};

template <class T>
void sgd_step(const SgdStep<T>& step, T* parameter, const T* gradient, T* buffer, Index n);

template <class T>
struct AdamStep {
  T rate, beta1, beta2, one_minus_beta1, one_minus_beta2, root_correction2, eps, shrink, weight_decay, sign;
};

/// rate: lr / (1 - beta1^t); root_correction2: sqrt(1 - beta2^t); shrink: what p is first multiplied by. max_v: or
/// null.
template <class T>
void adam_step(const AdamStep<T>& step, T* parameter, const T* gradient, T* m, T* v, T* max_v, Index n);

/// The sum of x[i]^2, in double.
template <class T>
[[nodiscard]] double sum_of_squares(const T* x, Index n);

/// x[i] *= factor.
template <class T>
void scale_in_place(T* x, T factor, Index n);

/// x[i] = bound where x[i] > bound, -bound where x[i] < -bound; bound >= 0.
template <class T>
void clamp_in_place(T* x, T bound, Index n);

}  // namespace tapestry::kernels
