#pragma once

#include <concepts>
#include <optional>

#include <tapestry/autograd/tensor.h>

/// Pooling over sequences, x [N, L, C] -> y [N, Lo, C]: the poolings of <tapestry/ops/pool2d.h> over images of height
/// 1, which say what becomes of ties, NaN and padding, what is kept, and how Lo follows from L. f32, f64 or bf16;
/// differentiable any number of times. Both throw std::invalid_argument for an input that is not [N, L, C] or has no
/// element along L, a kernel, stride or dilation below 1, padding that is negative or above half the kernel, and an
/// output without elements.
namespace tapestry {

struct MaxPool1dOptions {
  Index kernel = 2;
  std::optional<Index> stride = {};  ///< the kernel when absent
  Index padding = 0;                 ///< with -inf
  Index dilation = 1;                ///< distance between the taps of the kernel
  bool ceil_mode = false;
};

/// The largest element of every window.
[[nodiscard]] Tensor max_pool1d(const Tensor& x, const MaxPool1dOptions& options = {}, Here here = {});

struct AvgPool1dOptions {
  Index kernel = 2;
  std::optional<Index> stride = {};  ///< the kernel when absent
  Index padding = 0;                 ///< with zeros
  bool ceil_mode = false;
  bool count_include_pad = true;  ///< divide by elements inside the padded extent, else by those of the input
};

/// The average of every window.
[[nodiscard]] Tensor avg_pool1d(const Tensor& x, const AvgPool1dOptions& options = {}, Here here = {});

/// max_pool1d(x, 2) and avg_pool1d(x, 2): all but the kernel as by default. (Templates, so that max_pool1d(x, {}) is
/// the one above.)
template <std::integral Length>
[[nodiscard]] Tensor max_pool1d(const Tensor& x, Length kernel, Here here = {}) {
  return max_pool1d(x, MaxPool1dOptions{.kernel = static_cast<Index>(kernel)}, here);
}
template <std::integral Length>
[[nodiscard]] Tensor avg_pool1d(const Tensor& x, Length kernel, Here here = {}) {
  return avg_pool1d(x, AvgPool1dOptions{.kernel = static_cast<Index>(kernel)}, here);
}

}  // namespace tapestry
