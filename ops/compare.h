#pragma once

#include <tapestry/ops/operand.h>

namespace tapestry {

/// Elementwise comparison with broadcasting, of equal dtypes or with a number; the result is bool and has no gradient.
/// A comparison with NaN is false, but for ne. Throws std::invalid_argument as arithmetic does.
[[nodiscard]] Tensor eq(const Operand& a, const Operand& b);
[[nodiscard]] Tensor ne(const Operand& a, const Operand& b);
[[nodiscard]] Tensor lt(const Operand& a, const Operand& b);
[[nodiscard]] Tensor le(const Operand& a, const Operand& b);
[[nodiscard]] Tensor gt(const Operand& a, const Operand& b);
[[nodiscard]] Tensor ge(const Operand& a, const Operand& b);

[[nodiscard]] inline Tensor operator==(const Operand& a, const Operand& b) { return eq(a, b); }  ///< eq(a, b)
[[nodiscard]] inline Tensor operator!=(const Operand& a, const Operand& b) { return ne(a, b); }  ///< ne(a, b)
[[nodiscard]] inline Tensor operator<(const Operand& a, const Operand& b) { return lt(a, b); }   ///< lt(a, b)
[[nodiscard]] inline Tensor operator<=(const Operand& a, const Operand& b) { return le(a, b); }  ///< le(a, b)
[[nodiscard]] inline Tensor operator>(const Operand& a, const Operand& b) { return gt(a, b); }   ///< gt(a, b)
[[nodiscard]] inline Tensor operator>=(const Operand& a, const Operand& b) { return ge(a, b); }  ///< ge(a, b)

struct IscloseOptions {
  double rtol = 1e-5;      ///< part of |b|
  double atol = 1e-8;      ///< added to it
  bool equal_nan = false;  ///< NaN is close to NaN
};
/// |a - b| <= atol + rtol |b|, elementwise with broadcasting; an infinity is close to itself alone. Compared in f64.
[[nodiscard]] Tensor isclose(const Operand& a, const Operand& b, const IscloseOptions& options = {});
/// Whether all are.
[[nodiscard]] bool allclose(const Operand& a, const Operand& b, const IscloseOptions& options = {});

/// Of bool tensors, with broadcasting; another dtype throws std::invalid_argument.
[[nodiscard]] Tensor logical_and(const Tensor& a, const Tensor& b, Here here = {});
[[nodiscard]] Tensor logical_or(const Tensor& a, const Tensor& b, Here here = {});
[[nodiscard]] Tensor logical_xor(const Tensor& a, const Tensor& b, Here here = {});
[[nodiscard]] Tensor logical_not(const Tensor& a, Here here = {});

[[nodiscard]] inline Tensor operator&(const Tensor& a, const Tensor& b) {
  return logical_and(a, b);
}  ///< logical_and(a, b)
[[nodiscard]] inline Tensor operator|(const Tensor& a, const Tensor& b) {
  return logical_or(a, b);
}  ///< logical_or(a, b)
[[nodiscard]] inline Tensor operator^(const Tensor& a, const Tensor& b) {
  return logical_xor(a, b);
}  ///< logical_xor(a, b)
[[nodiscard]] inline Tensor operator!(const Tensor& a) { return logical_not(a); }  ///< logical_not(a)

/// Of f32, f64 or bf16, else std::invalid_argument.
[[nodiscard]] Tensor isnan(const Tensor& x, Here here = {});
[[nodiscard]] Tensor isinf(const Tensor& x, Here here = {});     ///< either infinity
[[nodiscard]] Tensor isfinite(const Tensor& x, Here here = {});  ///< neither NaN nor infinite

/// condition ? a : b, elementwise with broadcasting of all three. Gradients are selected too, never multiplied: the
/// operand that was not taken gets exactly 0. Keeps the condition. Throws std::invalid_argument unless the condition is
/// bool, a and b agree in dtype, and shapes broadcast.
[[nodiscard]] Tensor where(const Tensor& condition, const Operand& a, const Operand& b);

/// x with `value` where mask is true; the gradient is 0 there. mask is bool and broadcasts to x's shape.
[[nodiscard]] Tensor masked_fill(const Tensor& x, const Tensor& mask, Number value, Here here = {});

}  // namespace tapestry
