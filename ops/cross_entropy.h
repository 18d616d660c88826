#pragma once

#include <tapestry/autograd/tensor.h>
#include <tapestry/ops/reduction.h>

/// Losses of a label per row. Dtypes and empty batches as in <tapestry/ops/loss.h>. Differentiable any number of times.
namespace tapestry {

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

}  // namespace tapestry
