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

Tensor softplus(const Tensor& x, Here here) {
  const CallSite site(here);
  if (x.dtype() == bf16) return through_f32(x, [](const Tensor& v) { return softplus(v); });
  check_any_float("softplus", x);
  // log1p(exp(x)) where that neither overflows nor loses anything
  Tensor y = no_grad([&] { return where(gt(x, 20), x, log1p(exp(clamp(x, {.max = 20})))); });
  return record("softplus", std::move(y),
                wrt(x, self_adjoint, [x = saved(x)](const Tensor& dy) { return dy * sigmoid(x()); }));
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
