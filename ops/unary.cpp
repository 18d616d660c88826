#include <tapestry/ops/unary.h>

#include <numbers>

#include <tapestry/autograd/base/check.h>
#include <tapestry/autograd/record.h>
#include <tapestry/ops/binary.h>
#include <tapestry/ops/compare.h>
#include <tapestry/ops/detail/common.h>
#include <tapestry/ops/detail/elementwise.h>

namespace tapestry {
namespace {

using kernels::Binary;
using kernels::Unary;
using kernels::WithNumber;

/// Floor and its kin: piecewise constant.
Tensor step_function(const char* op, Unary kernel, const Tensor& x) {
  return record(op, elementwise(op, kernel, x), wrt(x, self_adjoint, [](const Tensor&) { return Tensor(); }));
}

}  // namespace

Tensor neg(const Tensor& x, Here here) {
  const CallSite site(here);
  return record("neg", elementwise("neg", Unary::neg, x),
                wrt(x, self_adjoint, [](const Tensor& dy) { return neg(dy); }));
}

Tensor abs(const Tensor& x, Here here) {
  const CallSite site(here);
  return record("abs", elementwise("abs", Unary::abs, x), wrt(x, self_adjoint, [x = saved(x)](const Tensor& dy) {
                  return is_grad_enabled() ? dy * sign(detail::without_history(x()))
                                           : fused_gradient(Binary::abs_grad, dy, x());
                }));
}

Tensor sign(const Tensor& x, Here here) {
  const CallSite site(here);
  return record("sign", elementwise("sign", Unary::sign, x),
                wrt(x, self_adjoint, [](const Tensor&) { return Tensor(); }));
}

Tensor square(const Tensor& x, Here here) {
  const CallSite site(here);
  return record("square", elementwise("square", Unary::square, x),
                wrt(x, self_adjoint, [x = saved(x)](const Tensor& dy) { return 2 * dy * x(); }));
}

Tensor sqrt(const Tensor& x, Here here) {
  const CallSite site(here);
  return record("sqrt", elementwise("sqrt", Unary::sqrt, x),
                wrt(x, self_adjoint, [](const Tensor& dy, const Tensor& y) {
                  return is_grad_enabled() ? dy / (2 * y) : fused_gradient(Binary::sqrt_grad, dy, y);
                }));
}

Tensor rsqrt(const Tensor& x, Here here) {
  const CallSite site(here);
  return record("rsqrt", elementwise("rsqrt", Unary::rsqrt, x),
                wrt(x, self_adjoint, [](const Tensor& dy, const Tensor& y) { return -0.5 * dy * (y * y * y); }));
}

Tensor reciprocal(const Tensor& x, Here here) {
  const CallSite site(here);
  return record("reciprocal", elementwise("reciprocal", Unary::reciprocal, x),
                wrt(x, self_adjoint, [](const Tensor& dy, const Tensor& y) { return neg(dy * square(y)); }));
}

Tensor exp(const Tensor& x, Here here) {
  const CallSite site(here);
  return record("exp", elementwise("exp", Unary::exp, x),
                wrt(x, self_adjoint, [](const Tensor& dy, const Tensor& y) { return dy * y; }));
}

Tensor expm1(const Tensor& x, Here here) {
  const CallSite site(here);
  return record("expm1", elementwise("expm1", Unary::expm1, x),
                wrt(x, self_adjoint, [](const Tensor& dy, const Tensor& y) { return dy * (y + 1); }));
}

Tensor log(const Tensor& x, Here here) {
  const CallSite site(here);
  return record("log", elementwise("log", Unary::log, x),
                wrt(x, self_adjoint, [x = saved(x)](const Tensor& dy) { return dy / x(); }));
}

Tensor log1p(const Tensor& x, Here here) {
  const CallSite site(here);
  return record("log1p", elementwise("log1p", Unary::log1p, x),
                wrt(x, self_adjoint, [x = saved(x)](const Tensor& dy) { return dy / (x() + 1); }));
}

Tensor log2(const Tensor& x, Here here) {
  const CallSite site(here);
  return record("log2", elementwise("log2", Unary::log2, x),
                wrt(x, self_adjoint, [x = saved(x)](const Tensor& dy) { return dy / (x() * std::numbers::ln2); }));
}

Tensor log10(const Tensor& x, Here here) {
  const CallSite site(here);
  return record("log10", elementwise("log10", Unary::log10, x),
                wrt(x, self_adjoint, [x = saved(x)](const Tensor& dy) { return dy / (x() * std::numbers::ln10); }));
}

Tensor sin(const Tensor& x, Here here) {
  const CallSite site(here);
  return record("sin", elementwise("sin", Unary::sin, x),
                wrt(x, self_adjoint, [x = saved(x)](const Tensor& dy) { return dy * cos(x()); }));
}

Tensor cos(const Tensor& x, Here here) {
  const CallSite site(here);
  return record("cos", elementwise("cos", Unary::cos, x),
                wrt(x, self_adjoint, [x = saved(x)](const Tensor& dy) { return neg(dy * sin(x())); }));
}

Tensor tan(const Tensor& x, Here here) {
  const CallSite site(here);
  return record("tan", elementwise("tan", Unary::tan, x),
                wrt(x, self_adjoint, [](const Tensor& dy, const Tensor& y) { return dy * (1 + square(y)); }));
}

Tensor asin(const Tensor& x, Here here) {
  const CallSite site(here);
  return record("asin", elementwise("asin", Unary::asin, x),
                wrt(x, self_adjoint, [x = saved(x)](const Tensor& dy) { return dy * rsqrt((1 - x()) * (1 + x())); }));
}

Tensor acos(const Tensor& x, Here here) {
  const CallSite site(here);
  return record("acos", elementwise("acos", Unary::acos, x), wrt(x, self_adjoint, [x = saved(x)](const Tensor& dy) {
                  return neg(dy * rsqrt((1 - x()) * (1 + x())));
                }));
}

Tensor atan(const Tensor& x, Here here) {
  const CallSite site(here);
  return record("atan", elementwise("atan", Unary::atan, x),
                wrt(x, self_adjoint, [x = saved(x)](const Tensor& dy) { return dy / (1 + square(x())); }));
}

Tensor sinh(const Tensor& x, Here here) {
  const CallSite site(here);
  return record("sinh", elementwise("sinh", Unary::sinh, x),
                wrt(x, self_adjoint, [x = saved(x)](const Tensor& dy) { return dy * cosh(x()); }));
}

Tensor cosh(const Tensor& x, Here here) {
  const CallSite site(here);
  return record("cosh", elementwise("cosh", Unary::cosh, x),
                wrt(x, self_adjoint, [x = saved(x)](const Tensor& dy) { return dy * sinh(x()); }));
}

Tensor asinh(const Tensor& x, Here here) {
  const CallSite site(here);
  return record("asinh", elementwise("asinh", Unary::asinh, x),
                wrt(x, self_adjoint, [x = saved(x)](const Tensor& dy) { return dy / hypot(x(), 1); }));
}

Tensor acosh(const Tensor& x, Here here) {
  const CallSite site(here);
  return record("acosh", elementwise("acosh", Unary::acosh, x), wrt(x, self_adjoint, [x = saved(x)](const Tensor& dy) {
                  return dy * (rsqrt(x() - 1) * rsqrt(x() + 1));
                }));
}

Tensor atanh(const Tensor& x, Here here) {
  const CallSite site(here);
  return record("atanh", elementwise("atanh", Unary::atanh, x),
                wrt(x, self_adjoint, [x = saved(x)](const Tensor& dy) { return dy / ((1 - x()) * (1 + x())); }));
}

Tensor erf(const Tensor& x, Here here) {
  const CallSite site(here);
  return record("erf", elementwise("erf", Unary::erf, x), wrt(x, self_adjoint, [x = saved(x)](const Tensor& dy) {
                  constexpr double two_over_sqrt_pi = 2 * std::numbers::inv_sqrtpi;
                  return dy * (two_over_sqrt_pi * exp(neg(square(x()))));
                }));
}

Tensor tanh(const Tensor& x, Here here) {
  const CallSite site(here);
  return record("tanh", elementwise("tanh", Unary::tanh, x),
                wrt(x, self_adjoint, [](const Tensor& dy, const Tensor& y) {
                  return is_grad_enabled() ? dy * (1 - square(y)) : fused_gradient(Binary::tanh_grad, dy, y);
                }));
}

Tensor sigmoid(const Tensor& x, Here here) {
  const CallSite site(here);
  return record("sigmoid", elementwise("sigmoid", Unary::sigmoid, x),
                wrt(x, self_adjoint, [](const Tensor& dy, const Tensor& y) {
                  return is_grad_enabled() ? dy * (y * (1 - y)) : fused_gradient(Binary::sigmoid_grad, dy, y);
                }));
}

Tensor floor(const Tensor& x, Here here) {
  const CallSite site(here);
  return step_function("floor", Unary::floor, x);
}

Tensor ceil(const Tensor& x, Here here) {
  const CallSite site(here);
  return step_function("ceil", Unary::ceil, x);
}

Tensor round(const Tensor& x, Here here) {
  const CallSite site(here);
  return step_function("round", Unary::round, x);
}

Tensor trunc(const Tensor& x, Here here) {
  const CallSite site(here);
  return step_function("trunc", Unary::trunc, x);
}

Tensor pow(const Tensor& x, double exponent, Here here) {
  const CallSite site(here);
  check_defined("pow", "x", x);
  if (!is_float(x.dtype())) return pow(Operand(x), Operand(exponent));
  return record("pow", elementwise("pow", WithNumber::pow, x, exponent),
                wrt(x, self_adjoint, [x = saved(x), exponent](const Tensor& dy) {
                  if (exponent == 0) return Tensor();
                  return dy * (exponent * pow(x(), exponent - 1));
                }));
}

Tensor clamp(const Tensor& x, const ClampOptions& options, Here here) {
  const CallSite site(here);
  check_any_float("clamp", x);
  if (!options.min && !options.max) throw_invalid("clamp: .min or .max must be given");
  Tensor y = detail::without_history(x);
  if (options.min) y = elementwise("clamp", WithNumber::clamp_low, y, *options.min);
  if (options.max) y = elementwise("clamp", WithNumber::clamp_high, y, *options.max);
  return record("clamp", std::move(y), wrt(x, self_adjoint, [x = saved(x), options](const Tensor& dy) {
                  Tensor inside = no_grad([&] { return eq(x(), x()); });  // not NaN
                  if (options.min) inside = logical_and(inside, ge(x(), *options.min));
                  if (options.max) inside = logical_and(inside, le(x(), *options.max));
                  return where(inside, dy, 0.0);
                }));
}

}  // namespace tapestry
