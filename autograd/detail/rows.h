#pragma once

#include <vector>

#include <tapestry/autograd/tensor.h>

/// The two moves of elements that derivatives of several outputs need. Recorded; each is the other's transpose.
namespace tapestry::detail {

/// All elements of the rows one behind another, in this shape. No row at all gives an empty tensor.
[[nodiscard]] Tensor stack_rows(const std::vector<Tensor>& rows, const Shape& shape, Dtype dtype);

/// The elements of x from `at` on, in this shape: a view.
[[nodiscard]] Tensor take_part(const Tensor& x, const Shape& shape, Index at);

/// x as a matrix of `rows` rows, transposed, in this shape.
[[nodiscard]] Tensor swap_parts(const Tensor& x, Index rows, const Shape& shape);

}  // namespace tapestry::detail
