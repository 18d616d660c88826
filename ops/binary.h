#pragma once

#include <tapestry/ops/operand.h>

/// Arithmetic with broadcasting. Tensors must agree in dtype, f32, f64, bf16, which is computed in f32, or an integer
/// type (div: float only); a number takes the tensor's dtype. Integers wrap around. Every gradient is summed back to
/// its operand's shape. The result has the broadcast shape. Throws std::invalid_argument when shapes do not broadcast,
/// dtypes differ, or a number does not fit an integer dtype.
namespace tapestry {

[[nodiscard]] Tensor add(const Operand& a, const Operand& b);  ///< a + b; keeps nothing
[[nodiscard]] Tensor sub(const Operand& a, const Operand& b);  ///< a - b; keeps nothing
[[nodiscard]] Tensor mul(const Operand& a, const Operand& b);  ///< a b; keeps each if the other needs a gradient
[[nodiscard]] Tensor div(const Operand& a, const Operand& b);  ///< a / b; keeps b, and a if b needs a gradient

/// a / b rounded down: -7 by 2 gives -4. As in Python, with the exact remainder: 1 by 0.1 gives 9, for the f64 nearest
/// to 0.1 is a little more. Floats by 0 give what div gives; integers throw std::invalid_argument. Its gradient is 0;
/// keeps nothing.
[[nodiscard]] Tensor floor_divide(const Operand& a, const Operand& b);

/// The larger or smaller of both; NaN where either is NaN. A tie shares the gradient in halves; where an operand is NaN
/// both get all of it. Keeps both operands.
[[nodiscard]] Tensor maximum(const Operand& a, const Operand& b);
[[nodiscard]] Tensor minimum(const Operand& a, const Operand& b);

[[nodiscard]] inline Tensor operator+(const Operand& a, const Operand& b) { return add(a, b); }
[[nodiscard]] inline Tensor operator-(const Operand& a, const Operand& b) { return sub(a, b); }
[[nodiscard]] inline Tensor operator*(const Operand& a, const Operand& b) { return mul(a, b); }
[[nodiscard]] inline Tensor operator/(const Operand& a, const Operand& b) { return div(a, b); }
[[nodiscard]] Tensor operator-(const Operand& x);

}  // namespace tapestry
