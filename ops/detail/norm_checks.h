#pragma once

#include <tapestry/autograd/tensor.h>

/// Checks that the ops of <tapestry/ops/norm.h> share. Each throws std::invalid_argument with the op's name in front.
namespace tapestry {

/// An optional parameter: of this shape and of x's dtype, but f32 if that is bf16.
void check_parameter(const char* op, const char* what, const Tensor& parameter, const Tensor& x, const Shape& shape);

/// eps is not negative.
void check_eps(const char* op, double eps);

}  // namespace tapestry
