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

struct RmspropStepOptions {
  double lr = 1e-2;
  double alpha = 0.99;
  double eps = 1e-8;
  double weight_decay = 0;
  double momentum = 0;
  bool maximize = false;
};

/// g += weight_decay p; v = alpha v + (1 - alpha) g^2; with `mean` defined (the centered form) mean = alpha mean + (1 -
/// alpha) g, and v - mean^2, at least 0, stands for v below; u = g / (sqrt(v) + eps); with `buffer` defined
/// u = buffer = momentum buffer + u; p -= lr u.
void rmsprop_step(Tensor& parameter, const Tensor& gradient, Tensor& square, Tensor& mean, Tensor& buffer,
                  const RmspropStepOptions& options);

struct AdagradStepOptions {
  double lr = 1e-2;
  double lr_decay = 0;  ///< of the rate, per step
  double weight_decay = 0;
  double eps = 1e-10;
  bool maximize = false;
};

/// g += weight_decay p; sum += g^2; p -= lr / (1 + (step - 1) lr_decay) g / (sqrt(sum) + eps).
void adagrad_step(Tensor& parameter, const Tensor& gradient, Tensor& sum, Index step,
                  const AdagradStepOptions& options);

/// With b = momentum buffer + g: g + momentum b with `nesterov`, else b. The buffer stays as it is.
[[nodiscard]] Tensor momentum_direction(const Tensor& gradient, const Tensor& buffer, double momentum, bool nesterov);

/// x = factor x + weight y.
void scale_and_add_in_place(Tensor& x, double factor, const Tensor& y, double weight);

/// x += weight (y - x): x where weight is 0, y where it is 1, and both where they are equal.
void lerp_in_place(Tensor& x, const Tensor& y, double weight);

/// x = y, bit for bit; any dtype.
void copy_in_place(Tensor& x, const Tensor& y);

/// The elements of x and y change places; any dtype.
void swap_in_place(Tensor& x, Tensor& y);

/// The sum of the products of elements, added up in double.
[[nodiscard]] double sum_of_products(const Tensor& x, const Tensor& y);

// What is done to gradients before a step; f32 or f64, in place, and nothing is recorded.

/// The sum of the squares of all elements, added up in double.
[[nodiscard]] double sum_of_squares(const Tensor& x);

/// Multiplies every element by factor.
void scale_in_place(Tensor& x, double factor);

/// Each row of the gradient (all elements at one index of the first dimension; a tensor of less than two dimensions is
/// one row) that is longer than most = factor max(|the parameter's row|, eps) becomes as long as that.
void clip_rows_to_parameter(Tensor& gradient, const Tensor& parameter, double factor, double eps);

/// Moves every element outside [-limit, limit] to its nearer end; NaN stays. limit >= 0.
void clamp_in_place(Tensor& x, double limit);

}  // namespace tapestry
