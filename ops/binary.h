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

/// What a / b leaves: remainder, as in Python, of the quotient rounded down, with the sign of b; fmod, as in C, of the
/// quotient rounded to zero, with the sign of a: -7 by 2 gives 1 and -1. Floats by 0 give NaN; integers throw
/// std::invalid_argument. The gradient of a is 1, that of b the quotient, negated. Keep both operands and y if b needs
/// a gradient, else nothing.
[[nodiscard]] Tensor remainder(const Operand& a, const Operand& b);
[[nodiscard]] Tensor fmod(const Operand& a, const Operand& b);

/// base^exponent; 1 where the exponent is 0. The base's gradient is exponent base^(exponent - 1), 0 for exponent 0; the
/// exponent's y log(base), 0 where the base is 0 and the exponent is not negative. Integers wrap around; a negative
/// exponent among them throws std::invalid_argument. Keeps both operands.
[[nodiscard]] Tensor pow(const Operand& base, const Operand& exponent);

/// The angle of the point (x, y) from the first axis, in (-pi, pi]. Gradients x / r^2 and -y / r^2, r being the length;
/// 0 at the origin. Float only. Keeps both operands.
[[nodiscard]] Tensor atan2(const Operand& y, const Operand& x);

/// sqrt(a^2 + b^2) without overflow in between; gradient 0 at the origin. Float only. Keeps each operand that needs a
/// gradient, and y.
[[nodiscard]] Tensor hypot(const Operand& a, const Operand& b);

/// The larger or smaller of both, where a NaN does not count: NaN only where both are. Ties as for maximum. Float only.
/// Keep both operands.
[[nodiscard]] Tensor fmax(const Operand& a, const Operand& b);
[[nodiscard]] Tensor fmin(const Operand& a, const Operand& b);

/// a + weight (b - a): a for weight 0, exactly b for weight 1. weight is a number or a tensor; all three broadcast.
/// Float only. Composed of other ops.
[[nodiscard]] Tensor lerp(const Operand& a, const Operand& b, const Operand& weight);

/// The larger or smaller of both; NaN where either is NaN. A tie shares the gradient in halves; where an operand is NaN
/// both get all of it. Keeps both operands.
[[nodiscard]] Tensor maximum(const Operand& a, const Operand& b);
[[nodiscard]] Tensor minimum(const Operand& a, const Operand& b);

[[nodiscard]] inline Tensor operator+(const Operand& a, const Operand& b) { return add(a, b); }
[[nodiscard]] inline Tensor operator-(const Operand& a, const Operand& b) { return sub(a, b); }
[[nodiscard]] inline Tensor operator*(const Operand& a, const Operand& b) { return mul(a, b); }
[[nodiscard]] inline Tensor operator/(const Operand& a, const Operand& b) { return div(a, b); }
[[nodiscard]] Tensor operator-(const Operand& x);

/// The elements of x changed in place, as by mutable_data(): every handle on the same storage sees it. b broadcasts to
/// x's shape. For values, as in an update by hand under NoGradGuard: a tensor with history, and a leaf that requires
/// grad while recording is on, throw std::logic_error; write x = x + b there.
Tensor& operator+=(Tensor& x, const Operand& b);
Tensor& operator-=(Tensor& x, const Operand& b);
Tensor& operator*=(Tensor& x, const Operand& b);
Tensor& operator/=(Tensor& x, const Operand& b);

}  // namespace tapestry
