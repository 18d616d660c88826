#pragma once

#include <tapestry/autograd/tensor.h>
#include <tapestry/ops/detail/common.h>
#include <tapestry/ops/kernels/elementwise.h>

/// One pass over the elements of one or two tensors, as several ops call it: makes the result and chooses the loop by
/// dtype.
namespace tapestry {

/// y = kernel(x), of f32, f64 or bf16; for neg, abs, sign and square of integers too. Throws std::invalid_argument for
/// other dtypes.
[[nodiscard]] Tensor elementwise(const char* op, kernels::Unary kernel, const Tensor& x);

/// y = kernel(x, number), of f32, f64 or bf16, else std::invalid_argument.
[[nodiscard]] Tensor elementwise(const char* op, kernels::WithNumber kernel, const Tensor& x, double number);

/// A gradient in one pass, for when nobody wants to differentiate it: kernel(dy, what the op kept), equal in shape and
/// dtype.
[[nodiscard]] Tensor fused_gradient(kernels::Binary kernel, const Tensor& dy, const Tensor& kept);

// --- two operands, one of which may be a number

namespace detail {
inline const Tensor no_tensor;
[[nodiscard]] Dtype dtype_beside_number(const char* op, const Operand& a, const Operand& b);
}  // namespace detail

/// The dtype of both. Throws std::invalid_argument for two numbers and for tensors of different dtypes.
[[nodiscard]] inline Dtype common_dtype(const char* op, const Operand& a, const Operand& b) {
  if (a.is_tensor() && b.is_tensor() && a.tensor().defined() && b.tensor().defined() &&
      a.tensor().dtype() == b.tensor().dtype()) {
    return a.tensor().dtype();
  }
  return detail::dtype_beside_number(op, a, b);
}

/// What they broadcast to, else std::invalid_argument.
[[nodiscard]] Shape common_shape(const char* op, const Operand& a, const Operand& b);

/// The operand as record() wants it: undefined for a number, which has no gradient.
[[nodiscard]] inline const Tensor& tensor_or_none(const Operand& operand) noexcept {
  return operand.is_tensor() ? operand.tensor() : detail::no_tensor;
}

/// How both are walked to fill a result of this shape, their common one.
[[nodiscard]] kernels::Broadcast broadcast_plan(const Operand& a, const Operand& b, const Shape& shape);

/// Calls f.operator()<T>(elements of a, elements of b), where T stores their dtype and a number is one element. Throws
/// std::invalid_argument for a number that T cannot hold.
template <class F>
void visit_elements(const char* op, Dtype dtype, const Operand& a, const Operand& b, const F& f) {
  visit(dtype, [&]<class T>() {
    if (a.is_tensor() && b.is_tensor()) return f(a.tensor().data<T>(), b.tensor().data<T>());
    const T number = number_as<T>(op, a.is_tensor() ? b : a);
    if (a.is_tensor()) f(a.tensor().data<T>(), &number);
    else f(&number, b.tensor().data<T>());
  });
}

/// The result of two operands element by element: an uninitialised tensor of dtype `result` in their common shape,
/// filled by f(plan, elements of a, elements of b, y), where `operands` is their common dtype. Throws as common_shape
/// and visit_elements do.
template <class F>
[[nodiscard]] Tensor over_both(const char* op, Dtype operands, Dtype result, const Operand& a, const Operand& b,
                               const F& f) {
  // Of a tiny op, finding out how equal shapes broadcast would be a tenth of its time (bench_overhead).
  const bool equal = a.is_tensor() && b.is_tensor() && a.tensor().shape() == b.tensor().shape();
  const Shape shape = equal ? a.tensor().shape() : common_shape(op, a, b);
  const kernels::Broadcast plan = equal ? kernels::Broadcast(shape.numel(), 1, 1) : broadcast_plan(a, b, shape);
  Tensor y = empty(shape, result);
  visit_elements(op, operands, a, b, [&]<class T>(const T* u, const T* v) { f(plan, u, v, y); });
  return y;
}

}  // namespace tapestry
