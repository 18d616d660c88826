#pragma once

#include <optional>

#include <tapestry/autograd/tensor.h>
#include <tapestry/ops/spatial.h>

/// Pooling over images: x [N, H, W, C] -> y [N, Ho, Wo, C], where
///
///     Ho = floor((H + 2 padding - dilation (kernel - 1) - 1) / stride) + 1
///
/// or, with .ceil_mode, the ceiling, less one where the last window would begin beyond the input and its leading
/// padding. f32, f64, or bf16, which is computed in f32; differentiable any number of times. All throw
/// std::invalid_argument for an input that is not [N, H, W, C] or has no pixel, a kernel, stride or dilation below 1,
/// padding that is negative or above half the kernel, and an output without pixels.
namespace tapestry {

struct MaxPool2dOptions {
  Pair2 kernel = 2;
  OptionalPair2 stride = {};  ///< the kernel when absent
  Pair2 padding = 0;          ///< with -inf
  Pair2 dilation = 1;         ///< distance between the taps of the kernel
  bool ceil_mode = false;
};

/// The largest element of every window; NaN if it holds one. The gradient goes to the first of equal elements in
/// row-major order (to the last NaN); overlapping windows add up. Keeps where each maximum stands in its window: a byte
/// per output element, four for a kernel of more than 256 taps.
[[nodiscard]] Tensor max_pool2d(const Tensor& x, const MaxPool2dOptions& options = {}, Here here = {});

/// Maxima of bins that share the input evenly: bin i of O along H is [floor(i H / O), ceil((i + 1) H / O)).
/// y [N, output.h, output.w, C]. Ties, NaN and what is kept as for max_pool2d.
[[nodiscard]] Tensor adaptive_max_pool2d(const Tensor& x, const Pair2& output, Here here = {});

struct AvgPool2dOptions {
  Pair2 kernel = 2;
  OptionalPair2 stride = {};  ///< the kernel when absent
  Pair2 padding = 0;          ///< with zeros
  bool ceil_mode = false;
  bool count_include_pad = true;               ///< divide by cells inside the padded extent, else by those of the input
  std::optional<Index> divisor_override = {};  ///< divide by this instead; not 0
};

/// The average of every window. Keeps nothing.
[[nodiscard]] Tensor avg_pool2d(const Tensor& x, const AvgPool2dOptions& options = {}, Here here = {});

/// Averages of the bins of adaptive_max_pool2d. y [N, output.h, output.w, C]. Keeps nothing.
[[nodiscard]] Tensor adaptive_avg_pool2d(const Tensor& x, const Pair2& output, Here here = {});

/// The average of all pixels: [N, H, W, C] -> [N, 1, 1, C]. Keeps nothing.
[[nodiscard]] Tensor global_avg_pool2d(const Tensor& x, Here here = {});

}  // namespace tapestry
