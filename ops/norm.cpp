#include <tapestry/ops/norm.h>

#include <algorithm>
#include <limits>
#include <utility>
#include <vector>

#include <tapestry/autograd/base/check.h>
#include <tapestry/autograd/record.h>
#include <tapestry/ops/binary.h>
#include <tapestry/ops/broadcast.h>
#include <tapestry/ops/detail/common.h>
#include <tapestry/ops/detail/norm_checks.h>
#include <tapestry/ops/kernels/layer_norm.h>
#include <tapestry/ops/reduce.h>
#include <tapestry/ops/shape_ops.h>
#include <tapestry/ops/unary.h>

namespace tapestry {
namespace {

/// [rows, n] -> [rows, 1].
Tensor mean_per_row(const Tensor& x) { return mean(x, {.dim = 1, .keepdim = true}); }

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
  const auto tangent = [&](const std::vector<Tensor>& ts) {
    const Tensor x_rows = reshape(x, rows);
    const Tensor centred = x_rows - mean_per_row(x_rows);
    const Tensor deviation = rsqrt(mean_per_row(square(centred)) + options.eps);
    const Tensor u = centred * deviation;
    const Shape per_element{rows[1]};
    Tensor t;
    if (ts[0].defined()) {
      const Tensor t_rows = reshape(ts[0], rows);
      t = deviation * (t_rows - mean_per_row(t_rows) - u * mean_per_row(t_rows * u));
      if (weight.defined()) t = t * reshape(weight, per_element);
    }
    if (ts[1].defined()) detail::add_tangent(t, u * reshape(ts[1], per_element));
    if (ts[2].defined()) detail::add_tangent(t, broadcast_to(reshape(ts[2], per_element), rows));
    return reshape(t, x.shape());
  };
  return record_joint(
      "layer_norm", std::move(y), {x, weight, bias},
      [context = LayerNormContext{saved(x), saved(weight), saved(mean), saved(rstd), normalized_shape, options.eps}](
          const Tensor& dy, const std::vector<bool>& wanted) {
        return is_grad_enabled() ? context.composed(dy) : context.fused(dy, wanted);
      },
      tangent);
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

Tensor instance_norm(const Tensor& x, const Tensor& weight, const Tensor& bias, const InstanceNormOptions& options,
                     Here here) {
  const CallSite site(here);
  check_float("instance_norm", x);
  if (x.dim() < 3) throw_invalid("instance_norm: the input must be [N, ..., C]; got {}", x.shape());
  const Index channels = x.size(-1), pixels = x.shape().numel(1, x.dim() - 1);
  check_parameter("instance_norm", "weight", weight, x, {channels});
  check_parameter("instance_norm", "bias", bias, x, {channels});
  check_eps("instance_norm", options.eps);
  if (pixels == 1) throw_invalid("instance_norm: an image must have more than one pixel; got {}", x.shape());
  const ReduceOptions over_pixels{.dim = 1, .keepdim = true};
  const Tensor rows = reshape(x, Shape{x.size(0), pixels, channels});
  const Tensor centred = rows - mean(rows, over_pixels);
  Tensor y = centred * rsqrt(mean(square(centred), over_pixels) + options.eps);
  if (weight.defined()) y = y * weight;
  if (bias.defined()) y = y + bias;
  return reshape(y, x.shape());
}

Tensor local_response_norm(const Tensor& x, const LocalResponseNormOptions& options, Here here) {
  const CallSite site(here);
  check_float("local_response_norm", x);
  if (x.dim() == 0) throw_invalid("local_response_norm: the input must have a channel dimension; got shape []");
  if (options.size < 1) throw_invalid("local_response_norm: size must be at least 1; got {}", options.size);
  const Index channels = x.size(-1);
  if (x.numel() == 0) return x / 1;
  // What reaches beyond all channels adds zeros only.
  const Index before = std::min(options.size / 2, channels - 1), after = std::min((options.size - 1) / 2, channels - 1);
  const Tensor squares = reshape(square(x), Shape{x.numel() / channels, channels});
  const Tensor padded = pad(squares, {{0, 0}, {before, after}});
  Tensor sums = narrow(padded, {.dim = 1, .start = 0, .length = channels});
  for (Index start = 1; start <= before + after; ++start) {
    sums = sums + narrow(padded, {.dim = 1, .start = start, .length = channels});
  }
  const Tensor scale = options.k + options.alpha / static_cast<double>(options.size) * sums;
  return x * reshape(pow(scale, -options.beta), x.shape());
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
  // Each by its own length first: a product of both would overflow where the lengths do not.
  const auto direction = [&](const Tensor& x) {
    return x / clamp(norm(x, {.dim = options.dim, .keepdim = true}), {.min = options.eps});
  };
  return sum(direction(a) * direction(b), {.dim = options.dim});
}

}  // namespace tapestry
