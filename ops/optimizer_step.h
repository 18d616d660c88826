#pragma once

#include <tapestry/autograd/tensor.h>

/// What optimizers do. One update of one parameter is in place and a single pass over memory. Parameter, gradient and
/// state have the same shape and dtype, f32 or f64. Nothing is recorded; call it under no_grad. `step` counts from 1.
namespace tapestry {

struct SgdStepOptions {
  double lr = 0;
  double momentum = 0;
  double dampening = 0;
  double weight_decay = 0;
  bool nesterov = false;
  bool maximize = false;
};

/// g += weight_decay p; b = g at the first step, then momentum b + (1 - dampening) g; p -= lr (nesterov ? g + momentum
/// b : b), or lr g without momentum; then b may be undefined.
void sgd_step(Tensor& parameter, const Tensor& gradient, Tensor& momentum_buffer, bool first,
              const SgdStepOptions& options);

struct AdamStepOptions {
  double lr = 1e-3;
  double beta1 = 0.9;
  double beta2 = 0.999;
  double eps = 1e-8;
  double weight_decay = 0;
  bool decoupled = false;  ///< AdamW: p *= 1 - lr weight_decay; else the decay joins the gradient
  bool maximize = false;
};

/// m = beta1 m + (1 - beta1) g; v = beta2 v + (1 - beta2) g^2;
/// p -= lr / (1 - beta1^step) m / (sqrt(v) / sqrt(1 - beta2^step) + eps). With max_v defined (amsgrad), the largest v
/// so far stands for v.
void adam_step(Tensor& parameter, const Tensor& gradient, Tensor& m, Tensor& v, Tensor& max_v, Index step,
               const AdamStepOptions& options);

// What is done to gradients before a step; f32 or f64, in place, and nothing is recorded.

/// The sum of the squares of all elements, added up in double.
[[nodiscard]] double sum_of_squares(const Tensor& x);

/// Multiplies every element by factor.
void scale_in_place(Tensor& x, double factor);

/// Moves every element outside [-limit, limit] to its nearer end; NaN stays. limit >= 0.
void clamp_in_place(Tensor& x, double limit);

}  // namespace tapestry
