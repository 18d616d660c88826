#include <tapestry/ops/loss.h>

#include <tapestry/autograd/base/check.h>
#include <tapestry/autograd/record.h>
#include <tapestry/ops/binary.h>
#include <tapestry/ops/compare.h>
#include <tapestry/ops/detail/common.h>
#include <tapestry/ops/detail/loss.h>
#include <tapestry/ops/kernels/find.h>
#include <tapestry/ops/reduce.h>
#include <tapestry/ops/softmax.h>
#include <tapestry/ops/unary.h>

namespace tapestry {
namespace {

void check_pair(const char* op, const Tensor& x, const Tensor& target, Reduction reduction) {
  check_float(op, x);
  check_same_dtype(op, x, target);
  check_shape(op, "target", target, x.shape());
  check_reduction(op, reduction);
}

Tensor weighted(const char* op, const Tensor& losses, const Tensor& weight) {
  if (!weight.defined()) return losses;
  check_constant(op, "weight", weight, losses);
  check_shape(op, "weight", weight, losses.shape());
  return losses * weight;
}

}  // namespace

Tensor mse_loss(const Tensor& x, const Tensor& target, const LossOptions& options, Here here) {
  const CallSite site(here);
  if (has_bf16(x, target)) return mse_loss(widened(x), widened(target), options);
  check_pair("mse_loss", x, target, options.reduction);
  return reduced(square(x - target), options.reduction);
}

Tensor l1_loss(const Tensor& x, const Tensor& target, const LossOptions& options, Here here) {
  const CallSite site(here);
  if (has_bf16(x, target)) return l1_loss(widened(x), widened(target), options);
  check_pair("l1_loss", x, target, options.reduction);
  return reduced(abs(x - target), options.reduction);
}

Tensor smooth_l1_loss(const Tensor& x, const Tensor& target, const SmoothL1LossOptions& options, Here here) {
  const CallSite site(here);
  if (has_bf16(x, target)) return smooth_l1_loss(widened(x), widened(target), options);
  check_pair("smooth_l1_loss", x, target, options.reduction);
  const double beta = options.beta;
  if (!(beta >= 0)) throw_invalid("smooth_l1_loss: beta must not be negative; got {}", beta);
  const Tensor difference = x - target, distance = abs(difference);
  if (beta == 0) return reduced(distance, options.reduction);
  const Tensor near = square(difference) * (0.5 / beta);
  return reduced(where(lt(distance, beta), near, distance - 0.5 * beta), options.reduction);
}

Tensor huber_loss(const Tensor& x, const Tensor& target, const HuberLossOptions& options, Here here) {
  const CallSite site(here);
  if (has_bf16(x, target)) return huber_loss(widened(x), widened(target), options);
  check_pair("huber_loss", x, target, options.reduction);
  const double delta = options.delta;
  if (!(delta > 0)) throw_invalid("huber_loss: delta must be positive; got {}", delta);
  const Tensor difference = x - target, distance = abs(difference);
  return reduced(where(le(distance, delta), 0.5 * square(difference), delta * (distance - 0.5 * delta)),
                 options.reduction);
}

namespace {

constexpr double kLeastLog = -100;  // the loss of a certain and wrong prediction stays finite, as in PyTorch

Tensor clamped_log(const Tensor& x) { return clamp(log(x), {.min = kLeastLog}); }

void check_probabilities(const char* op, const Tensor& x) {
  visit_float(x.dtype(), [&]<class T>() {
    const T* const values = x.data<T>();
    const Index i = kernels::first_outside(values, x.numel(), T{0}, T{1});
    if (i < x.numel()) throw_invalid("{}: the input must be in [0, 1]; got {} at element {}", op, values[i], i);
  });
}

/// softplus(-x) = log(1 + exp(-x)) without overflow: where no graph is being recorded, since |x| would leave a kink.
Tensor softplus_of_negative(const Tensor& x) { return log1p(exp(neg(abs(x)))) - clamp(x, {.max = 0}); }

/// 1 + (pos_weight - 1) target, the factor of softplus(-x); undefined for 1.
Tensor softplus_factor(const Tensor& target, const Tensor& pos_weight) {
  return pos_weight.defined() ? 1 + (pos_weight - 1) * target : Tensor();
}

Tensor logit_losses(const Tensor& x, const Tensor& target, const Tensor& pos_weight) {
  Tensor y = no_grad([&] {
    const Tensor softplus = softplus_of_negative(x), factor = softplus_factor(target, pos_weight);
    return (1 - target) * x + (factor.defined() ? factor * softplus : softplus);
  });
  return record("binary_cross_entropy_with_logits", std::move(y),
                wrt(x, self_adjoint,
                    [x = saved(x), t = saved(target), pos_weight](const Tensor& dy) {
                      const Tensor falling = sigmoid(neg(x())), factor = softplus_factor(t(), pos_weight);
                      return dy * (1 - t() - (factor.defined() ? factor * falling : falling));
                    }),
                wrt(target, self_adjoint, [x = saved(x), pos_weight](const Tensor& dy) {
                  if (!pos_weight.defined()) return neg(dy * x());
                  return dy *
                         ((pos_weight - 1) * logit_losses(x(), ones_like(x()), {}) - x());  // against 1: softplus(-x)
                }));
}

}  // namespace

Tensor binary_cross_entropy(const Tensor& x, const Tensor& target, const BinaryCrossEntropyOptions& options,
                            Here here) {
  constexpr const char* op = "binary_cross_entropy";
  const CallSite site(here);
  if (has_bf16(x, target)) return binary_cross_entropy(widened(x), widened(target), options);
  check_pair(op, x, target, options.reduction);
  check_probabilities(op, x);
  Tensor y = no_grad([&] { return neg(target * clamped_log(x) + (1 - target) * clamped_log(1 - x)); });
  const Tensor losses = record(op, std::move(y),
                               wrt(x, self_adjoint,
                                   [x = saved(x), t = saved(target)](const Tensor& dy) {
                                     return dy * (x() - t()) / clamp(x() * (1 - x()), {.min = 1e-12});
                                   }),
                               wrt(target, self_adjoint, [x = saved(x)](const Tensor& dy) {
                                 return dy * (clamped_log(1 - x()) - clamped_log(x()));
                               }));
  return reduced(weighted(op, losses, options.weight), options.reduction);
}

Tensor binary_cross_entropy_with_logits(const Tensor& x, const Tensor& target,
                                        const BinaryCrossEntropyWithLogitsOptions& options, Here here) {
  constexpr const char* op = "binary_cross_entropy_with_logits";
  const CallSite site(here);
  if (has_bf16(x, target)) return binary_cross_entropy_with_logits(widened(x), widened(target), options);
  check_pair(op, x, target, options.reduction);
  const Tensor& pos_weight = options.pos_weight;
  if (pos_weight.defined()) {
    check_constant(op, "pos_weight", pos_weight, x);
    if (pos_weight.dim() != 0) check_shape(op, "pos_weight", pos_weight, {x.dim() == 0 ? 1 : x.size(-1)});
  }
  return reduced(weighted(op, logit_losses(x, target, pos_weight), options.weight), options.reduction);
}

Tensor kl_div(const Tensor& log_p, const Tensor& target, const KlDivOptions& options, Here here) {
  const CallSite site(here);
  const bool per_row = options.reduction == Reduction::batchmean;
  if (has_bf16(log_p, target)) return kl_div(widened(log_p), widened(target), options);
  check_pair("kl_div", log_p, target, per_row ? Reduction::sum : options.reduction);
  if (per_row && log_p.dim() == 0) throw_invalid("kl_div: batchmean needs a batch dimension; got shape []");
  const Tensor probability = options.log_target ? exp(target) : target;
  const Tensor is_zero = eq(probability, 0);  // such elements are left out before logarithms make them infinite
  const Tensor log_target = options.log_target ? target : log(where(is_zero, 1.0, target));
  const Tensor losses = where(is_zero, 0.0, probability * (log_target - log_p));
  if (!per_row) return reduced(losses, options.reduction);
  return sum(losses) / static_cast<double>(log_p.size(0));
}

Tensor distillation_loss(const Tensor& student, const Tensor& teacher, const DistillationLossOptions& options,
                         Here here) {
  const CallSite site(here);
  if (has_bf16(student, teacher)) return distillation_loss(widened(student), widened(teacher), options);
  check_pair("distillation_loss", student, teacher, Reduction::sum);
  if (student.dim() != 2) throw_invalid("distillation_loss: logits must be [N, C]; got {}", student.shape());
  const double t = options.temperature;
  if (!(t > 0)) throw_invalid("distillation_loss: temperature must be positive; got {}", t);
  const Tensor divergence = kl_div(log_softmax(student / t), softmax(teacher / t), {.reduction = Reduction::batchmean});
  return divergence * (t * t);
}

}  // namespace tapestry
