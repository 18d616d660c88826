#include <tapestry/ops/binary.h>

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
      : tensor_(operand.is_tensor() && wanted ? saved(operand.tensor()) : Saved()), number_(operand.number()) {}
  [[nodiscard]] Operand operator()() const {
    const Tensor& x = tensor_();
    return x.defined() ? Operand(x) : Operand(number_);
  }

 private:
  Saved tensor_;
  double number_;
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

/// Integers have no infinity to divide by zero with.
void check_divisor(const Operand& b) {
  constexpr const char* text = "floor_divide: an integer divisor must not be 0; got 0{}";
  if (!b.is_tensor()) {
    if (b.number() == 0) throw_invalid(text, "");
    return;
  }
  const Tensor zeros = reshape(eq(b.tensor(), 0), {-1});
  if (zeros.numel() > 0 && any(zeros).item<bool>()) {
    throw_invalid(text, format_message(" at element {}", argmax(to(zeros, u8)).item<Index>()));
  }
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
  if (!is_float(common_dtype("floor_divide", a, b))) check_divisor(b);
  const auto constant = [](const Tensor&) { return Tensor(); };
  return record("floor_divide", compute("floor_divide", Binary::floor_divide, a, b),
                wrt(tensor_or_none(a), self_adjoint, constant), wrt(tensor_or_none(b), self_adjoint, constant));
}

Tensor maximum(const Operand& a, const Operand& b) { return extreme("maximum", Binary::maximum, a, b); }
Tensor minimum(const Operand& a, const Operand& b) { return extreme("minimum", Binary::minimum, a, b); }

Tensor operator-(const Operand& x) {
  if (!x.is_tensor()) throw_invalid("neg: the operand must be a tensor; got a number");
  return neg(x.tensor(), x.here);
}

}  // namespace tapestry
