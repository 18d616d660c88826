#pragma once

#include <tapestry/autograd/tensor.h>
#include <tapestry/ops/spatial.h>

/// Windows of images, one behind another. f32, f64 or bf16; differentiable any number of times: each op is the other's
/// rule. Neither keeps anything. Both throw std::invalid_argument for shapes and dtypes that do not fit, a kernel,
/// stride or dilation below 1, padding that is negative, and a kernel that exceeds the padded image.
namespace tapestry {

struct UnfoldOptions {
  Pair2 kernel = 1;
  Pair2 stride = 1;
  Pair2 padding = 0;   ///< with zeros
  Pair2 dilation = 1;  ///< distance between the taps of the kernel
};

/// Every window as a row ("im2col"): conv2d is a product with it.
///
///   x  [N, H, W, C]
///   y  [N, Ho, Wo, R S C] for a kernel of R x S taps: tap (r, s), channel c stands at (r S + s) C + c
///
/// Ho = floor((H + 2 padding - dilation (R - 1) - 1) / stride) + 1, likewise Wo. (PyTorch's order is c, r, s, and its
/// windows are one dimension.)
[[nodiscard]] Tensor unfold(const Tensor& x, const UnfoldOptions& options, Here here = {});

/// The transpose of unfold: an image [N, size.h, size.w, C] of zeros to which all windows x [N, Ho, Wo, R S C] are
/// added where they belong. bf16 is added up in f32 and rounded once.
[[nodiscard]] Tensor fold(const Tensor& x, const Pair2& size, const UnfoldOptions& options, Here here = {});

}  // namespace tapestry
