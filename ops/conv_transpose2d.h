#pragma once

#include <tapestry/autograd/tensor.h>
#include <tapestry/ops/spatial.h>

namespace tapestry {

struct ConvTranspose2dOptions {
  Pair2 stride = 1;          ///< pixels of y from one pixel of x to the next
  Pair2 padding = 0;         ///< rows and columns that are cut off y on each side
  Pair2 output_padding = 0;  ///< rows and columns that are added to y at the bottom and the right; below the stride or
                             ///< the dilation, whichever is larger
  Pair2 dilation = 1;        ///< distance between the taps of the kernel
  Index groups = 1;          ///< channels and filters in equal parts that see only each other
};

/// Transposed convolution (Zeiler et al., 2010; "deconvolution"): every pixel of x adds the kernel, multiplied by it,
/// to y. The transpose of the linear map conv2d, and so its gradient: with the same weight and options it leads back
/// from conv2d's output shape to its input shape.
///
///   x  [N, H, W, C]
///   w  [C, R, S, K / groups]
///   b  [K], or undefined
///   y  [N, Ho, Wo, K],  Ho = (H - 1) stride - 2 padding + dilation (R - 1) + output_padding + 1, likewise Wo
///
/// Computed by conv2d_input_grad (<tapestry/ops/conv2d.h>), whose precision, dtypes and derivatives are its own; bf16
/// is rounded before the bias is added, and once more after it. Keeps x and w, each only if the other one needs a
/// gradient. Under autocast all operands are rounded to bf16, as is y. Throws std::invalid_argument when dtypes differ,
/// channels do not match, groups do not divide C, an option is outside its range, or y would have no pixel.
[[nodiscard]] Tensor conv_transpose2d(const Tensor& x, const Tensor& w, const Tensor& b = {},
                                      const ConvTranspose2dOptions& options = {}, Here here = {});

/// The same without a bias: conv_transpose2d(x, w, {.stride = 2}). (A template, so that conv_transpose2d(x, w, {}) is
/// the one above.)
template <class = void>
[[nodiscard]] Tensor conv_transpose2d(const Tensor& x, const Tensor& w, const ConvTranspose2dOptions& options,
                                      Here here = {}) {
  return conv_transpose2d(x, w, Tensor(), options, here);
}

}  // namespace tapestry
