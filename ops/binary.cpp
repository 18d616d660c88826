#include <tapestry/ops/binary.h>

#include <tapestry/autograd/base/check.h>
#include <tapestry/autograd/record.h>
#include <tapestry/ops/broadcast.h>
#include <tapestry/ops/cast.h>
#include <tapestry/ops/compare.h>
#include <tapestry/ops/detail/common.h>
#include <tapestry/ops/kernels/elementwise.h>
#include <tapestry/ops/reduce.h>
#include <tapestry/ops/unary.h>

namespace tapestry {
namespace {

using kernels::Binary;

/// f.operator()<T>() for the types that arithmetic knows.
template <class F>
void visit_arithmetic(const char* op, Dtype dtype, const F& f) {
  switch (dtype) {
    case f32: return f.template operator()<float>();
    case f64: return f.template operator()<double>();
    case bf16: return f.template operator()<BFloat16>();
    case i64: return f.template operator()<std::int64_t>();
    case i32: return f.template operator()<std::int32_t>();
    case u8: return f.template operator()<std::uint8_t>();
    default: throw_invalid("{}: the dtype must be f32, f64, bf16 or an integer; got {}", op, dtype);
  }
}

/// y = op(a, b), where one of them may be a number.
Tensor compute(const char* op, Binary kernel, const Operand& a, const Operand& b) {
  if (!a.is_tensor() || !b.is_tensor()) {
    const Tensor& x = a.is_tensor() ? a.tensor() : b.tensor();
    Tensor y = empty(x.shape(), x.dtype());
    visit_arithmetic(op, x.dtype(), [&]<class T>() {
      const T number = number_as<T>(op, a.is_tensor() ? b : a);
      const T* data = x.data<T>();
      if (a.is_tensor()) kernels::binary(kernel, {x.numel(), 1, 0}, data, &number, y.mutable_data<T>());
      else kernels::binary(kernel, {x.numel(), 0, 1}, &number, data, y.mutable_data<T>());
    });
    return y;
  }
  const Tensor& u = a.tensor();
  const Tensor& v = b.tensor();
  check_same_dtype(op, u, v);
  if (u.shape() == v.shape()) {
    Tensor y = empty(u.shape(), u.dtype());
    visit_arithmetic(op, u.dtype(), [&]<class T>() {
      kernels::binary(kernel, {u.numel(), 1, 1}, u.data<T>(), v.data<T>(), y.mutable_data<T>());
    });
    return y;
  }
  const Shape shape = broadcast_shape(op, u.shape(), v.shape());
  Tensor y = empty(shape, u.dtype());
  visit_arithmetic(op, u.dtype(), [&]<class T>() {
    const kernels::Broadcast plan(shape.begin(), shape.rank(), u.shape().begin(), u.dim(), v.shape().begin(), v.dim());
    kernels::binary(kernel, plan, u.data<T>(), v.data<T>(), y.mutable_data<T>());
  });
  return y;
}

/// The operand as record() wants it: numbers have no gradient.
const Tensor& input(const Operand& operand) {
  static const Tensor none;
  return operand.is_tensor() ? operand.tensor() : none;
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

bool wants_gradient(const Operand& operand) { return detail::has_node(input(operand)); }

Shape shape_of(const Operand& operand) { return operand.is_tensor() ? operand.tensor().shape() : Shape{}; }

void check_one_tensor(const char* op, const Operand& a, const Operand& b) {
  if (!a.is_tensor() && !b.is_tensor()) throw_invalid("{}: one operand must be a tensor; got two numbers", op);
}

/// 1 where a is the operand chosen, 1/2 at ties, 1 where either is NaN, else 0: shares of a maximum's gradient.
Tensor share(const Tensor& chosen, const Operand& a, const Operand& b) {
  return no_grad([&] {
    const Tensor mine = to(eq(a, chosen), chosen.dtype());
    const Tensor other = to(eq(b, chosen), chosen.dtype());
    const Tensor either_nan = isnan(chosen);
    return where(either_nan, 1.0, mine / (mine + other));
  });
}

Tensor extreme(const char* op, Binary kernel, const Operand& a, const Operand& b) {
  check_one_tensor(op, a, b);
  const CallSite site(a.here);
  Tensor y = compute(op, kernel, a, b);
  if (!is_grad_enabled() || !(wants_gradient(a) || wants_gradient(b))) return y;
  const auto rule = [](const Operand& mine, const Operand& other, const Shape& shape) {
    return [mine = Kept(mine, true), other = Kept(other, true), shape](const Tensor& dy, const Tensor& chosen) {
      return sum_to(dy * share(chosen, mine(), other()), shape);
    };
  };
  auto for_a = wrt(input(a), rule(a, b, shape_of(a)));
  auto for_b = wrt(input(b), rule(b, a, shape_of(b)));
  return record(op, std::move(y), std::move(for_a), std::move(for_b));
}

}  // namespace

Tensor add(const Operand& a, const Operand& b) {
  check_one_tensor("add", a, b);
  const CallSite site(a.here);
  return record("add", compute("add", Binary::add, a, b),
                wrt(input(a), [](const Tensor& dy, const Shape& shape) { return sum_to(dy, shape); }),
                wrt(input(b), [](const Tensor& dy, const Shape& shape) { return sum_to(dy, shape); }));
}

Tensor sub(const Operand& a, const Operand& b) {
  check_one_tensor("sub", a, b);
  const CallSite site(a.here);
  return record("sub", compute("sub", Binary::sub, a, b),
                wrt(input(a), [](const Tensor& dy, const Shape& shape) { return sum_to(dy, shape); }),
                wrt(input(b), [](const Tensor& dy, const Shape& shape) { return neg(sum_to(dy, shape)); }));
}

Tensor mul(const Operand& a, const Operand& b) {
  check_one_tensor("mul", a, b);
  const CallSite site(a.here);
  Tensor y = compute("mul", Binary::mul, a, b);
  if (!is_grad_enabled()) return y;
  const bool for_a = wants_gradient(a), for_b = wants_gradient(b);
  if (!for_a && !for_b) return y;
  return record(
      "mul", std::move(y),
      wrt(input(a), [b = Kept(b, for_a)](const Tensor& dy, const Shape& shape) { return sum_to(dy * b(), shape); }),
      wrt(input(b), [a = Kept(a, for_b)](const Tensor& dy, const Shape& shape) { return sum_to(dy * a(), shape); }));
}

Tensor div(const Operand& a, const Operand& b) {
  check_one_tensor("div", a, b);
  const CallSite site(a.here);
  const Dtype dtype = a.is_tensor() ? a.tensor().dtype() : b.tensor().dtype();
  if (!is_float(dtype)) {
    throw_invalid("div: the dtype must be f32, f64 or bf16; got {}, convert it with to(x, f32)", dtype);
  }
  Tensor y = compute("div", Binary::div, a, b);
  if (!is_grad_enabled()) return y;
  const bool for_a = wants_gradient(a), for_b = wants_gradient(b);
  if (!for_a && !for_b) return y;
  return record(
      "div", std::move(y),
      wrt(input(a), [b = Kept(b, for_a)](const Tensor& dy, const Shape& shape) { return sum_to(dy / b(), shape); }),
      wrt(input(b), [a = Kept(a, for_b), b = Kept(b, for_b)](const Tensor& dy, const Shape& shape) {
        return neg(sum_to(dy * (a() / b() / b()), shape));  // b^2 might overflow
      }));
}

Tensor maximum(const Operand& a, const Operand& b) { return extreme("maximum", Binary::maximum, a, b); }
Tensor minimum(const Operand& a, const Operand& b) { return extreme("minimum", Binary::minimum, a, b); }

Tensor operator-(const Operand& x) {
  check_one_tensor("neg", x, x);
  return neg(x.tensor(), x.here);
}

}  // namespace tapestry
