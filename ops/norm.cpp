#include <tapestry/ops/norm.h>

#include <cmath>
#include <limits>
#include <utility>
#include <vector>

#include <tapestry/autograd/base/check.h>
#include <tapestry/autograd/record.h>
#include <tapestry/ops/binary.h>
#include <tapestry/ops/cast.h>
#include <tapestry/ops/compare.h>
#include <tapestry/ops/detail/common.h>
#include <tapestry/ops/detail/fusion.h>
#include <tapestry/ops/kernels/batch_norm.h>
#include <tapestry/ops/kernels/layer_norm.h>
#include <tapestry/ops/reduce.h>
#include <tapestry/ops/shape_ops.h>
#include <tapestry/ops/unary.h>

namespace tapestry {
namespace {

/// Of everything per channel beside x.
Dtype statistics_dtype(const Tensor& x) { return x.dtype() == bf16 ? f32 : x.dtype(); }

/// An optional parameter: x's dtype, f32 if that is bf16, and this shape.
void check_parameter(const char* op, const char* what, const Tensor& parameter, const Tensor& x, const Shape& shape) {
  if (!parameter.defined()) return;
  if (x.dtype() != bf16) check_same_dtype(op, x, parameter);
  else if (parameter.dtype() != f32) {
    throw_invalid("{}: {} must be f32 beside a bf16 input; got {}, convert it with to(x, f32)", op, what,
                  parameter.dtype());
  }
  check_shape(op, what, parameter, shape);
}

void check_eps(const char* op, double eps) {
  if (!(eps >= 0)) throw_invalid("{}: eps must not be negative; got {}", op, eps);
}

Dims all_but_last(const Shape& shape) {
  std::vector<Index> dims(static_cast<std::size_t>(shape.rank() - 1));
  for (std::size_t d = 0; d < dims.size(); ++d) dims[d] = static_cast<Index>(d);
  return Dims(std::move(dims));
}

/// The sum over all dimensions but the last; x itself when there are none.
Tensor sum_per_channel(const Tensor& x) { return x.dim() == 1 ? x : sum(x, {.dim = all_but_last(x.shape())}); }
Tensor mean_per_channel(const Tensor& x) { return x.dim() == 1 ? x : mean(x, {.dim = all_but_last(x.shape())}); }

/// [rows, n] -> [rows, 1].
Tensor mean_per_row(const Tensor& x) { return mean(x, {.dim = 1, .keepdim = true}); }

/// Sums over all rows, per channel, and the gradient they are of, perhaps with a relu that has still to be applied.
template <class T>
struct GradientSums {
  std::vector<double> dy, dy_x;  ///< of the gradient, and of the gradient times (x - mean)
  Tensor gradient;
  kernels::ReluMask<T> mask;
};

/// What the rule of batch_norm needs to know.
struct BatchNormContext {
  Saved x, weight, mean, rstd;         ///< weight may be undefined; mean and rstd are constants [C]
  Saved forward_scale, forward_shift;  ///< [C]: y = (x - mean) * forward_scale + forward_shift
  double eps;
  bool training;

