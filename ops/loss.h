#pragma once

#include <tapestry/autograd/tensor.h>
#include <tapestry/ops/cross_entropy.h>
#include <tapestry/ops/reduction.h>

/// Losses of elements; those of labels stand in <tapestry/ops/cross_entropy.h>. Floating-point tensors are f32 or f64,
/// all of one call alike, else std::invalid_argument; what is bf16 counts as f32, also beside f32, and the loss is f32.
/// Shapes must be equal, nothing broadcasts. The mean over nothing is NaN, the sum 0. Differentiable any number of
/// times; what an op composes of others keeps what those keep.
namespace tapestry {

struct LossOptions {
  Reduction reduction = Reduction::mean;
};

/// (x - target)^2. Composed of other ops.
[[nodiscard]] Tensor mse_loss(const Tensor& x, const Tensor& target, const LossOptions& options = {}, Here here = {});

/// |x - target|, gradient 0 where they are equal. Composed of other ops.
[[nodiscard]] Tensor l1_loss(const Tensor& x, const Tensor& target, const LossOptions& options = {}, Here here = {});

struct SmoothL1LossOptions {
  double beta = 1;
  Reduction reduction = Reduction::mean;
};
/// With d = |x - target|: d^2 / (2 beta) where d < beta, else d - beta/2. beta 0 is l1_loss. Composed of other ops.
/// Throws std::invalid_argument for a negative beta.
[[nodiscard]] Tensor smooth_l1_loss(const Tensor& x, const Tensor& target, const SmoothL1LossOptions& options = {},
                                    Here here = {});

struct HuberLossOptions {
  double delta = 1;
  Reduction reduction = Reduction::mean;
};
/// With d = |x - target|: d^2 / 2 where d <= delta, else delta (d - delta/2). Composed of other ops. Throws
/// std::invalid_argument unless delta > 0.
[[nodiscard]] Tensor huber_loss(const Tensor& x, const Tensor& target, const HuberLossOptions& options = {},
                                Here here = {});

struct BinaryCrossEntropyOptions {
  Tensor weight = {};  ///< one factor per element, a constant, of x's shape; undefined: all 1
  Reduction reduction = Reduction::mean;
};
/// -(target log x + (1 - target) log(1 - x)) with logarithms clamped at -100; the gradient
/// (x - target) / max(x (1 - x), 1e-12) stays finite at 0 and 1. Keeps x and target. Throws std::invalid_argument for
/// an x outside [0, 1], naming element and value.
[[nodiscard]] Tensor binary_cross_entropy(const Tensor& x, const Tensor& target,
                                          const BinaryCrossEntropyOptions& options = {}, Here here = {});

struct BinaryCrossEntropyWithLogitsOptions {
  Tensor weight = {};      ///< one factor per element, a constant, of x's shape; undefined: all 1
  Tensor pos_weight = {};  ///< factor of the target, a constant: [C] or a scalar; undefined: 1
  Reduction reduction = Reduction::mean;
};
/// (1 - target) x + (1 + (pos_weight - 1) target) log(1 + exp(-x)): binary_cross_entropy of sigmoid(x) without its
/// overflows. x and target [..., C]. Keeps x and target.
[[nodiscard]] Tensor binary_cross_entropy_with_logits(const Tensor& x, const Tensor& target,
                                                      const BinaryCrossEntropyWithLogitsOptions& options = {},
                                                      Here here = {});

struct KlDivOptions {
  bool log_target = false;  ///< target holds logarithms too
  Reduction reduction = Reduction::mean;
};
/// target (log target - log_p), 0 where target is 0: summed, the Kullback-Leibler divergence of exp(log_p) from target.
/// The mean is over elements; Reduction::batchmean is the divergence per row. Composed of other ops.
[[nodiscard]] Tensor kl_div(const Tensor& log_p, const Tensor& target, const KlDivOptions& options = {},
                            Here here = {});

struct DistillationLossOptions {
  double temperature = 1;
};
/// temperature^2 times the divergence of softmax(student / temperature) from softmax(teacher / temperature), averaged
/// over the first dimension (Hinton, Vinyals and Dean, 2015). Both [N, C]. Composed of other ops. Throws
/// std::invalid_argument unless temperature > 0.
[[nodiscard]] Tensor distillation_loss(const Tensor& student, const Tensor& teacher,
                                       const DistillationLossOptions& options = {}, Here here = {});

}  // namespace tapestry
