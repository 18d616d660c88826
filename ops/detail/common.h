#pragma once

#include <tapestry/autograd/tensor.h>
#include <tapestry/ops/operand.h>

/// Checks that many ops share. Each throws std::invalid_argument with the op's name in front.
namespace tapestry {

/// x is defined; `what` names it in the message of the std::logic_error.
inline void check_defined(const char* op, const char* what, const Tensor& x) {
  if (!x.defined()) detail::throw_undefined(op, what);
}

/// x is defined, and f32 or f64.
void check_float(const char* op, const Tensor& x, const char* what = "x");

/// x is defined, and f32, f64 or bf16.
void check_any_float(const char* op, const Tensor& x, const char* what = "x");

/// The dtype is any but bool.
void check_arithmetic(const char* op, Dtype dtype);

/// x is bool.
void check_bool(const char* op, const Tensor& x);

/// The shape is [N, H, W, C].
void check_image(const char* op, const Shape& shape);

/// What to say behind a complaint about the channels of x: advice where x looks like [N, C, H, W], else nothing.
[[nodiscard]] const char* channels_first_hint(const Shape& x, Index channels) noexcept;

/// Both have the same dtype.
void check_same_dtype(const char* op, const Tensor& a, const Tensor& b);

/// x has exactly this shape; `what` names x in the message.
void check_shape(const char* op, const char* what, const Tensor& x, const Shape& expected);

/// All are f32 or bf16, or undefined: what autocast is for.
[[nodiscard]] bool is_f32_or_bf16(const Tensor& a, const Tensor& b, const Tensor& c = {}) noexcept;

/// One of them is bf16.
[[nodiscard]] bool has_bf16(const Tensor& a, const Tensor& b) noexcept;

/// x, or x in f32 if it is bf16: for ops that compute in f32 and give f32.
[[nodiscard]] Tensor widened(const Tensor& x);

/// The number as an element of dtype: an integer dtype refuses fractions and what it cannot hold.
template <class T>
[[nodiscard]] T number_as(const char* op, const Operand& number);

}  // namespace tapestry
