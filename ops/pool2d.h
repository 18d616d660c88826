#pragma once

#include <concepts>
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

/// max_pool2d(x, 2): a square kernel, and all else as by default. (A template, so that max_pool2d(x, {}) is the one
/// above.)
template <std::integral Side>
[[nodiscard]] Tensor max_pool2d(const Tensor& x, Side kernel, Here here = {}) {
  return max_pool2d(x, MaxPool2dOptions{.kernel = static_cast<Index>(kernel)}, here);
}

/// Maxima and where they stand.
struct PooledWithIndices {
  Tensor values;   ///< those of max_pool2d
  Tensor indices;  ///< i64, of the same shape: row * W + column of the maximum in x; -1 for a window without a pixel
};
/// max_pool2d together with the places of the maxima, as max_unpool2d takes them. The values are differentiable, as
/// those of max_pool2d.
[[nodiscard]] PooledWithIndices max_pool2d_with_indices(const Tensor& x, const MaxPool2dOptions& options = {},
                                                        Here here = {});

struct MaxUnpool2dOptions {
  Pair2 kernel = 2;                ///< that of the pooling to be undone, as are the next two
  OptionalPair2 stride = {};       ///< the kernel when absent
  Pair2 padding = 0;               ///< of the pooling
  OptionalPair2 output_size = {};  ///< less than a stride away from (Ho - 1) stride - 2 padding + kernel, the default
};

/// Puts every element back where its maximum stood: x [N, Ho, Wo, C], indices of the same shape -> y [N, H, W, C], 0
/// where no maximum stood. Of several elements for one place the last one in row-major order is put there, and gets the
/// gradient. Keeps which element stands where, nine bytes per element of y. f32, f64 or bf16. Throws
/// std::invalid_argument for options outside their range and indices of another shape or dtype than i64 or i32, and
/// std::out_of_range for an index outside [0, H W).
[[nodiscard]] Tensor max_unpool2d(const Tensor& x, const Tensor& indices, const MaxUnpool2dOptions& options = {},
                                  Here here = {});

/// The largest of all pixels: [N, H, W, C] -> [N, 1, 1, C]. Ties, NaN and what is kept as for max_pool2d.
[[nodiscard]] Tensor global_max_pool2d(const Tensor& x, Here here = {});

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

/// avg_pool2d(x, 2): a square kernel, and all else as by default. (A template, so that avg_pool2d(x, {}) is the one
/// above.)
template <std::integral Side>
[[nodiscard]] Tensor avg_pool2d(const Tensor& x, Side kernel, Here here = {}) {
  return avg_pool2d(x, AvgPool2dOptions{.kernel = static_cast<Index>(kernel)}, here);
}

struct LpPool2dOptions {
  double norm_type = 2;  ///< the power p, at least 1
  Pair2 kernel = 2;
  OptionalPair2 stride = {};  ///< the kernel when absent
  bool ceil_mode = false;
};

/// s^(1/p) of every window, s being the sum of x^p over its pixels: for p = 1 the sum, for an even p the p-norm. Where
/// s is 0 the gradient is 0; where it is negative, which an odd p allows, y is NaN but for p = 1. (A window that
/// .ceil_mode cuts short counts the pixels that it has; PyTorch scales their mean up to a whole window.) Composed of
/// other ops. Throws std::invalid_argument also for a p below 1 or infinite.
[[nodiscard]] Tensor lp_pool2d(const Tensor& x, const LpPool2dOptions& options = {}, Here here = {});

/// Averages of the bins of adaptive_max_pool2d. y [N, output.h, output.w, C]. Keeps nothing.
[[nodiscard]] Tensor adaptive_avg_pool2d(const Tensor& x, const Pair2& output, Here here = {});

/// The average of all pixels: [N, H, W, C] -> [N, 1, 1, C]. Keeps nothing.
[[nodiscard]] Tensor global_avg_pool2d(const Tensor& x, Here here = {});

}  // namespace tapestry
