#pragma once

#include <tapestry/ops/kernels/conv2d/shape.h>
#include <tapestry/ops/kernels/gemm/pair_tile.h>

namespace tapestry::kernels {

/// dw of conv2d by register tiles; no extent is 0. T: float, double, or the Pair of a pixel's numbers in two images as
/// one element; images of the shape are then counted in pairs. Private to ops/kernels.
template <class T>
void tiled_weight_grad(const Conv2dShape& shape, const T* x, const T* dy, typename SumOf<T>::Type* dw);

}  // namespace tapestry::kernels
