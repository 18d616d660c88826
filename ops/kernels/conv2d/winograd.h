#pragma once

#include <tapestry/ops/kernels/conv2d/shape.h>

/// Convolutions with 3x3 taps that lie side by side, with stride 1, in one group, and their gradients, by the minimal
/// filtering of Winograd (Lavin & Gray, "Fast algorithms for convolutional neural networks", 2015): 2x2 results at a
/// time cost 16 products per pair of channels instead of 36, and some additions before and after.
///
/// Contracts are those of conv2d.h but for rounding: a result is off by rounding errors of everything that goes into
/// its 2x2 square, not of its own terms alone, and Inf or NaN in one of the 4x4 inputs of a square makes all of the
/// square NaN. In return for 16 products, sums are shorter.
namespace tapestry::kernels {

/// Whether a convolution is of the kind that the functions below compute.
[[nodiscard]] bool is_winograd(const Conv2dShape& shape);

void winograd_conv2d(const Conv2dShape& shape, const float* x, const float* w, const float* bias, float* y);
void winograd_input_grad(const Conv2dShape& shape, const float* dy, const float* w, float* dx);
void winograd_weight_grad(const Conv2dShape& shape, const float* x, const float* dy, float* dw);

}  // namespace tapestry::kernels
