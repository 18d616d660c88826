#pragma once

#include <tapestry/autograd/tensor.h>

namespace tapestry {

/// x repeated to `shape`: aligned at the last dimension, every extent of x must be that of the shape or 1. A copy,
/// unless x already has the shape. Throws std::invalid_argument that names both shapes.
[[nodiscard]] Tensor broadcast_to(const Tensor& x, const Shape& shape, Here here = {});

/// The transpose of broadcast_to: sums x over whatever broadcasting `shape` to x's shape repeats. It undoes
/// broadcasting in gradients. Returns x itself when it has the shape. Throws std::invalid_argument when `shape` does
/// not broadcast to x's, or x is no float.
[[nodiscard]] Tensor sum_to(Tensor x, const Shape& shape, Here here = {});

}  // namespace tapestry
