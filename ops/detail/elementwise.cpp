#include <tapestry/ops/detail/elementwise.h>

#include <tapestry/autograd/base/check.h>

namespace tapestry {
namespace {

/// The functions that integers have too.
bool is_for_integers(kernels::Unary kernel) {
  using kernels::Unary;
  return kernel == Unary::neg || kernel == Unary::abs || kernel == Unary::sign || kernel == Unary::square;
}

}  // namespace

Tensor elementwise(const char* op, kernels::Unary kernel, const Tensor& x) {
  if (is_for_integers(kernel)) check_arithmetic(op, x.dtype());
  else check_any_float(op, x);
  Tensor y = empty(x.shape(), x.dtype());
  visit(x.dtype(), [&]<class T>() {
    if constexpr (!std::is_same_v<T, bool>) kernels::unary(kernel, x.data<T>(), y.mutable_data<T>(), x.numel());
  });
  return y;
}

Tensor elementwise(const char* op, kernels::WithNumber kernel, const Tensor& x, double number) {
  check_any_float(op, x);
  Tensor y = empty(x.shape(), x.dtype());
  visit_any_float(x.dtype(), [&]<class T>() {
    kernels::with_number(kernel, x.data<T>(), static_cast<ComputeType<T>>(number), y.mutable_data<T>(), x.numel());
  });
  return y;
}

Tensor fused_gradient(kernels::Binary kernel, const Tensor& dy, const Tensor& kept) {
  Tensor dx = empty(dy.shape(), dy.dtype());
  visit_any_float(dy.dtype(), [&]<class T>() {
    kernels::binary(kernel, {dy.numel(), 1, 1}, dy.data<T>(), kept.data<T>(), dx.mutable_data<T>());
  });
  return dx;
}

Dtype detail::dtype_beside_number(const char* op, const Operand& a, const Operand& b) {
  if (a.is_tensor()) check_defined(op, "a", a.tensor());
  if (b.is_tensor()) check_defined(op, "b", b.tensor());
  if (a.is_tensor() && b.is_tensor()) check_same_dtype(op, a.tensor(), b.tensor());
  if (!a.is_tensor() && !b.is_tensor()) throw_invalid("{}: one of a and b must be a tensor; got two numbers", op);
  return a.is_tensor() ? a.tensor().dtype() : b.tensor().dtype();
}

Shape common_shape(const char* op, const Operand& a, const Operand& b) {
  if (!a.is_tensor()) return b.tensor().shape();
  if (!b.is_tensor() || a.tensor().shape() == b.tensor().shape()) return a.tensor().shape();
  return broadcast_shape(op, a.tensor().shape(), b.tensor().shape());
}

kernels::Broadcast broadcast_plan(const Operand& a, const Operand& b, const Shape& shape) {
  if (!a.is_tensor()) return {shape.numel(), 0, 1};
  if (!b.is_tensor()) return {shape.numel(), 1, 0};
  const Shape& u = a.tensor().shape();
  const Shape& v = b.tensor().shape();
  if (u == v) return {shape.numel(), 1, 1};
  return {shape.begin(), shape.rank(), u.begin(), u.rank(), v.begin(), v.rank()};
}

}  // namespace tapestry
