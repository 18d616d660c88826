#include <tapestry/ops/binary.h>

#include <algorithm>

#include <tapestry/autograd/base/check.h>
#include <tapestry/autograd/record.h>
#include <tapestry/ops/broadcast.h>
#include <tapestry/ops/cast.h>
#include <tapestry/ops/compare.h>
#include <tapestry/ops/detail/common.h>
#include <tapestry/ops/detail/elementwise.h>
#include <tapestry/ops/reduce.h>
#include <tapestry/ops/shape_ops.h>
#include <tapestry/ops/unary.h>

namespace tapestry {
namespace {

using kernels::Binary;

/// y = kernel(a, b), where one of them may be a number.
Tensor compute(const char* op, Binary kernel, const Operand& a, const Operand& b) {
  const Dtype dtype = common_dtype(op, a, b);
  check_arithmetic(op, dtype);
  return over_both(op, dtype, dtype, a, b, [&]<class T>(const auto& plan, const T* u, const T* v, Tensor& y) {
    if constexpr (!std::is_same_v<T, bool>) kernels::binary(kernel, plan, u, v, y.mutable_data<T>());
  });
}

/// A tensor kept for backward, or a number.
class Kept {
 public:
  explicit Kept(const Operand& operand, bool wanted)
      : tensor_(operand.is_tensor() && wanted ? saved(operand.tensor()) : Saved()), number_(operand.exact_number()) {}
  [[nodiscard]] Operand operator()() const {
    const Tensor& x = tensor_();
    return x.defined() ? Operand(x) : Operand(number_);
  }

