#pragma once

#include <string>

#include <tapestry/autograd/tensor.h>

namespace tapestry::nn::detail {

enum class Sign { any, not_negative };

/// What is wrong with values from a file, a line each: "\n  conv1.weight: 3 of 864 values are not finite"; empty for
/// nothing, and for dtypes without NaN.
[[nodiscard]] std::string value_faults(const std::string& name, const Tensor& x, Sign sign = Sign::any);

}  // namespace tapestry::nn::detail
