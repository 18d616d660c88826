#include <tapestry/ops/unary.h>

#include <numbers>

#include <tapestry/autograd/base/check.h>
#include <tapestry/autograd/record.h>
#include <tapestry/ops/binary.h>
#include <tapestry/ops/compare.h>
#include <tapestry/ops/detail/common.h>
#include <tapestry/ops/kernels/elementwise.h>

namespace tapestry {
namespace {

using kernels::Binary;
using kernels::Unary;

Tensor compute(const char* op, Unary kernel, const Tensor& x) {
  check_any_float(op, x);
  Tensor y = empty(x.shape(), x.dtype());
  visit_any_float(x.dtype(), [&]<class T>() { kernels::unary(kernel, x.data<T>(), y.mutable_data<T>(), x.numel()); });
  return y;
}

/// For the few functions that integers have too.
Tensor compute_any(const char* op, Unary kernel, const Tensor& x) {
  const auto run = [&]<class T>() {
    Tensor y = empty(x.shape(), x.dtype());
    kernels::unary(kernel, x.data<T>(), y.mutable_data<T>(), x.numel());
    return y;
  };
  switch (x.dtype()) {
    case i64: return run.template operator()<std::int64_t>();
    case i32: return run.template operator()<std::int32_t>();
    case u8: return run.template operator()<std::uint8_t>();
    case boolean: throw_invalid("{}: the dtype must be f32, f64, bf16 or an integer; got {}", op, x.dtype());
    default: return compute(op, kernel, x);
  }
}

/// A gradient in one pass, for when nobody wants to differentiate it.
Tensor fused(Binary kernel, const Tensor& dy, const Tensor& kept) {
  Tensor dx = empty(dy.shape(), dy.dtype());
  visit_any_float(dy.dtype(), [&]<class T>() {
    kernels::binary(kernel, {dy.numel(), 1, 1}, dy.data<T>(), kept.data<T>(), dx.mutable_data<T>());
  });
  return dx;
}

/// Floor and its kin: piecewise constant.
Tensor step_function(const char* op, Unary kernel, const Tensor& x) {
  return record(op, compute(op, kernel, x), wrt(x, [](const Tensor&) { return Tensor(); }));
}

}  // namespace

Tensor neg(const Tensor& x, Here here) {
  const CallSite site(here);
  return record("neg", compute_any("neg", Unary::neg, x), wrt(x, [](const Tensor& dy) { return neg(dy); }));
}

Tensor abs(const Tensor& x, Here here) {
  const CallSite site(here);
  return record("abs", compute_any("abs", Unary::abs, x), wrt(x, [x = saved(x)](const Tensor& dy) {
                  return is_grad_enabled() ? dy * sign(x().detach()) : fused(Binary::abs_grad, dy, x());
                }));
}

Tensor sign(const Tensor& x, Here here) {
  const CallSite site(here);
  return record("sign", compute_any("sign", Unary::sign, x), wrt(x, [](const Tensor&) { return Tensor(); }));
}

Tensor square(const Tensor& x, Here here) {
  const CallSite site(here);
  return record("square", compute_any("square", Unary::square, x),
                wrt(x, [x = saved(x)](const Tensor& dy) { return 2 * dy * x(); }));
}

Tensor sqrt(const Tensor& x, Here here) {
  const CallSite site(here);
  return record("sqrt", compute("sqrt", Unary::sqrt, x), wrt(x, [](const Tensor& dy, const Tensor& y) {
                  return is_grad_enabled() ? dy / (2 * y) : fused(Binary::sqrt_grad, dy, y);
                }));
}

Tensor rsqrt(const Tensor& x, Here here) {
  const CallSite site(here);
  return record("rsqrt", compute("rsqrt", Unary::rsqrt, x),
                wrt(x, [](const Tensor& dy, const Tensor& y) { return -0.5 * dy * (y * y * y); }));
}

Tensor reciprocal(const Tensor& x, Here here) {
  const CallSite site(here);
  return record("reciprocal", compute("reciprocal", Unary::reciprocal, x),
                wrt(x, [](const Tensor& dy, const Tensor& y) { return neg(dy * square(y)); }));
}

Tensor exp(const Tensor& x, Here here) {
  const CallSite site(here);
  return record("exp", compute("exp", Unary::exp, x), wrt(x, [](const Tensor& dy, const Tensor& y) { return dy * y; }));
}

Tensor expm1(const Tensor& x, Here here) {
  const CallSite site(here);
  return record("expm1", compute("expm1", Unary::expm1, x),
                wrt(x, [](const Tensor& dy, const Tensor& y) { return dy * (y + 1); }));
}

Tensor log(const Tensor& x, Here here) {
  const CallSite site(here);
  return record("log", compute("log", Unary::log, x), wrt(x, [x = saved(x)](const Tensor& dy) { return dy / x(); }));
}

Tensor log1p(const Tensor& x, Here here) {
  const CallSite site(here);
  return record("log1p", compute("log1p", Unary::log1p, x),
                wrt(x, [x = saved(x)](const Tensor& dy) { return dy / (x() + 1); }));
}

Tensor sin(const Tensor& x, Here here) {
  const CallSite site(here);
  return record("sin", compute("sin", Unary::sin, x),
                wrt(x, [x = saved(x)](const Tensor& dy) { return dy * cos(x()); }));
}

Tensor cos(const Tensor& x, Here here) {
  const CallSite site(here);
  return record("cos", compute("cos", Unary::cos, x),
                wrt(x, [x = saved(x)](const Tensor& dy) { return neg(dy * sin(x())); }));
}

Tensor erf(const Tensor& x, Here here) {
  const CallSite site(here);
  return record("erf", compute("erf", Unary::erf, x), wrt(x, [x = saved(x)](const Tensor& dy) {
                  constexpr double two_over_sqrt_pi = 2 * std::numbers::inv_sqrtpi;
                  return dy * (two_over_sqrt_pi * exp(neg(square(x()))));
                }));
}

Tensor tanh(const Tensor& x, Here here) {
  const CallSite site(here);
  return record("tanh", compute("tanh", Unary::tanh, x), wrt(x, [](const Tensor& dy, const Tensor& y) {
                  return is_grad_enabled() ? dy * (1 - square(y)) : fused(Binary::tanh_grad, dy, y);
                }));
}

Tensor sigmoid(const Tensor& x, Here here) {
  const CallSite site(here);
  return record("sigmoid", compute("sigmoid", Unary::sigmoid, x), wrt(x, [](const Tensor& dy, const Tensor& y) {
                  return is_grad_enabled() ? dy * (y * (1 - y)) : fused(Binary::sigmoid_grad, dy, y);
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

Tensor pow(const Tensor& x, double exponent, Here here) {
  const CallSite site(here);
  check_any_float("pow", x);
  Tensor y = empty(x.shape(), x.dtype());
  visit_any_float(x.dtype(), [&]<class T>() {
    kernels::with_number(kernels::WithNumber::pow, x.data<T>(), static_cast<ComputeType<T>>(exponent),
                         y.mutable_data<T>(), x.numel());
  });
  return record("pow", std::move(y), wrt(x, [x = saved(x), exponent](const Tensor& dy) {
                  if (exponent == 0) return Tensor();
                  return dy * (exponent * pow(x(), exponent - 1));
                }));
}

Tensor clamp(const Tensor& x, const ClampOptions& options, Here here) {
  const CallSite site(here);
  check_any_float("clamp", x);
  if (!options.min && !options.max) throw_invalid("clamp: .min or .max must be given");
  Tensor y = x.detach();
  visit_any_float(x.dtype(), [&]<class T>() {
    using kernels::WithNumber;
    const auto bound = [&](WithNumber op, double value) {
      Tensor bounded = empty(x.shape(), x.dtype());
      kernels::with_number(op, y.data<T>(), static_cast<ComputeType<T>>(value), bounded.mutable_data<T>(), x.numel());
      y = bounded;
    };
    if (options.min) bound(WithNumber::clamp_low, *options.min);
    if (options.max) bound(WithNumber::clamp_high, *options.max);
  });
  return record("clamp", std::move(y), wrt(x, [x = saved(x), options](const Tensor& dy) {
                  Tensor inside = no_grad([&] { return eq(x(), x()); });  // not NaN
                  if (options.min) inside = logical_and(inside, ge(x(), *options.min));
                  if (options.max) inside = logical_and(inside, le(x(), *options.max));
                  return where(inside, dy, 0.0);
                }));
}

}  // namespace tapestry
