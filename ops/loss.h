#pragma once

#include <tapestry/autograd/tensor.h>

/// Losses. Floating-point tensors are f32 or f64, all of one call alike, else std::invalid_argument; what is bf16
/// counts as f32, also beside f32, and the loss is f32. Shapes must be equal, nothing broadcasts. The mean over nothing
/// is NaN, the sum 0. Differentiable any number of times; what an op composes of others keeps what those keep.
namespace tapestry {

/// From one loss per element (per row for cross_entropy and nll_loss) to the result.
enum class Reduction {
  mean,      ///< a scalar: the average
  sum,       ///< a scalar
  none,      ///< all of them
  batchmean  ///< of kl_div only: the sum divided by the first extent
};

struct CrossEntropyOptions {
  Tensor weight = {};          ///< [C], one factor per class, a constant; undefined: all 1
  Index ignore_index = -100;   ///< rows with this label count for nothing; not with soft targets
  double label_smoothing = 0;  ///< in [0, 1]: the part of every target that is spread evenly over the classes
  Reduction reduction = Reduction::mean;
};

/// Cross entropy of softmax(logits) against a label per row, or against a distribution per row.
///
///   logits  [..., C]
///   target  [...]     labels, i64 or i32, in [0, C) or ignore_index
///           [..., C]  probabilities in the logits' dtype (soft targets)
///   result  [] or, with Reduction::none, [...]
///
/// With p = softmax(logits), smoothing s and class weights w, a row with label y has the loss
/// (1 - s) w_y (-log p_y) + s/C sum_c w_c (-log p_c), and the mean divides by the sum of w_y over rows that are not
/// ignored; with probabilities q it is sum_c w_c ((1 - s) q_c + s/C) (-log p_c), and the mean divides by the number of
/// rows. A class whose factor is 0 adds 0, even where its log p is infinite. The gradient (p sum(t) - t) * scale, with
/// t the factors of -log p, is one fused pass when no graph is being created. Keeps logits, target and weight.
///
/// Throws std::out_of_range naming row and value for a label outside [0, C), std::invalid_argument for shapes, dtypes,
/// a smoothing outside [0, 1], soft targets with an ignore_index, and a weight that requires a gradient.
[[nodiscard]] Tensor cross_entropy(const Tensor& logits, const Tensor& target, const CrossEntropyOptions& options = {},
                                   Here here = {});

struct NllLossOptions {
  Tensor weight = {};         ///< [C], one factor per class, a constant; undefined: all 1
  Index ignore_index = -100;  ///< rows with this label count for nothing
  Reduction reduction = Reduction::mean;
};

/// Negative log-likelihood -w_y log_p[y] of a label y per row; what cross_entropy does behind its log_softmax.
///
///   log_p   [..., C]
///   target  [...]  labels, i64 or i32, in [0, C) or ignore_index
///   result  [] or, with Reduction::none, [...]
///
/// The mean divides by the sum of w_y. Keeps target and weight. Throws as cross_entropy does.
[[nodiscard]] Tensor nll_loss(const Tensor& log_p, const Tensor& target, const NllLossOptions& options = {},
                              Here here = {});

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
