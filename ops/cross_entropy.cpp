#include <tapestry/ops/cross_entropy.h>

#include <cmath>
#include <limits>

#include <tapestry/autograd/base/check.h>
#include <tapestry/autograd/memory/scratch.h>
#include <tapestry/autograd/record.h>
#include <tapestry/ops/binary.h>
#include <tapestry/ops/cast.h>
#include <tapestry/ops/compare.h>
#include <tapestry/ops/detail/common.h>
#include <tapestry/ops/detail/loss.h>
#include <tapestry/ops/kernels/loss.h>
#include <tapestry/ops/reduce.h>
#include <tapestry/ops/shape_ops.h>
#include <tapestry/ops/softmax.h>
#include <tapestry/ops/unary.h>

namespace tapestry {
namespace {

/// The target of a loss over rows of [..., C], checked, and how rows are reduced.
struct RowTarget {
  Tensor labels;         ///< i64, or undefined
  Tensor probabilities;  ///< defined when labels are not
  Tensor weight;
  Index ignore_index;
  double smoothing;
  Reduction reduction;
  Index rows, classes;
  Shape row_shape;  ///< [...]

  template <class T>
  [[nodiscard]] kernels::CrossEntropyTarget<T> view() const {
    return {labels.defined() ? labels.data<std::int64_t>() : nullptr,
            probabilities.defined() ? probabilities.data<T>() : nullptr, weight.defined() ? weight.data<T>() : nullptr,
            ignore_index, smoothing};
  }
};

void check_rows(const char* op, const Tensor& x, const Tensor& weight, Reduction reduction) {
  check_float(op, x, "logits");
  if (x.dim() == 0) throw_invalid("{}: the input must have a class dimension; got shape []", op);
  check_reduction(op, reduction);
  if (!weight.defined()) return;
  check_constant(op, "weight", weight, x);
  check_shape(op, "weight", weight, {x.size(-1)});
}

/// The labels as i64, every one of them in [0, classes) or ignore_index.
Tensor checked_labels(const char* op, const Tensor& target, const Shape& rows, Index classes, Index ignore_index) {
  if (target.dtype() != i64 && target.dtype() != i32) {
    throw_invalid("{}: labels must be i64 or i32; got {}, convert them with to(target, i64)", op, target.dtype());
  }
  if (target.shape() == rows.inserted(rows.rank(), classes)) {
    throw_invalid("{}: target must be {}, a label per row, or probabilities of the logits' dtype; got {} {}", op, rows,
                  target.dtype(), target.shape());
  }
  check_shape(op, "target", target, rows);
  Tensor labels = to(target, i64);
  const auto* const values = labels.data<std::int64_t>();
  for (Index row = 0; row < labels.numel(); ++row) {
    if ((values[row] < 0 || values[row] >= classes) && values[row] != ignore_index) {
      throw_out_of_range("{}: labels must be in [0, {}) or ignore_index {}; got {} in row {}", op, classes,
                         ignore_index, values[row], row);
    }
  }
  return labels;
}

/// What the mean divides by: the weights of the labels that count, or the rows of soft targets.
template <class T>
double mean_divisor(const RowTarget& target) {
  if (!target.labels.defined()) return static_cast<double>(target.rows);
  const auto view = target.view<T>();
  double total = 0;
  for (Index row = 0; row < target.rows; ++row) {
    if (view.labels[row] == view.ignore_index) continue;
    total += view.weight ? static_cast<double>(view.weight[view.labels[row]]) : 1;
  }
  return total;
}

/// [rows] losses -> the result.
template <class T>
Tensor reduce_rows(const CountedVector<double>& losses, const RowTarget& target, double divisor) {
  const bool keep = target.reduction == Reduction::none;
  Tensor y = empty(keep ? target.row_shape : Shape{}, dtype_of<T>);
  T* const out = y.mutable_data<T>();
  if (keep) {
    for (std::size_t row = 0; row < losses.size(); ++row) out[row] = static_cast<T>(losses[row]);
    return y;
  }
  double sum = 0;
  for (const double loss : losses) sum += loss;
  out[0] = static_cast<T>(sum / divisor);
  return y;
}

/// Everything the rules need. The target's tensors are kept through Saved, which notices when they are modified.
struct RowLossContext {
  RowTarget target;
  Saved labels, probabilities, weight;
  double divisor;  ///< of every row's gradient; 1 unless the mean is taken

