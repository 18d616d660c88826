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

template <class T>
struct RmspropStep {
  T lr, alpha, one_minus_alpha, eps, momentum, weight_decay, sign;
};

/// mean: average gradients, for the centered form, or null. buffer: or null.
template <class T>
void rmsprop_step(const RmspropStep<T>& step, T* parameter, const T* gradient, T* square, T* mean, T* buffer, Index n);

template <class T>
struct AdagradStep {
  T rate, eps, weight_decay, sign;
};

/// rate: lr / (1 + (t - 1) lr_decay).
template <class T>
void adagrad_step(const AdagradStep<T>& step, T* parameter, const T* gradient, T* sum, Index n);

/// With b = momentum buffer + g: u = nesterov ? g + momentum b : b. The buffer stays.
template <class T>
void momentum_direction(T momentum, bool nesterov, const T* gradient, const T* buffer, T* direction, Index n);

/// x[i] = factor x[i] + weight y[i].
template <class T>
void scale_and_add_in_place(T* x, T factor, const T* y, T weight, Index n);

/// x[i] += weight (y[i] - x[i]).
template <class T>
void lerp_in_place(T* x, const T* y, T weight, Index n);

/// Multiplies each row of the gradient that is longer than most = factor max(length of the parameter's row, eps) by
/// most / its length. Lengths are formed in double.
template <class T>
void clip_rows_to_parameter(T* gradient, const T* parameter, Index rows, Index columns, double factor, double eps);

/// The sum of x[i] y[i], in double.
template <class T>
[[nodiscard]] double sum_of_products(const T* x, const T* y, Index n);

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
