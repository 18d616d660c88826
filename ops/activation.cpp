#include <tapestry/ops/activation.h>

#include <numbers>
#include <utility>

#include <tapestry/autograd/base/check.h>
#include <tapestry/autograd/record.h>
#include <tapestry/ops/binary.h>
#include <tapestry/ops/cast.h>
#include <tapestry/ops/compare.h>
#include <tapestry/ops/detail/common.h>
#include <tapestry/ops/detail/elementwise.h>
#include <tapestry/ops/shape_ops.h>
#include <tapestry/ops/unary.h>

namespace tapestry {
namespace {

using kernels::Binary;
using kernels::Unary;
using kernels::WithNumber;

/// f of a bf16 tensor by way of f32, for functions and gradients of several steps, each of which would round.
template <class F>
Tensor through_f32(const Tensor& x, const F& f) {
  return to(f(to(x, f32)), bf16);
}

/// dy where y > 0 or NaN, else 0: linear in dy, and its own transpose.
Tensor relu_grad(const Tensor& dy, const Tensor& y) {
  return record("relu_grad", fused_gradient(Binary::relu_grad, dy, y),
                wrt(dy, self_adjoint,
                    [y = saved(detail::without_history(y))](const Tensor& ddx) { return relu_grad(ddx, y()); }));
}

/// x within bounds, with gradient 0 on them and outside.
Tensor bounded(const char* op, const Tensor& x, double low, double high) {
  check_any_float(op, x);
  Tensor y = no_grad([&] { return clamp(x, {.min = low, .max = high}); });
  return record(op, std::move(y), wrt(x, self_adjoint, [x = saved(x), low, high](const Tensor& dy) {
                  return where(logical_and(gt(x(), low), lt(x(), high)), dy, 0.0);
                }));
}

}  // namespace

Tensor relu(const Tensor& x, Here here) {
  const CallSite site(here);
  return record("relu", elementwise("relu", Unary::relu, x),
                wrt(x, self_adjoint, [](const Tensor& dy, const Tensor& y) { return relu_grad(dy, y); }));
}

Tensor leaky_relu(const Tensor& x, const LeakyReluOptions& options, Here here) {
  const CallSite site(here);
  const double slope = options.negative_slope;
  return record(
      "leaky_relu", elementwise("leaky_relu", WithNumber::leaky_relu, x, slope),
      wrt(x, self_adjoint, [x = saved(x), slope](const Tensor& dy) { return where(gt(x(), 0), dy, slope * dy); }));
}

Tensor prelu(const Tensor& x, const Tensor& weight, Here here) {
  const CallSite site(here);
  check_any_float("prelu", x);
  check_defined("prelu", "weight", weight);
  check_same_dtype("prelu", x, weight);
  const Index channels = x.dim() == 0 ? 1 : x.shape()[x.dim() - 1];
  if (weight.dim() != 1 || (weight.numel() != 1 && weight.numel() != channels)) {
    throw_invalid("prelu: the weight must be [1] or [{}], one slope per channel; got {}{}", channels, weight.shape(),
                  channels_first_hint(x.shape(), weight.numel()));
  }
  // A scalar stays one: a weight [1] has no dimension of its own beside it.
  const auto slope = [scalar = x.dim() == 0](const Tensor& w) { return scalar ? reshape(w, Shape{}) : w; };
  Tensor y = no_grad([&] { return where(gt(x, 0), x, slope(weight) * x); });
  return record(
      "prelu", std::move(y),
      wrt(
          x,
          [x = saved(x), w = saved(weight), slope](const Tensor& dy) { return where(gt(x(), 0), dy, slope(w()) * dy); },
          [&](const Tensor& t) { return where(gt(x, 0), t, slope(weight) * t); }),
      wrt(
          weight,
          [x = saved(x)](const Tensor& dy, const Shape& shape) {
            const Tensor each = where(gt(x(), 0), 0.0, x() * dy);
            return x().dim() == 0 ? reshape(each, shape) : sum_to(each, shape);
          },
          [&](const Tensor& t) { return where(gt(x, 0), 0.0, slope(t) * x); }));
}

Tensor elu(const Tensor& x, const EluOptions& options, Here here) {
  const CallSite site(here);
  if (x.dtype() == bf16) return through_f32(x, [&](const Tensor& v) { return elu(v, options); });
  const double alpha = options.alpha;
  return record("elu", elementwise("elu", WithNumber::elu, x, alpha),
                wrt(x, self_adjoint, [x = saved(x), alpha](const Tensor& dy) {
                  // exp(min(x, 0)): above 0 the other branch is taken, and must not meet an overflow
                  return where(gt(x(), 0), dy, dy * (alpha * exp(clamp(x(), {.max = 0}))));
                }));
}

Tensor selu(const Tensor& x, Here here) {
  const CallSite site(here);
  if (x.dtype() == bf16) return through_f32(x, [](const Tensor& v) { return selu(v); });
  constexpr double alpha = 1.6732632423543772, scale = 1.0507009873554805;
  Tensor y = no_grad([&] { return scale * elementwise("selu", WithNumber::elu, x, alpha); });
  return record("selu", std::move(y), wrt(x, self_adjoint, [x = saved(x)](const Tensor& dy) {
                  return where(gt(x(), 0), scale * dy, dy * (scale * alpha * exp(clamp(x(), {.max = 0}))));
                }));
}

Tensor celu(const Tensor& x, const CeluOptions& options, Here here) {
  const CallSite site(here);
  const double alpha = options.alpha;
  if (alpha == 0) throw_invalid("celu: .alpha must not be 0; got 0");
  if (x.dtype() == bf16) return through_f32(x, [&](const Tensor& v) { return celu(v, options); });
  check_any_float("celu", x);
  Tensor y = no_grad([&] { return where(gt(x, 0), x, alpha * expm1(clamp(x, {.max = 0}) / alpha)); });
  return record("celu", std::move(y), wrt(x, self_adjoint, [x = saved(x), alpha](const Tensor& dy) {
                  return where(gt(x(), 0), dy, dy * exp(clamp(x(), {.max = 0}) / alpha));
                }));
}

Tensor silu(const Tensor& x, Here here) {
  const CallSite site(here);
  return record("silu", elementwise("silu", Unary::silu, x), wrt(x, self_adjoint, [x = saved(x)](const Tensor& dy) {
                  if (!is_grad_enabled()) return fused_gradient(Binary::silu_grad, dy, x());
                  const Tensor s = sigmoid(x());
                  return dy * (s * (1 + x() * (1 - s)));
                }));
}

Tensor gelu(const Tensor& x, const GeluOptions& options, Here here) {
  const CallSite site(here);
  if (options.approximate == GeluApproximation::tanh) {
    if (x.dtype() == bf16) return through_f32(x, [&](const Tensor& v) { return gelu(v, options); });
    return record("gelu", elementwise("gelu", Unary::gelu_tanh, x),
                  wrt(x, self_adjoint, [x = saved(x)](const Tensor& dy) {
                    // y = x/2 (1 + t), t = tanh(u), u = k (x + c x^3)
                    constexpr double k = 0.7978845608028654, c = 0.044715;  // k = sqrt(2 / pi)
                    const Tensor squared = square(x());
                    const Tensor t = tanh(k * (x() * (1 + c * squared)));
                    const Tensor du = k * (1 + 3 * c * squared);
                    return dy * (0.5 * (1 + t) + 0.5 * x() * (1 - square(t)) * du);
                  }));
  }
  return record("gelu", elementwise("gelu", Unary::gelu, x), wrt(x, self_adjoint, [x = saved(x)](const Tensor& dy) {
                  if (!is_grad_enabled()) return fused_gradient(Binary::gelu_grad, dy, x());
                  constexpr double inv_sqrt_2pi = std::numbers::inv_sqrtpi / std::numbers::sqrt2;
                  const Tensor distribution = 0.5 * (1 + erf(x() * (std::numbers::sqrt2 / 2)));
                  return dy * (distribution + x() * (inv_sqrt_2pi * exp(-0.5 * square(x()))));
                }));
}

Tensor relu6(const Tensor& x, Here here) {
  const CallSite site(here);
  return bounded("relu6", x, 0, 6);
}

Tensor hardtanh(const Tensor& x, const HardtanhOptions& options, Here here) {
  const CallSite site(here);
  if (!(options.min < options.max)) {
    throw_invalid("hardtanh: .min must be below .max; got {} and {}", options.min, options.max);
  }
  return bounded("hardtanh", x, options.min, options.max);
}

Tensor hardswish(const Tensor& x, Here here) {
  const CallSite site(here);
  if (x.dtype() == bf16) return through_f32(x, [](const Tensor& v) { return hardswish(v); });
  check_any_float("hardswish", x);
  Tensor y = no_grad([&] { return where(le(x, -3), 0.0, where(ge(x, 3), x, x * (x + 3) / 6)); });
  return record("hardswish", std::move(y), wrt(x, self_adjoint, [x = saved(x)](const Tensor& dy) {
                  return where(lt(x(), -3), 0.0, where(gt(x(), 3), dy, dy * (x() / 3 + 0.5)));
                }));
}

Tensor hardsigmoid(const Tensor& x, Here here) {
  const CallSite site(here);
  if (x.dtype() == bf16) return through_f32(x, [](const Tensor& v) { return hardsigmoid(v); });
  check_any_float("hardsigmoid", x);
  Tensor y = no_grad([&] { return clamp(x + 3, {.min = 0, .max = 6}) / 6; });
  return record("hardsigmoid", std::move(y), wrt(x, self_adjoint, [x = saved(x)](const Tensor& dy) {
                  return where(logical_and(gt(x(), -3), lt(x(), 3)), dy / 6, 0.0);
                }));
}

Tensor softplus(const Tensor& x, const SoftplusOptions& options, Here here) {
  const CallSite site(here);
  const double beta = options.beta, threshold = options.threshold;
  if (beta == 0) throw_invalid("softplus: .beta must not be 0; got 0");
  if (x.dtype() == bf16) return through_f32(x, [&](const Tensor& v) { return softplus(v, options); });
  check_any_float("softplus", x);
  // log1p(exp(x)) where that neither overflows nor loses anything
  Tensor y = no_grad([&] {
    const Tensor scaled = beta * x;
    return where(gt(scaled, threshold), x, log1p(exp(clamp(scaled, {.max = threshold}))) / beta);
  });
  return record("softplus", std::move(y), wrt(x, self_adjoint, [x = saved(x), beta, threshold](const Tensor& dy) {
                  const Tensor scaled = beta * x();
                  return where(gt(scaled, threshold), dy, dy * sigmoid(scaled));
                }));
}

Tensor mish(const Tensor& x, Here here) {
  const CallSite site(here);
  if (x.dtype() == bf16) return through_f32(x, [](const Tensor& v) { return mish(v); });
  check_any_float("mish", x);
  Tensor y = no_grad([&] { return x * tanh(softplus(x)); });
  return record("mish", std::move(y), wrt(x, self_adjoint, [x = saved(x)](const Tensor& dy) {
                  const Tensor t = tanh(softplus(x()));
                  return dy * (t + x() * (1 - square(t)) * sigmoid(x()));
                }));
}

Tensor softsign(const Tensor& x, Here here) {
  const CallSite site(here);
  if (x.dtype() == bf16) return through_f32(x, [](const Tensor& v) { return softsign(v); });
  check_any_float("softsign", x);
  Tensor y = no_grad([&] { return x / (1 + abs(x)); });
  return record("softsign", std::move(y),
                wrt(x, self_adjoint, [x = saved(x)](const Tensor& dy) { return dy / square(1 + abs(x())); }));
}

Tensor glu(const Tensor& x, const GluOptions& options, Here here) {
  const CallSite site(here);
  check_any_float("glu", x);
  if (x.dim() == 0) throw_invalid("glu: a scalar has no dim to halve");
  const Index d = normalize_dim("glu", options.dim, x.dim());
  const Index extent = x.shape()[d];
  if (extent % 2 != 0) throw_invalid("glu: the extent of dim {} must be even; got {}", d, extent);
  const Index half = extent / 2;
  return slice(x, {.dim = d, .end = half}) * sigmoid(slice(x, {.dim = d, .begin = half}));
}

Tensor logsigmoid(const Tensor& x, Here here) {
  const CallSite site(here);
  if (x.dtype() == bf16) return through_f32(x, [](const Tensor& v) { return logsigmoid(v); });
  check_any_float("logsigmoid", x);
  // exp never sees a positive number
  Tensor y = no_grad([&] { return clamp(x, {.max = 0}) - log1p(exp(neg(abs(x)))); });
  return record("logsigmoid", std::move(y),
                wrt(x, self_adjoint, [x = saved(x)](const Tensor& dy) { return dy * sigmoid(neg(x())); }));
}

}  // namespace tapestry
