#include <cmath>
#include <utility>
#include <vector>

#include <tapestry/autograd/base/check.h>
#include <tapestry/autograd/checkpoint.h>
#include <tapestry/autograd/memory/scratch.h>
#include <tapestry/autograd/record.h>
#include <tapestry/ops/binary.h>
#include <tapestry/ops/broadcast.h>
#include <tapestry/ops/cast.h>
#include <tapestry/ops/compare.h>
#include <tapestry/ops/detail/common.h>
#include <tapestry/ops/detail/elementwise.h>
#include <tapestry/ops/detail/norm_checks.h>
#include <tapestry/ops/kernels/batch_norm.h>
#include <tapestry/ops/kernels/elementwise.h>
#include <tapestry/ops/norm.h>
#include <tapestry/ops/reduce.h>
#include <tapestry/ops/unary.h>

namespace tapestry {
namespace {

enum : std::size_t { kX, kWeight, kBias, kResidual };  // positions in what is recorded as batch_norm's inputs

/// Of everything per channel beside x.
Dtype statistics_dtype(const Tensor& x) { return x.dtype() == bf16 ? f32 : x.dtype(); }

Index rows_of(const Tensor& x) { return x.size(-1) == 0 ? 0 : x.numel() / x.size(-1); }

Dims all_but_last(const Shape& shape) {
  std::vector<Index> dims(static_cast<std::size_t>(shape.rank() - 1));
  for (std::size_t d = 0; d < dims.size(); ++d) dims[d] = static_cast<Index>(d);
  return Dims(std::move(dims));
}

/// The sum over all dimensions but the last; x itself when there are none.
Tensor sum_per_channel(const Tensor& x) { return x.dim() == 1 ? x : sum(x, {.dim = all_but_last(x.shape())}); }
Tensor mean_per_channel(const Tensor& x) { return x.dim() == 1 ? x : mean(x, {.dim = all_but_last(x.shape())}); }

/// (x - mean) * scale + shift, then + residual unless that is undefined, then relu if asked for. One pass, unrecorded.
Tensor affine(const Tensor& x, const Tensor& mean, const Tensor& scale, const Tensor& shift, const Tensor& residual,
              bool relu) {
  Tensor y = empty(x.shape(), x.dtype());
  visit_any_float(x.dtype(), [&]<class S>() {
    using T = ComputeType<S>;
    kernels::channel_affine(x.data<S>(), rows_of(x), x.size(-1), mean.data<T>(), scale.data<T>(), shift.data<T>(),
                            residual.defined() ? residual.data<S>() : nullptr, relu, y.mutable_data<S>());
  });
  return y;
}

/// What the rule of batch_norm needs to know.
struct BatchNormContext {
  Saved x, weight, mean, rstd;  ///< weight may be undefined; mean and rstd are constants [C]
  Saved scale, shift;           ///< [C], defined where (x - mean) * scale + shift tells what a relu let through
  Saved y;                      ///< defined where y tells it
  double eps;
  bool training;

  [[nodiscard]] std::vector<Tensor> fused(const Tensor& dy, const std::vector<bool>& wanted) const;
  [[nodiscard]] std::vector<Tensor> composed(const Tensor& dy) const;
  /// (x - mean) * rstd, in the dtype of the statistics.
  [[nodiscard]] Tensor normalized() const { return normalized_and_scale(widened(x())).first; }

 private:
  /// The same of `at`, and rstd [C] as a function of it.
  [[nodiscard]] std::pair<Tensor, Tensor> normalized_and_scale(const Tensor& at) const {
    const Tensor centred = training ? at - mean_per_channel(at) : at - mean();
    Tensor deviation = training ? rsqrt(mean_per_channel(square(centred)) + eps) : rstd();
    return {centred * deviation, deviation};
  }

