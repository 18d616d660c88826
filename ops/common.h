#pragma once

#include <tapestry/autograd/tensor.h>
#include <tapestry/ops/operand.h>

/// Checks that many ops share. Each throws std::invalid_argument with the op's name in front.
namespace tapestry {

/// x is f32 or f64.
void check_float(const char* op, const Tensor& x);

/// Both have the same dtype.
void check_same_dtype(const char* op, const Tensor& a, const Tensor& b);

/// x has exactly this shape; `what` names x in the message.
void check_shape(const char* op, const char* what, const Tensor& x, const Shape& expected);

/// The number as an element of dtype: an integer dtype refuses fractions and what it cannot hold.
template <class T>
[[nodiscard]] T number_as(const char* op, const Operand& number);

}  // namespace tapestry