  [[nodiscard]] std::vector<Tensor> fused(const Tensor& dy, const std::vector<bool>& wanted) const;
  template <class T>
  [[nodiscard]] GradientSums<T> sums_of(const Tensor& dy, Index rows, Index channels) const;
  [[nodiscard]] std::vector<Tensor> composed(const Tensor& dy) const;
};

template <class T>
GradientSums<T> BatchNormContext::sums_of(const Tensor& dy, Index rows, Index channels) const {
  GradientSums<T> s{std::vector<double>(static_cast<std::size_t>(channels)),
                    std::vector<double>(static_cast<std::size_t>(channels)),
                    dy,
                    {}};
  const auto sum = [&](const Tensor& gradient, const kernels::ReluMask<T>& mask) {
    kernels::channel_gradient_sums(x().data<T>(), gradient.data<T>(), rows, channels, mean().data<ComputeType<T>>(),
                                   mask, s.dy.data(), s.dy_x.data());
  };
  if (const Ref<ReluGrad> relu = deferred<ReluGrad>(dy)) {
    const ReluGrad::Parts parts = relu->parts();
    if (parts.mean.defined() && parts.mean.is_same(mean())) {  // relu's operand was our y, and x tells its sign
      s.gradient = parts.dy;
      s.mask = {.scale = forward_scale().data<ComputeType<T>>(), .shift = forward_shift().data<ComputeType<T>>()};
      sum(s.gradient, s.mask);
      return s;
    }
    // Others want the gradient behind the relu as well: it is written on the way.
    if (relu->settle_by([&](const std::vector<Tensor>& inputs, std::byte* masked) {
          sum(inputs[0], {.y = inputs[1].data<T>(), .masked = reinterpret_cast<T*>(masked)});
        })) {
      return s;
    }
  }
  sum(dy, {});
  return s;
}

/// The gradients of x, weight and bias by two passes over x and dy.
std::vector<Tensor> BatchNormContext::fused(const Tensor& dy, const std::vector<bool>& wanted) const {
  const Index channels = x().size(-1), rows = channels == 0 ? 0 : x().numel() / channels;
  const Shape per_channel{channels};
  Tensor dx, dweight = empty(per_channel, rstd().dtype()), dbias = empty(per_channel, rstd().dtype());
  visit_any_float(dy.dtype(), [&]<class S>() {
    using T = ComputeType<S>;
    const T* const rstds = rstd().data<T>();
    const T* const weights = weight().defined() ? weight().data<T>() : nullptr;
    const bool sums_wanted = training || wanted[1] || wanted[2];
    const auto none = static_cast<std::size_t>(channels);
    const GradientSums<S> sums = sums_wanted
                                     ? sums_of<S>(dy, rows, channels)
                                     : GradientSums<S>{std::vector<double>(none), std::vector<double>(none), dy, {}};
    const double* const sum_dy = sums.dy.data();
    const double* const sum_dy_x = sums.dy_x.data();
    std::vector<T> factors(static_cast<std::size_t>(3 * channels));
    T* const scale = factors.data();
    T* const offset = scale + channels;
    T* const slope = offset + channels;
    T* const out_weight = dweight.mutable_data<T>();
    T* const out_bias = dbias.mutable_data<T>();
    for (Index c = 0; c < channels; ++c) {
      const auto r = static_cast<double>(rstds[c]);
      out_weight[c] = rows == 0 ? T{0} : static_cast<T>(sum_dy_x[c] * r);  // r is NaN for no rows
      out_bias[c] = static_cast<T>(sum_dy[c]);
      scale[c] = static_cast<T>(weights ? r * static_cast<double>(weights[c]) : r);
      offset[c] = static_cast<T>(sum_dy[c] / static_cast<double>(rows));
      slope[c] = static_cast<T>(sum_dy_x[c] * r * r / static_cast<double>(rows));
    }
    if (!wanted[0]) return;
    dx = empty(dy.shape(), dy.dtype());
    S* const out = dx.mutable_data<S>();
    if (training) {
      kernels::channel_gradient(x().data<S>(), sums.gradient.template data<S>(), rows, channels, mean().data<T>(),
                                sums.mask, scale, offset, slope, out);
    } else {
      kernels::channel_scale(dy.data<S>(), rows, channels, scale, out);
    }
  });
  return {dx, dweight, dbias};
}

/// The same in ops that can be differentiated again. When training, mean and deviation depend on x.
std::vector<Tensor> BatchNormContext::composed(const Tensor& given) const {
  const Tensor dy = widened(given), at = widened(x());
  const Tensor centred = training ? at - mean_per_channel(at) : at - mean();
  const Tensor scale = training ? rsqrt(mean_per_channel(square(centred)) + eps) : rstd();
  const Tensor u = centred * scale;
  const Tensor g = weight().defined() ? dy * weight() : dy;
  const Tensor dx = training ? scale * (g - mean_per_channel(g) - u * mean_per_channel(g * u)) : scale * g;
  return {to(dx, given.dtype()), sum_per_channel(dy * u), sum_per_channel(dy)};
}

/// mean [C] and rstd [C] in T, and what becomes of the running statistics.
struct BatchStatistics {
  Tensor mean, rstd;
  std::vector<double> moments;  ///< mean [C], sum of squared deviations [C]; empty when not training
};

BatchStatistics statistics_of_batch(const Tensor& x, Index rows, double eps) {
  const Index channels = x.size(-1);
  BatchStatistics s{empty({channels}, statistics_dtype(x)), empty({channels}, statistics_dtype(x)),
                    std::vector<double>(static_cast<std::size_t>(2 * channels), 0.0)};
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
                    const std::vector<double>& moments, Index rows) {
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

void check_batch_norm(const Tensor& x, const Tensor& weight, const Tensor& bias, const Tensor& running_mean,
                      const Tensor& running_var, const BatchNormOptions& options) {
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

Tensor batch_norm(const Tensor& x, const Tensor& weight, const Tensor& bias, const Tensor& running_mean,
                  const Tensor& running_var, const BatchNormOptions& options, Here here) {
  const CallSite site(here);
  check_batch_norm(x, weight, bias, running_mean, running_var, options);
  const Index rows = x.size(-1) == 0 ? 0 : x.numel() / x.size(-1);
  const BatchStatistics s = options.training ? statistics_of_batch(x, rows, options.eps)
                                             : running_statistics(running_mean, running_var, options.eps);
  const auto [scale, shift] = affine_of(s, weight, bias);
  Tensor y = defer(x.shape(), x.dtype(), Ref<Deferred>::adopt(new ChannelAffine(x.detach(), s.mean, scale, shift)));
  if (options.training && rows > 0) update_running(running_mean, running_var, options, s.moments, rows);
  return record_joint(
      "batch_norm", std::move(y), {x, weight, bias},
      [context = BatchNormContext{saved(x), saved(weight), saved(s.mean), saved(s.rstd), saved(scale), saved(shift),
                                  options.eps, options.training}](const Tensor& dy, const std::vector<bool>& wanted) {
        return is_grad_enabled() ? context.composed(dy) : context.fused(dy, wanted);
      });
}

namespace {

/// x ends in `shape`, which has a dimension.
void check_normalized_shape(const char* op, const Tensor& x, const Shape& shape) {
  check_float(op, x);
  const Index first = x.dim() - shape.rank();
  bool fits = shape.rank() > 0 && first >= 0;
  for (Index d = 0; fits && d < shape.rank(); ++d) fits = x.size(first + d) == shape[d];
  if (!fits) throw_invalid("{}: the input must end in the normalized shape {}; got {}", op, shape, x.shape());
}

/// x as rows: [rows, n].
Shape row_shape(const Tensor& x, const Shape& normalized_shape) {
  const Index rows = x.shape().numel(0, x.dim() - normalized_shape.rank());
  return {rows, normalized_shape.numel()};
}

struct LayerNormContext {
  Saved x, weight, mean, rstd;  ///< weight may be undefined; mean and rstd are constants [rows]
  Shape normalized_shape;
  double eps;

  [[nodiscard]] std::vector<Tensor> fused(const Tensor& dy, const std::vector<bool>& wanted) const;
  [[nodiscard]] std::vector<Tensor> composed(const Tensor& dy) const;
};

std::vector<Tensor> LayerNormContext::fused(const Tensor& dy, const std::vector<bool>& wanted) const {
  const Shape rows = row_shape(x(), normalized_shape);
  const Tensor factors = weight().defined() ? weight() : ones(normalized_shape, {.dtype = dy.dtype()});
  const bool parameters = wanted[1] || wanted[2];
  Tensor dx, dweight, dbias;
  if (wanted[0]) dx = empty(dy.shape(), dy.dtype());
  if (parameters) {
    dweight = empty(normalized_shape, dy.dtype());
    dbias = empty(normalized_shape, dy.dtype());
  }
  visit_float(dy.dtype(), [&]<class T>() {
    kernels::layer_norm_gradient(x().data<T>(), dy.data<T>(), rows[0], rows[1], factors.data<T>(), mean().data<T>(),
                                 rstd().data<T>(), wanted[0] ? dx.mutable_data<T>() : nullptr,
                                 parameters ? dweight.mutable_data<T>() : nullptr,
                                 parameters ? dbias.mutable_data<T>() : nullptr);
  });
  return {dx, dweight, dbias};
}

std::vector<Tensor> LayerNormContext::composed(const Tensor& dy) const {
  const Shape rows = row_shape(x(), normalized_shape);
  const Tensor x_rows = reshape(x(), rows), dy_rows = reshape(dy, rows);
  const Tensor centred = x_rows - mean_per_row(x_rows);
  const Tensor scale = rsqrt(mean_per_row(square(centred)) + eps);
  const Tensor u = centred * scale;
  const Tensor g = weight().defined() ? dy_rows * reshape(weight(), Shape{rows[1]}) : dy_rows;
  const Tensor dx = scale * (g - mean_per_row(g) - u * mean_per_row(g * u));
  return {reshape(dx, x().shape()), reshape(sum(dy_rows * u, {.dim = 0}), normalized_shape),
          reshape(sum(dy_rows, {.dim = 0}), normalized_shape)};
}

}  // namespace

Tensor layer_norm(const Tensor& x, const Shape& normalized_shape, const Tensor& weight, const Tensor& bias,
                  const LayerNormOptions& options, Here here) {
  const CallSite site(here);
  check_normalized_shape("layer_norm", x, normalized_shape);
  check_parameter("layer_norm", "weight", weight, x, normalized_shape);
  check_parameter("layer_norm", "bias", bias, x, normalized_shape);
  check_eps("layer_norm", options.eps);
  const Shape rows = row_shape(x, normalized_shape);
  Tensor y = empty(x.shape(), x.dtype());
  Tensor mean = empty({rows[0]}, x.dtype()), rstd = empty({rows[0]}, x.dtype());
  const Tensor scale = weight.defined() ? weight : ones(normalized_shape, {.dtype = x.dtype()});
  const Tensor shift = bias.defined() ? bias : zeros(normalized_shape, {.dtype = x.dtype()});
  visit_float(x.dtype(), [&]<class T>() {
    kernels::layer_norm(x.data<T>(), rows[0], rows[1], scale.data<T>(), shift.data<T>(), options.eps,
                        y.mutable_data<T>(), mean.mutable_data<T>(), rstd.mutable_data<T>());
  });
  return record_joint("layer_norm", std::move(y), {x, weight, bias},
                      [context = LayerNormContext{saved(x), saved(weight), saved(mean), saved(rstd), normalized_shape,
                                                  options.eps}](const Tensor& dy, const std::vector<bool>& wanted) {
                        return is_grad_enabled() ? context.composed(dy) : context.fused(dy, wanted);
                      });
}

Tensor group_norm(const Tensor& x, const Tensor& weight, const Tensor& bias, const GroupNormOptions& options,
                  Here here) {
  const CallSite site(here);
  check_float("group_norm", x);
  if (x.dim() < 2) throw_invalid("group_norm: the input must be [N, ..., C]; got {}", x.shape());
  const Index channels = x.size(-1), groups = options.groups;
  if (groups < 1 || channels % groups != 0) {
    throw_invalid("group_norm: groups must divide the channels; got {} groups, {} channels", groups, channels);
  }
  check_parameter("group_norm", "weight", weight, x, {channels});
  check_parameter("group_norm", "bias", bias, x, {channels});
  check_eps("group_norm", options.eps);
  const Index pixels = x.shape().numel(1, x.dim() - 1);
  const Tensor parts = reshape(x, Shape{x.size(0), pixels, groups, channels / groups});
  const Tensor centred = parts - mean(parts, {.dim = {1, 3}, .keepdim = true});
  const Tensor scale = rsqrt(mean(square(centred), {.dim = {1, 3}, .keepdim = true}) + options.eps);
  Tensor y = reshape(centred * scale, x.shape());
  if (weight.defined()) y = y * weight;
  return bias.defined() ? y + bias : y;
}

Tensor rms_norm(const Tensor& x, const Shape& normalized_shape, const Tensor& weight, const RmsNormOptions& options,
                Here here) {
  const CallSite site(here);
  check_normalized_shape("rms_norm", x, normalized_shape);
  check_parameter("rms_norm", "weight", weight, x, normalized_shape);
  const double epsilon =
      x.dtype() == f64 ? std::numeric_limits<double>::epsilon() : std::numeric_limits<float>::epsilon();
  const double eps = options.eps.value_or(epsilon);
  check_eps("rms_norm", eps);
  const Tensor rows = reshape(x, row_shape(x, normalized_shape));
  const Tensor y = reshape(rows * rsqrt(mean_per_row(square(rows)) + eps), x.shape());
  return weight.defined() ? y * weight : y;
}

Tensor normalize(const Tensor& x, const NormalizeOptions& options, Here here) {
  const CallSite site(here);
  check_float("normalize", x);
  check_eps("normalize", options.eps);
  return x / clamp(norm(x, {.dim = options.dim, .keepdim = true}), {.min = options.eps});
}

Tensor cosine_similarity(const Tensor& a, const Tensor& b, const CosineSimilarityOptions& options, Here here) {
  const CallSite site(here);
  check_float("cosine_similarity", a);
  check_same_dtype("cosine_similarity", a, b);
  check_shape("cosine_similarity", "the second operand", b, a.shape());
  check_eps("cosine_similarity", options.eps);
  const ReduceOptions along{.dim = options.dim};
  return sum(a * b, along) /
         (clamp(norm(a, along), {.min = options.eps}) * clamp(norm(b, along), {.min = options.eps}));
}

}  // namespace tapestry
