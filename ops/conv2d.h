#pragma once

#include <tapestry/autograd/tensor.h>
#include <tapestry/ops/spatial.h>

namespace tapestry {

struct Conv2dOptions {
  Pair2 stride = 1;
  Padding2 padding = 0;  ///< zeros on each side: a number, {h, w} or Padding::same (stride 1 only)
  Pair2 dilation = 1;    ///< distance between the taps of the kernel
  Index groups = 1;      ///< channels and filters in equal parts that see only each other
};

/// Two-dimensional convolution (cross-correlation, as in all deep-learning libraries).
///
///   x  [N, H, W, C]
///   w  [K, R, S, C / groups]
///   b  [K], or undefined
///   y  [N, Ho, Wo, K],  Ho = floor((H + padding - dilation (R - 1) - 1) / stride) + 1, likewise Wo
///
/// Keeps x and w, each only if the other one needs a gradient. Differentiable any number of times: conv2d and its two
/// gradients are each other's rules. f32, f64, or bf16, which is added up in f32 and rounded once; see also
/// <tapestry/ops/autocast.h> and <tapestry/ops/precision.h>. Throws std::invalid_argument when dtypes differ, channels
/// do not match, groups do not divide C and K, a stride or dilation is below 1, padding is negative, or the kernel
/// exceeds the padded input.
[[nodiscard]] Tensor conv2d(const Tensor& x, const Tensor& w, const Tensor& b = {}, const Conv2dOptions& options = {},
                            Here here = {});

/// The same without a bias: conv2d(x, w, {.padding = 1}). (A template, so that conv2d(x, w, {}) is the one above.)
template <class = void>
[[nodiscard]] Tensor conv2d(const Tensor& x, const Tensor& w, const Conv2dOptions& options, Here here = {}) {
  return conv2d(x, w, Tensor(), options, here);
}

/// The gradient of conv2d with respect to its input: dx [input_shape] for dy [N, Ho, Wo, K] and w [K, R, S, C /
/// groups]. Pixels that no window touches get 0. Keeps dy and w. Throws like conv2d, and when dy is not what conv2d
/// would give.
[[nodiscard]] Tensor conv2d_input_grad(const Tensor& dy, const Tensor& w, const Shape& input_shape,
                                       const Conv2dOptions& options = {}, Here here = {});

/// The gradient of conv2d with respect to its weight: dw [weight_shape] for x [N, H, W, C] and dy [N, Ho, Wo, K].
/// Keeps x and dy. Throws like conv2d, and when dy is not what conv2d would give.
[[nodiscard]] Tensor conv2d_weight_grad(const Tensor& x, const Tensor& dy, const Shape& weight_shape,
                                        const Conv2dOptions& options = {}, Here here = {});

}  // namespace tapestry