  template <class S>
  [[nodiscard]] kernels::ReluMask<S> relu_mask() const {
    if (y().defined()) return {.y = y().data<S>()};
    if (!scale().defined()) return {};
    return {.scale = scale().data<ComputeType<S>>(), .shift = shift().data<ComputeType<S>>()};
  }
  /// dy in front of the relu, if there is one, in ops that can be differentiated again.
  [[nodiscard]] Tensor counted(const Tensor& dy) const {
    if (!y().defined() && !scale().defined()) return dy;
    const Tensor out = y().defined() ? y() : affine(x(), mean(), scale(), shift(), {}, false);
    return where(le(out, 0), 0.0, dy);  // a NaN passes, as it does in relu
  }
};

/// Two passes over x and dy, the first of which also writes the residual's gradient; where x needs none, one. In eval
/// mode dx does not depend on the sums over the batch.
std::vector<Tensor> BatchNormContext::fused(const Tensor& dy, const std::vector<bool>& wanted) const {
  const Index channels = x().size(-1), rows = rows_of(x());
  const Shape per_channel{channels};
  const bool sums_wanted = wanted[kWeight] || wanted[kBias] || (training && wanted[kX]);
  Tensor dx, dweight = empty(per_channel, rstd().dtype()), dbias = empty(per_channel, rstd().dtype()), dresidual;
  visit_any_float(dy.dtype(), [&]<class S>() {
    using T = ComputeType<S>;
    const T* const means = mean().data<T>();
    Tensor gradient = dy;  // with the relu that it has still to pass through
    kernels::ReluMask<S> mask = relu_mask<S>();
    if (wanted[kResidual] && mask.y != nullptr) {
      dresidual = empty(dy.shape(), dy.dtype());
      mask.masked = dresidual.mutable_data<S>();
    } else if (wanted[kResidual]) {
      dresidual = dy;
    }
    CountedVector<double> sums(static_cast<std::size_t>(2 * channels));
    double* const sum_dy = sums.data();
    double* const sum_dy_x = sum_dy + channels;
    if (sums_wanted) {
      kernels::channel_gradient_sums(x().data<S>(), dy.data<S>(), rows, channels, means, mask, sum_dy, sum_dy_x);
    } else if (mask.masked != nullptr) {
      kernels::binary(kernels::Binary::relu_grad, {dy.numel(), 1, 1}, dy.data<S>(), mask.y, mask.masked);
    }
    if (mask.masked != nullptr) {
      gradient = dresidual;
      mask = {};
    }

    const T* const rstds = rstd().data<T>();
    const T* const weights = weight().defined() ? weight().data<T>() : nullptr;
    CountedVector<T> factors(static_cast<std::size_t>(3 * channels));
    T* const scales = factors.data();
    T* const offset = scales + channels;
    T* const slope = offset + channels;
    T* const out_weight = dweight.mutable_data<T>();
    T* const out_bias = dbias.mutable_data<T>();
    for (Index c = 0; c < channels; ++c) {
      const auto r = static_cast<double>(rstds[c]);
      out_weight[c] = rows == 0 ? T{0} : static_cast<T>(sum_dy_x[c] * r);  // r is NaN for no rows
      out_bias[c] = static_cast<T>(sum_dy[c]);
      scales[c] = static_cast<T>(weights ? r * static_cast<double>(weights[c]) : r);
      offset[c] = static_cast<T>(sum_dy[c] / static_cast<double>(rows));
      slope[c] = static_cast<T>(sum_dy_x[c] * r * r / static_cast<double>(rows));
    }
    if (!wanted[kX]) return;
    dx = empty(dy.shape(), dy.dtype());
    const S* const g = gradient.data<S>();
    S* const out = dx.mutable_data<S>();
    if (training) {
      kernels::channel_gradient(x().data<S>(), g, rows, channels, means, mask, scales, offset, slope, out);
    } else {
      const bool x_tells = mask.scale != nullptr;
      kernels::channel_scale(x_tells ? x().data<S>() : nullptr, g, rows, channels, x_tells ? means : nullptr, mask,
                             scales, out);
    }
  });
  return {dx, dweight, dbias, dresidual};
}

/// The same in ops that can be differentiated again. When training, mean and deviation depend on x; what the relu let
/// through is a constant.
std::vector<Tensor> BatchNormContext::composed(const Tensor& given) const {
  const Tensor dresidual = counted(given);
  const Tensor dy = widened(dresidual), at = widened(x());
  const auto [u, deviation] = normalized_and_scale(at);
  const Tensor g = weight().defined() ? dy * weight() : dy;
  const Tensor dx = training ? deviation * (g - mean_per_channel(g) - u * mean_per_channel(g * u)) : deviation * g;
  return {to(dx, given.dtype()), sum_per_channel(dy * u), sum_per_channel(dy), dresidual};
}

/// mean [C] and rstd [C] in T, and what becomes of the running statistics.
struct BatchStatistics {
  Tensor mean, rstd;
  CountedVector<double> moments;  ///< mean [C], sum of squared deviations [C]; empty when not training
};

BatchStatistics statistics_of_batch(const Tensor& x, Index rows, double eps) {
  const Index channels = x.size(-1);
  BatchStatistics s{empty({channels}, statistics_dtype(x)), empty({channels}, statistics_dtype(x)),
                    CountedVector<double>(static_cast<std::size_t>(2 * channels), 0.0)};
  visit_any_float(x.dtype(), [&]<class S>() {
    using T = ComputeType<S>;
    double* const mean = s.moments.data();
    double* const m2 = mean + channels;
    if (rows > 0) kernels::channel_moments(x.data<S>(), rows, channels, mean, m2);
    T* const means = s.mean.mutable_data<T>();
    T* const rstds = s.rstd.mutable_data<T>();
    for (Index c = 0; c < channels; ++c) {
      means[c] = static_cast<T>(mean[c]);
      rstds[c] = static_cast<T>(1 / std::sqrt(m2[c] / static_cast<double>(rows) + eps));
    }
  });
  return s;
}

BatchStatistics running_statistics(const Tensor& running_mean, const Tensor& running_var, double eps) {
  BatchStatistics s{
      empty(running_mean.shape(), running_mean.dtype()), empty(running_var.shape(), running_var.dtype()), {}};
  visit_float(running_mean.dtype(), [&]<class T>() {
    T* const means = s.mean.mutable_data<T>();
    T* const rstds = s.rstd.mutable_data<T>();
    for (Index c = 0; c < running_mean.numel(); ++c) {
      means[c] = running_mean.data<T>()[c];
      rstds[c] = static_cast<T>(1 / std::sqrt(static_cast<double>(running_var.data<T>()[c]) + eps));
    }
  });
  return s;
}

/// r = (1 - momentum) r + momentum batch, with the variance divided by rows - 1.
void update_running(Tensor running_mean, Tensor running_var, const BatchNormOptions& options,
                    const CountedVector<double>& moments, Index rows) {
  double momentum = options.momentum.value_or(0);
  if (options.num_batches_tracked.defined()) {
    Tensor tracked = options.num_batches_tracked;
    const std::int64_t batches = ++*tracked.mutable_data<std::int64_t>();
    if (!options.momentum) momentum = 1 / static_cast<double>(batches);
  }
  if (!running_mean.defined()) return;
  visit_float(running_mean.dtype(), [&]<class T>() {
    T* const mean = running_mean.mutable_data<T>();
    T* const var = running_var.mutable_data<T>();
    const Index channels = running_mean.numel();
    for (Index c = 0; c < channels; ++c) {
      const double of_batch = moments[static_cast<std::size_t>(channels + c)] / static_cast<double>(rows - 1);
      mean[c] = static_cast<T>((1 - momentum) * static_cast<double>(mean[c]) +
                               momentum * moments[static_cast<std::size_t>(c)]);
      var[c] = static_cast<T>((1 - momentum) * static_cast<double>(var[c]) + momentum * of_batch);
    }
  });
}

void check_batch_norm(const Tensor& x, const BatchNormTensors& tensors, const BatchNormOptions& options) {
  const auto& [running_mean, running_var, weight, bias] = tensors;
  check_any_float("batch_norm", x);
  if (x.dim() == 0) throw_invalid("batch_norm: the input must have a channel dimension; got shape []");
  const Shape per_channel{x.size(-1)};
  check_parameter("batch_norm", "weight", weight, x, per_channel);
  check_parameter("batch_norm", "bias", bias, x, per_channel);
  check_parameter("batch_norm", "running_mean", running_mean, x, per_channel);
  check_parameter("batch_norm", "running_var", running_var, x, per_channel);
  check_eps("batch_norm", options.eps);
  if (running_mean.defined() != running_var.defined()) {
    throw_invalid("batch_norm: running_mean and running_var must be given together; got {} alone",
                  running_mean.defined() ? "running_mean" : "running_var");
  }
  if (running_mean.defined() && (running_mean.requires_grad() || running_var.requires_grad())) {
    throw_invalid("batch_norm: running statistics must be constants; got one that requires grad");
  }
  if (const Tensor& residual = options.residual; residual.defined()) {
    if (residual.dtype() != x.dtype()) {
      throw_invalid("batch_norm: the residual's dtype must be the input's, {}; got {}, convert it with to(x, {})",
                    x.dtype(), residual.dtype(), x.dtype());
    }
    check_shape("batch_norm", "the residual", residual, x.shape());
  }
  const Tensor& tracked = options.num_batches_tracked;
  if (tracked.defined() && (tracked.dtype() != i64 || tracked.dim() != 0)) {
    throw_invalid("batch_norm: num_batches_tracked must be i64 of shape []; got {} of shape {}", tracked.dtype(),
                  tracked.shape());
  }
  if (!options.training) {
    if (!running_mean.defined())
      throw_invalid("batch_norm: without training there must be running statistics; got none");
    return;
  }
  if (options.momentum && !(*options.momentum >= 0 && *options.momentum <= 1)) {
    throw_invalid("batch_norm: momentum must be in [0, 1]; got {}", *options.momentum);
  }
  if (!options.momentum && running_mean.defined() && !tracked.defined()) {
    throw_invalid("batch_norm: without momentum there must be num_batches_tracked; got none");
  }
  if (x.numel() > 0 && x.numel() == x.size(-1)) {
    throw_invalid("batch_norm: training needs more than one value per channel; got input {}", x.shape());
  }
}

/// The tangent of (x - mean) * rstd * weight + bias + residual. The derivative by x equals its own transpose: it scales
/// every channel and takes its mean and its share in x away.
Tensor tangent_before_relu(const Tensor& x, const Tensor& weight, const BatchStatistics& s,
                           const BatchNormOptions& options, const std::vector<Tensor>& ts) {
  const BatchNormContext context{.x = Saved(x),
                                 .weight = Saved(weight),
                                 .mean = Saved(s.mean),
                                 .rstd = Saved(s.rstd),
                                 .scale = {},
                                 .shift = {},
                                 .y = {},
                                 .eps = options.eps,
                                 .training = options.training};
  Tensor t;
  if (ts[kX].defined()) {
    t = is_grad_enabled() ? context.composed(ts[kX])[kX] : context.fused(ts[kX], {true, false, false, false})[kX];
  }
  if (ts[kWeight].defined()) detail::add_tangent(t, to(context.normalized() * ts[kWeight], x.dtype()));
  if (ts[kBias].defined()) detail::add_tangent(t, to(broadcast_to(ts[kBias], x.shape()), x.dtype()));
  if (ts[kResidual].defined()) detail::add_tangent(t, ts[kResidual]);
  return t;
}

/// t where the relu let something through; linear in t.
Tensor relu_tangent(const Tensor& t, const Tensor& y) {
  return is_grad_enabled() ? where(le(detail::without_history(y), 0), 0.0, t)
                           : fused_gradient(kernels::Binary::relu_grad, t, y);
}

/// scale and shift, [C], of y = (x - mean) * scale + shift.
std::pair<Tensor, Tensor> affine_of(const BatchStatistics& s, const Tensor& weight, const Tensor& bias) {
  Tensor scale = empty(s.rstd.shape(), s.rstd.dtype());
  Tensor shift = empty(s.rstd.shape(), s.rstd.dtype());
  visit_float(s.rstd.dtype(), [&]<class T>() {
    T* const scales = scale.mutable_data<T>();
    T* const shifts = shift.mutable_data<T>();
    for (Index c = 0; c < scale.numel(); ++c) {
      scales[c] = weight.defined() ? s.rstd.data<T>()[c] * weight.data<T>()[c] : s.rstd.data<T>()[c];
      shifts[c] = bias.defined() ? bias.data<T>()[c] : T{0};
    }
  });
  return {scale, shift};
}

}  // namespace

Tensor batch_norm(const Tensor& x, const BatchNormTensors& tensors, const BatchNormOptions& options, Here here) {
  const CallSite site(here);
  check_batch_norm(x, tensors, options);
  const Tensor &running_mean = tensors.running_mean, &running_var = tensors.running_var;
  const Tensor &weight = tensors.weight, &bias = tensors.bias;
  const Index rows = rows_of(x);
  const BatchStatistics s = options.training ? statistics_of_batch(x, rows, options.eps)
                                             : running_statistics(running_mean, running_var, options.eps);
  const auto [scale, shift] = affine_of(s, weight, bias);
  Tensor y = affine(x, s.mean, scale, shift, options.residual, options.relu);
  if (options.training && rows > 0 && !is_recomputing())
    update_running(running_mean, running_var, options, s.moments, rows);
  // What a relu let through can be computed again from x, unless a residual had its share in it. Of y an alias is
  // kept: with y itself its node would own itself.
  const bool y_tells = options.relu && options.residual.defined();
  const bool x_tells = options.relu && !y_tells;
  BatchNormContext context{.x = saved(x),
                           .weight = saved(weight),
                           .mean = saved(s.mean),
                           .rstd = saved(s.rstd),
                           .scale = x_tells ? saved(scale) : Saved(),
                           .shift = x_tells ? saved(shift) : Saved(),
                           .y = y_tells ? saved(detail::without_history(y)) : Saved(),
                           .eps = options.eps,
                           .training = options.training};
  const auto tangent = [&](const std::vector<Tensor>& ts, const Tensor& out) {
    const Tensor t = tangent_before_relu(x, weight, s, options, ts);
    return options.relu && t.defined() ? relu_tangent(t, out) : t;
  };
  return record_joint(
      "batch_norm", std::move(y), {x, weight, bias, options.residual},
      [context = std::move(context)](const Tensor& dy, const std::vector<bool>& wanted) {
        return is_grad_enabled() ? context.composed(dy) : context.fused(dy, wanted);
      },
      tangent);
}

}  // namespace tapestry
