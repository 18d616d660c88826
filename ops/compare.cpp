#include <tapestry/ops/compare.h>

#include <limits>

#include <tapestry/autograd/base/check.h>
#include <tapestry/autograd/record.h>
#include <tapestry/ops/binary.h>
#include <tapestry/ops/broadcast.h>
#include <tapestry/ops/cast.h>
#include <tapestry/ops/detail/common.h>
#include <tapestry/ops/detail/elementwise.h>
#include <tapestry/ops/kernels/logical.h>
#include <tapestry/ops/kernels/visit_size.h>
#include <tapestry/ops/reduce.h>
#include <tapestry/ops/unary.h>

namespace tapestry {
namespace {

using kernels::Compare;
using kernels::Logical;

Tensor compare(const char* op, Compare kernel, const Operand& a, const Operand& b) {
  const CallSite site(a.here, op);
  const Dtype dtype = common_dtype(op, a, b);
  return over_both(op, dtype, boolean, a, b, [&]<class T>(const auto& plan, const T* u, const T* v, Tensor& y) {
    kernels::compare(kernel, plan, u, v, y.mutable_data<bool>());
  });
}

Tensor logical(const char* op, Logical kernel, const Tensor& a, const Tensor& b) {
  check_bool(op, a);
  check_bool(op, b);
  const Shape shape = a.shape() == b.shape() ? a.shape() : broadcast_shape(op, a.shape(), b.shape());
  const Tensor u = broadcast_to(a, shape), v = broadcast_to(b, shape);
  Tensor y = empty(shape, boolean);
  kernels::logical(kernel, u.data<bool>(), v.data<bool>(), y.mutable_data<bool>(), y.numel());
  return y;
}

/// The operand in the result's shape, or a single element when it is a number: a tensor and the step within it.
std::pair<Tensor, Index> choice(const Operand& operand, const Shape& shape, Dtype dtype) {
  if (operand.is_tensor()) return {no_grad([&] { return broadcast_to(operand.tensor(), shape); }), 1};
  Tensor number = empty({}, dtype);
  visit(dtype, [&]<class T>() { *number.mutable_data<T>() = number_as<T>("where", operand); });
  return {number, 0};
}

}  // namespace

Tensor eq(const Operand& a, const Operand& b) { return compare("eq", Compare::eq, a, b); }
Tensor ne(const Operand& a, const Operand& b) { return compare("ne", Compare::ne, a, b); }
Tensor lt(const Operand& a, const Operand& b) { return compare("lt", Compare::lt, a, b); }
Tensor le(const Operand& a, const Operand& b) { return compare("le", Compare::le, a, b); }
Tensor gt(const Operand& a, const Operand& b) { return compare("gt", Compare::gt, a, b); }
Tensor ge(const Operand& a, const Operand& b) { return compare("ge", Compare::ge, a, b); }

Tensor isclose(const Operand& a, const Operand& b, const IscloseOptions& options) {
  const CallSite site(a.here);
  static_cast<void>(common_dtype("isclose", a, b));
  if (!(options.rtol >= 0) || !(options.atol >= 0)) {
    throw_invalid("isclose: .rtol and .atol must not be negative; got {} and {}", options.rtol, options.atol);
  }
  return no_grad([&] {
    const auto wide = [](const Operand& x) {
      return x.is_tensor() ? to(x.tensor(), f64) : full({}, x.number(), {.dtype = f64});
    };
    const Tensor u = wide(a), v = wide(b);
    const Tensor near = logical_and(isfinite(u - v), le(abs(u - v), options.atol + options.rtol * abs(v)));
    const Tensor close = logical_or(near, eq(u, v));  // equal infinities have no difference
    return options.equal_nan ? logical_or(close, logical_and(isnan(u), isnan(v))) : close;
  });
}

bool allclose(const Operand& a, const Operand& b, const IscloseOptions& options) {
  const CallSite site(a.here);
  return all(isclose(a, b, options)).item<bool>();
}

Tensor logical_and(const Tensor& a, const Tensor& b, Here here) {
  const CallSite site(here);
  return logical("logical_and", Logical::both, a, b);
}

Tensor logical_or(const Tensor& a, const Tensor& b, Here here) {
  const CallSite site(here);
  return logical("logical_or", Logical::either, a, b);
}

Tensor logical_xor(const Tensor& a, const Tensor& b, Here here) {
  const CallSite site(here);
  return logical("logical_xor", Logical::one, a, b);
}

Tensor logical_not(const Tensor& a, Here here) {
  const CallSite site(here);
  return logical("logical_not", Logical::none, a, a);
}

Tensor isnan(const Tensor& x, Here here) {
  const CallSite site(here);
  check_any_float("isnan", x);
  return ne(x, x);
}

Tensor isinf(const Tensor& x, Here here) {
  const CallSite site(here);
  check_any_float("isinf", x);
  constexpr double infinity = std::numeric_limits<double>::infinity();
  return logical_or(eq(x, infinity), eq(x, -infinity));
}

Tensor isfinite(const Tensor& x, Here here) {
  const CallSite site(here);
  check_any_float("isfinite", x);
  constexpr double infinity = std::numeric_limits<double>::infinity();
  return logical_and(lt(x, infinity), gt(x, -infinity));
}

Tensor where(const Tensor& condition, const Operand& a, const Operand& b) {
  const CallSite site(a.here);
  if (condition.dtype() != boolean) throw_invalid("where: the condition must be bool; got {}", condition.dtype());
  const Dtype dtype = common_dtype("where", a, b);
  Shape shape = condition.shape();
  if (a.is_tensor()) shape = broadcast_shape("where", shape, a.tensor().shape());
  if (b.is_tensor()) shape = broadcast_shape("where", shape, b.tensor().shape());
  const Tensor mask = broadcast_to(condition, shape);
  const auto [u, u_step] = choice(a, shape, dtype);
  const auto [v, v_step] = choice(b, shape, dtype);
  Tensor y = empty(shape, dtype);
  kernels::visit_size(item_bytes(dtype), [&, &u = u, &v = v, u_step = u_step, v_step = v_step]<class T>() {
    kernels::select(mask.data<bool>(), reinterpret_cast<const T*>(u.impl().bytes()), u_step,
                    reinterpret_cast<const T*>(v.impl().bytes()), v_step, reinterpret_cast<T*>(y.impl().bytes()),
                    y.numel());
  });
  return record("where", std::move(y),
                wrt(
                    tensor_or_none(a),
                    [mask = saved(mask)](const Tensor& dy, const Shape& shape_of_a) {
                      return sum_to(where(mask(), dy, 0.0), shape_of_a);
                    },
                    [&](const Tensor& t) { return where(mask, t, 0.0); }),
                wrt(
                    tensor_or_none(b),
                    [mask = saved(mask)](const Tensor& dy, const Shape& shape_of_b) {
                      return sum_to(where(mask(), 0.0, dy), shape_of_b);
                    },
                    [&](const Tensor& t) { return where(mask, 0.0, t); }));
}

Tensor masked_fill(const Tensor& x, const Tensor& mask, Number value, Here here) {
  const CallSite site(here);
  if (mask.dtype() != boolean) throw_invalid("masked_fill: the mask must be bool; got {}", mask.dtype());
  if (broadcast_shape("masked_fill", x.shape(), mask.shape()) != x.shape()) {
    throw_invalid("masked_fill: the mask must broadcast to x's shape {}; got {}", x.shape(), mask.shape());
  }
  visit(x.dtype(), [&]<class T>() { static_cast<void>(number_as<T>("masked_fill", value)); });
  return where(mask, value, x);
}

}  // namespace tapestry