  [[nodiscard]] const RowTarget& checked() const {
    labels();
    probabilities();
    weight();
    return target;
  }

  /// The factors over the divisor, as constants: t [..., C] and sum(t) [..., 1].
  [[nodiscard]] std::pair<Tensor, Tensor> factors(const Shape& shape, Dtype dtype) const {
    const RowTarget& to_match = checked();
    Tensor t = empty(shape, dtype), sum = empty(shape.with(shape.rank() - 1, 1), dtype);
    visit_float(dtype, [&]<class T>() {
      kernels::cross_entropy_factors(to_match.rows, to_match.classes, to_match.view<T>(), 1 / divisor,
                                     t.mutable_data<T>(), sum.mutable_data<T>());
    });
    return {t, sum};
  }

  /// dy, one number or one per row, in a shape that broadcasts against [..., C].
  [[nodiscard]] Tensor per_row(const Tensor& dy) const {
    return target.reduction == Reduction::none ? unsqueeze(dy, -1) : dy;
  }

  [[nodiscard]] Tensor cross_entropy_gradient(const Tensor& logits, const Tensor& dy) const {
    if (is_grad_enabled()) {
      const auto [t, sum] = factors(logits.shape(), logits.dtype());
      return (softmax(logits) * sum - t) * per_row(dy);
    }
    const RowTarget& to_match = checked();
    Tensor dx = empty(logits.shape(), logits.dtype());
    visit_float(logits.dtype(), [&]<class T>() {
      kernels::cross_entropy_gradient(logits.data<T>(), to_match.rows, to_match.classes, to_match.view<T>(),
                                      1 / divisor, dy.data<T>(), Index{target.reduction == Reduction::none ? 1 : 0},
                                      dx.mutable_data<T>());
    });
    return dx;
  }
};

RowLossContext context_of(const RowTarget& target, double divisor) {
  return {target, saved(target.labels), saved(target.probabilities), saved(target.weight), divisor};
}

/// The same for a tangent rule, which runs at once.
RowLossContext kept_context(const RowTarget& target, double divisor) {
  return {target, Saved(target.labels), Saved(target.probabilities), Saved(target.weight), divisor};
}

/// [..., C] -> one number per row, or one for all.
Tensor sum_rows(const Tensor& x, Reduction reduction) {
  return reduction == Reduction::none ? sum(x, {.dim = -1}) : sum(x);
}

RowTarget cross_entropy_target(const Tensor& logits, const Tensor& target, const CrossEntropyOptions& options) {
  check_rows("cross_entropy", logits, options.weight, options.reduction);
  if (!(options.label_smoothing >= 0 && options.label_smoothing <= 1)) {
    throw_invalid("cross_entropy: label_smoothing must be in [0, 1]; got {}", options.label_smoothing);
  }
  const Shape rows = logits.shape().without(logits.dim() - 1);
  RowTarget t{{},
              {},
              options.weight,
              options.ignore_index,
              options.label_smoothing,
              options.reduction,
              rows.numel(),
              logits.size(-1),
              rows};
  if (!is_float(target.dtype())) {
    t.labels = checked_labels("cross_entropy", target, rows, t.classes, options.ignore_index);
    return t;
  }
  if (target.shape() == rows) {
    throw_invalid("cross_entropy: labels must be i64 or i32; got {} {}, convert them with to(target, i64)",
                  target.dtype(), target.shape());
  }
  check_same_dtype("cross_entropy", logits, target);
  check_shape("cross_entropy", "a soft target", target, logits.shape());
  if (options.ignore_index != CrossEntropyOptions{}.ignore_index) {
    throw_invalid("cross_entropy: ignore_index must not be given with soft targets; got {}", options.ignore_index);
  }
  if (t.rows > 0 && t.classes == 0)
    throw_invalid("cross_entropy: there must be a class; got logits {}", logits.shape());
  t.probabilities = target;
  return t;
}

/// Soft targets that want a gradient of their own.
Tensor composed_cross_entropy(const Tensor& logits, const RowTarget& target) {
  const double spread = target.smoothing / static_cast<double>(target.classes);
  Tensor t = target.probabilities * (1 - target.smoothing) + spread;
  if (target.weight.defined()) t = t * target.weight;
  const Tensor losses = neg(sum(where(eq(t, 0), 0.0, t * log_softmax(logits)), {.dim = -1}));
  return reduced(losses, target.reduction);
}

}  // namespace

Tensor cross_entropy(const Tensor& logits, const Tensor& target, const CrossEntropyOptions& options, Here here) {
  const CallSite site(here);
  check_defined("cross_entropy", "logits", logits);
  check_defined("cross_entropy", "target", target);
  if (has_bf16(logits, target)) return cross_entropy(widened(logits), widened(target), options);
  const RowTarget t = cross_entropy_target(logits, target, options);
  if (is_grad_enabled() && t.probabilities.defined() && t.probabilities.requires_grad()) {
    return composed_cross_entropy(logits, t);
  }
  double divisor = 1;
  Tensor y = visit_float(logits.dtype(), [&]<class T>() {
    CountedVector<double> losses(static_cast<std::size_t>(t.rows));
    kernels::cross_entropy(logits.data<T>(), t.rows, t.classes, t.view<T>(), losses.data());
    if (t.reduction == Reduction::mean) divisor = mean_divisor<T>(t);
    return reduce_rows<T>(losses, t, divisor);
  });
  const auto tangent = [&](const Tensor& u, const Tensor& loss) {
    return sum_rows(u * kept_context(t, divisor).cross_entropy_gradient(logits, ones_like(loss)), t.reduction);
  };
  return record("cross_entropy", std::move(y),
                wrt(
                    logits,
                    [x = saved(logits), context = context_of(t, divisor)](const Tensor& dy) {
                      return context.cross_entropy_gradient(x(), dy);
                    },
                    tangent));
}

Tensor nll_loss(const Tensor& log_p, const Tensor& target, const NllLossOptions& options, Here here) {
  const CallSite site(here);
  check_defined("nll_loss", "log_p", log_p);
  check_defined("nll_loss", "target", target);
  if (log_p.dtype() == bf16) return nll_loss(widened(log_p), target, options);
  check_rows("nll_loss", log_p, options.weight, options.reduction);
  const Shape rows = log_p.shape().without(log_p.dim() - 1);
  const RowTarget t{checked_labels("nll_loss", target, rows, log_p.size(-1), options.ignore_index),
                    {},
                    options.weight,
                    options.ignore_index,
                    0,
                    options.reduction,
                    rows.numel(),
                    log_p.size(-1),
                    rows};
  double divisor = 1;
  Tensor y = visit_float(log_p.dtype(), [&]<class T>() {
    const auto view = t.view<T>();
    CountedVector<double> losses(static_cast<std::size_t>(t.rows), 0.0);
    for (Index row = 0; row < t.rows; ++row) {
      const std::int64_t label = view.labels[row];
      if (label == view.ignore_index) continue;
      const double weight = view.weight ? static_cast<double>(view.weight[label]) : 1;
      if (weight != 0)
        losses[static_cast<std::size_t>(row)] = -weight * static_cast<double>(log_p.data<T>()[row * t.classes + label]);
    }
    if (t.reduction == Reduction::mean) divisor = mean_divisor<T>(t);
    return reduce_rows<T>(losses, t, divisor);
  });
  const auto tangent = [&](const Tensor& u) {
    return neg(sum_rows(u * kept_context(t, divisor).factors(log_p.shape(), u.dtype()).first, t.reduction));
  };
  return record("nll_loss", std::move(y),
                wrt(
                    log_p,
                    [shape = log_p.shape(), context = context_of(t, divisor)](const Tensor& dy) {
                      return no_grad([&] { return neg(context.factors(shape, dy.dtype()).first); }) *
                             context.per_row(dy);
                    },
                    tangent));
}

}  // namespace tapestry