 private:
  Saved tensor_;
  Number number_;
};

bool wants_gradient(const Operand& operand) { return detail::has_node(tensor_or_none(operand)); }

Shape shape_of(const Operand& operand) { return operand.is_tensor() ? operand.tensor().shape() : Shape{}; }

/// 1 where a is the operand chosen, 1/2 at ties, 1 where either is NaN, else 0: shares of a maximum's gradient.
Tensor share(const Tensor& chosen, const Operand& a, const Operand& b) {
  return no_grad([&] {
    const Tensor mine = to(eq(a, chosen), chosen.dtype());
    const Tensor other = to(eq(b, chosen), chosen.dtype());
    const Tensor either_nan = isnan(chosen);
    return where(either_nan, 1.0, mine / (mine + other));
  });
}

/// The number where `wrong(b)` holds and where that is, or nothing: "0 at element 3".
template <class Wrong>
std::string first_wrong(const Operand& b, const Wrong& wrong) {
  if (!b.is_tensor()) {
    return wrong(scalar(b.number(), {.dtype = f64})).template item<bool>() ? to_string(b.exact_number()) : "";
  }
  return no_grad([&] {
    const Tensor bad = reshape(wrong(b.tensor()), {-1});
    if (bad.numel() == 0 || !any(bad).template item<bool>()) return std::string();
    const Index at = argmax(to(bad, u8)).template item<Index>();
    const Tensor value = slice(reshape(b.tensor(), {-1}), {.begin = at, .end = at + 1});
    return format_message("{} at element {}", value.item<std::int64_t>(), at);
  });
}

/// Integers have no infinity to divide by zero with.
void check_divisor(const char* op, const Operand& a, const Operand& b) {
  if (is_float(common_dtype(op, a, b))) return;
  const std::string zero = first_wrong(b, [](const Tensor& t) { return eq(t, 0); });
  if (!zero.empty()) throw_invalid("{}: an integer divisor must not be 0; got {}", op, zero);
}

/// The dtype of both, which must be a float.
void check_float_operands(const char* op, const Operand& a, const Operand& b) {
  if (!is_float(common_dtype(op, a, b))) check_any_float(op, a.is_tensor() ? a.tensor() : b.tensor());
}

/// remainder and fmod: y = a - b q with a whole number q, which is a constant.
Tensor rest(const char* op, Binary kernel, const Operand& a, const Operand& b) {
  const CallSite site(a.here, op);
  check_divisor(op, a, b);
  const auto quotient = [](const Operand& u, const Operand& v, const Tensor& y) {
    return no_grad([&] { return round((u - y) / v); });
  };
  Tensor y = compute(op, kernel, a, b);
  const bool for_b = wants_gradient(b);
  return record(
      op, std::move(y),
      wrt(
          tensor_or_none(a), [](const Tensor& dy, const Shape& shape) { return sum_to(dy, shape); },
          [](const Tensor& t, const Tensor& result) { return broadcast_to(t, result.shape()); }),
      wrt(
          tensor_or_none(b),
          [a = Kept(a, for_b), b = Kept(b, for_b), shape = shape_of(b), quotient](
              const Tensor& dy, const Tensor& result) { return neg(sum_to(dy * quotient(a(), b(), result), shape)); },
          [&](const Tensor& t, const Tensor& result) { return neg(t * quotient(a, b, result)); }));
}

/// d/d(base) of base^exponent, 0 for exponent 0 whatever the base.
Tensor slope_in_base(const Operand& base, const Tensor& exponent) {
  const Tensor zero = eq(exponent, 0);
  return where(zero, 0.0, exponent * pow(base, where(zero, 1.0, exponent) - 1));
}

/// d/d(exponent) of base^exponent, 0 where the base is 0 and the exponent is not negative.
Tensor slope_in_exponent(const Operand& base, const Tensor& exponent) {
  const Tensor b = base.is_tensor() ? base.tensor() : full({}, base.exact_number(), {.dtype = exponent.dtype()});
  const Tensor flat = no_grad([&] { return logical_and(eq(b + 0 * exponent, 0), ge(exponent + 0 * b, 0)); });
  return where(flat, 0.0, pow(b, exponent) * log(where(flat, 1.0, b)));
}

/// a / r^2 for the length r, 0 where that is 0.
Tensor over_square(const Operand& a, const Tensor& r) {
  const Tensor zero = eq(r, 0);
  const Tensor divisor = where(zero, 1.0, r);
  return where(zero, 0.0, a / divisor / divisor);
}

/// a / r for the length r, 0 where that is 0.
Tensor over_length(const Operand& a, const Tensor& r) {
  const Tensor zero = eq(r, 0);
  return where(zero, 0.0, a / where(zero, 1.0, r));
}

/// y, of which nothing is recorded.
Tensor unrecorded(const char* op, Tensor y, const Operand& a, const Operand& b) {
  if (detail::call_state.watcher) [[unlikely]]
    detail::watch_op(op, y, {&tensor_or_none(a), &tensor_or_none(b)}, a.here);
  return y;
}

Tensor extreme(const char* op, Binary kernel, const Operand& a, const Operand& b) {
  const CallSite site(a.here, op);
  Tensor y = compute(op, kernel, a, b);
  if (!is_grad_enabled() || !(wants_gradient(a) || wants_gradient(b))) return unrecorded(op, std::move(y), a, b);
  const auto rule = [](const Operand& mine, const Operand& other, const Shape& shape) {
    return [mine = Kept(mine, true), other = Kept(other, true), shape](const Tensor& dy, const Tensor& chosen) {
      return sum_to(dy * share(chosen, mine(), other()), shape);
    };
  };
  auto for_a = wrt(tensor_or_none(a), rule(a, b, shape_of(a)),
                   [&](const Tensor& t, const Tensor& chosen) { return t * share(chosen, a, b); });
  auto for_b = wrt(tensor_or_none(b), rule(b, a, shape_of(b)),
                   [&](const Tensor& t, const Tensor& chosen) { return t * share(chosen, b, a); });
  return record(op, std::move(y), std::move(for_a), std::move(for_b));
}

}  // namespace

Tensor add(const Operand& a, const Operand& b) {
  const CallSite site(a.here);
  const auto spread = [](const Tensor& t, const Tensor& y) { return broadcast_to(t, y.shape()); };
  return record("add", compute("add", Binary::add, a, b),
                wrt(
                    tensor_or_none(a), [](const Tensor& dy, const Shape& shape) { return sum_to(dy, shape); }, spread),
                wrt(
                    tensor_or_none(b), [](const Tensor& dy, const Shape& shape) { return sum_to(dy, shape); }, spread));
}

Tensor sub(const Operand& a, const Operand& b) {
  const CallSite site(a.here);
  return record("sub", compute("sub", Binary::sub, a, b),
                wrt(
                    tensor_or_none(a), [](const Tensor& dy, const Shape& shape) { return sum_to(dy, shape); },
                    [](const Tensor& t, const Tensor& y) { return broadcast_to(t, y.shape()); }),
                wrt(
                    tensor_or_none(b), [](const Tensor& dy, const Shape& shape) { return neg(sum_to(dy, shape)); },
                    [](const Tensor& t, const Tensor& y) { return broadcast_to(neg(t), y.shape()); }));
}

Tensor mul(const Operand& a, const Operand& b) {
  const CallSite site(a.here);
  Tensor y = compute("mul", Binary::mul, a, b);
  if (!is_grad_enabled()) return unrecorded("mul", std::move(y), a, b);
  const bool for_a = wants_gradient(a), for_b = wants_gradient(b);
  if (!for_a && !for_b) return unrecorded("mul", std::move(y), a, b);
  return record("mul", std::move(y),
                wrt(
                    tensor_or_none(a),
                    [b = Kept(b, for_a)](const Tensor& dy, const Shape& shape) { return sum_to(dy * b(), shape); },
                    [&](const Tensor& t) { return t * b; }),
                wrt(
                    tensor_or_none(b),
                    [a = Kept(a, for_b)](const Tensor& dy, const Shape& shape) { return sum_to(dy * a(), shape); },
                    [&](const Tensor& t) { return t * a; }));
}

Tensor div(const Operand& a, const Operand& b) {
  const CallSite site(a.here);
  const Dtype dtype = common_dtype("div", a, b);
  if (!is_float(dtype)) {
    throw_invalid("div: the dtype must be f32, f64 or bf16; got {}, convert it with to(x, f32){}", dtype,
                  dtype == boolean ? "" : " or use floor_divide");
  }
  Tensor y = compute("div", Binary::div, a, b);
  if (!is_grad_enabled()) return unrecorded("div", std::move(y), a, b);
  const bool for_a = wants_gradient(a), for_b = wants_gradient(b);
  if (!for_a && !for_b) return unrecorded("div", std::move(y), a, b);
  return record("div", std::move(y),
                wrt(
                    tensor_or_none(a),
                    [b = Kept(b, for_a)](const Tensor& dy, const Shape& shape) { return sum_to(dy / b(), shape); },
                    [&](const Tensor& t) { return t / b; }),
                wrt(
                    tensor_or_none(b),
                    [a = Kept(a, for_b), b = Kept(b, for_b)](const Tensor& dy, const Shape& shape) {
                      return neg(sum_to(dy * (a() / b() / b()), shape));  // b^2 might overflow
                    },
                    [&](const Tensor& t, const Tensor& quotient) { return neg(t * (quotient / b)); }));
}

Tensor floor_divide(const Operand& a, const Operand& b) {
  const CallSite site(a.here);
  check_divisor("floor_divide", a, b);
  const auto constant = [](const Tensor&) { return Tensor(); };
  return record("floor_divide", compute("floor_divide", Binary::floor_divide, a, b),
                wrt(tensor_or_none(a), self_adjoint, constant), wrt(tensor_or_none(b), self_adjoint, constant));
}

Tensor remainder(const Operand& a, const Operand& b) { return rest("remainder", Binary::remainder, a, b); }
Tensor fmod(const Operand& a, const Operand& b) { return rest("fmod", Binary::fmod, a, b); }

Tensor pow(const Operand& base, const Operand& exponent) {
  const CallSite site(base.here);
  const Dtype dtype = common_dtype("pow", base, exponent);
  if (!is_float(dtype)) {
    const std::string negative = first_wrong(exponent, [](const Tensor& t) { return lt(t, 0); });
    if (!negative.empty()) throw_invalid("pow: an integer's exponent must not be negative; got {}", negative);
    return compute("pow", Binary::pow, base, exponent);
  }
  if (!exponent.is_tensor()) return pow(base.tensor(), exponent.number());
  const bool for_base = wants_gradient(base), for_exponent = wants_gradient(exponent);
  const bool wanted = for_base || for_exponent;
  return record("pow", compute("pow", Binary::pow, base, exponent),
                wrt(
                    tensor_or_none(base),
                    [b = Kept(base, wanted), e = Kept(exponent, wanted)](const Tensor& dy, const Shape& shape) {
                      return sum_to(dy * slope_in_base(b(), e().tensor()), shape);
                    },
                    [&](const Tensor& t) { return t * slope_in_base(base, exponent.tensor()); }),
                wrt(
                    exponent.tensor(),
                    [b = Kept(base, wanted), e = Kept(exponent, wanted)](const Tensor& dy, const Shape& shape) {
                      return sum_to(dy * slope_in_exponent(b(), e().tensor()), shape);
                    },
                    [&](const Tensor& t) { return t * slope_in_exponent(base, exponent.tensor()); }));
}

Tensor atan2(const Operand& y, const Operand& x) {
  const CallSite site(y.here);
  check_float_operands("atan2", y, x);
  const bool wanted = wants_gradient(y) || wants_gradient(x);
  return record("atan2", compute("atan2", Binary::atan2, y, x),
                wrt(
                    tensor_or_none(y),
                    [y = Kept(y, wanted), x = Kept(x, wanted)](const Tensor& g, const Shape& shape) {
                      return sum_to(g * over_square(x(), hypot(y(), x())), shape);
                    },
                    [&](const Tensor& t) { return t * over_square(x, hypot(y, x)); }),
                wrt(
                    tensor_or_none(x),
                    [y = Kept(y, wanted), x = Kept(x, wanted)](const Tensor& g, const Shape& shape) {
                      return neg(sum_to(g * over_square(y(), hypot(y(), x())), shape));
                    },
                    [&](const Tensor& t) { return neg(t * over_square(y, hypot(y, x))); }));
}

Tensor hypot(const Operand& a, const Operand& b) {
  const CallSite site(a.here);
  check_float_operands("hypot", a, b);
  const auto rule = [](const Operand& mine) {
    return [mine = Kept(mine, wants_gradient(mine)), shape = shape_of(mine)](const Tensor& dy, const Tensor& y) {
      return sum_to(dy * over_length(mine(), y), shape);
    };
  };
  auto for_a = wrt(tensor_or_none(a), rule(a), [&](const Tensor& t, const Tensor& y) { return t * over_length(a, y); });
  auto for_b = wrt(tensor_or_none(b), rule(b), [&](const Tensor& t, const Tensor& y) { return t * over_length(b, y); });
  return record("hypot", compute("hypot", Binary::hypot, a, b), std::move(for_a), std::move(for_b));
}

Tensor fmax(const Operand& a, const Operand& b) {
  const CallSite site(a.here);
  check_float_operands("fmax", a, b);
  return extreme("fmax", Binary::fmax, a, b);
}

Tensor fmin(const Operand& a, const Operand& b) {
  const CallSite site(a.here);
  check_float_operands("fmin", a, b);
  return extreme("fmin", Binary::fmin, a, b);
}

Tensor lerp(const Operand& a, const Operand& b, const Operand& weight) {
  const CallSite site(a.here);
  check_float_operands("lerp", a, b);
  // From the nearer end, so that both ends are exact.
  const Tensor way = b - a;
  if (!weight.is_tensor()) return weight.number() < 0.5 ? a + weight * way : b - (1 - weight.number()) * way;
  return where(lt(weight, 0.5), a + weight * way, b - (1 - weight) * way);
}

Tensor maximum(const Operand& a, const Operand& b) { return extreme("maximum", Binary::maximum, a, b); }
Tensor minimum(const Operand& a, const Operand& b) { return extreme("minimum", Binary::minimum, a, b); }

Tensor operator-(const Operand& x) {
  if (!x.is_tensor()) throw_invalid("neg: the operand must be a tensor; got a number");
  return neg(x.tensor(), x.here);
}

namespace {
/// x = op(x, b) in x's own storage.
template <class Op>
Tensor& in_place(const char* op, const char* sign, Tensor& x, const Operand& b, const Op& f) {
  const CallSite site(b.here, op);
  check_defined(op, "x", x);
  if (!x.is_leaf() || (x.requires_grad() && is_grad_enabled())) {
    throw_logic(
        "{}: in place a tensor must have no part in a recording; write x = x {} b, or open a NoGradGuard for a leaf",
        op, sign);
  }
  if (b.is_tensor() && broadcast_shape(op, x.shape(), b.tensor().shape()) != x.shape()) {
    throw_invalid("{}: the right side must broadcast to {}, the shape of the left one; got {}", op, x.shape(),
                  b.tensor().shape());
  }
  const Tensor y = no_grad([&] { return f(x, b); });
  visit(x.dtype(), [&]<class T>() { std::copy_n(y.data<T>(), y.numel(), x.mutable_data<T>(b.here)); });
  return x;
}
}  // namespace

Tensor& operator+=(Tensor& x, const Operand& b) {
  return in_place("add", "+", x, b, [](const Tensor& u, const Operand& v) { return u + v; });
}
Tensor& operator-=(Tensor& x, const Operand& b) {
  return in_place("sub", "-", x, b, [](const Tensor& u, const Operand& v) { return u - v; });
}
Tensor& operator*=(Tensor& x, const Operand& b) {
  return in_place("mul", "*", x, b, [](const Tensor& u, const Operand& v) { return u * v; });
}
Tensor& operator/=(Tensor& x, const Operand& b) {
  return in_place("div", "/", x, b, [](const Tensor& u, const Operand& v) { return u / v; });
}

}  // namespace tapestry
