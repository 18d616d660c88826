#pragma once

#include <tapestry/autograd/tensor.h>
#include <tapestry/ops/spatial.h>

namespace tapestry {

struct Conv1dOptions {
  Index stride = 1;
  Padding1 padding = 0;  ///< zeros at each end: a number or Padding::same (stride 1 only)
  Index dilation = 1;    ///< distance between the taps of the kernel
  Index groups = 1;      ///< channels and filters in equal parts that see only each other
};

/// One-dimensional convolution (cross-correlation): conv2d of images of height 1.
///
///   x  [N, L, C]
///   w  [K, R, C / groups]
///   b  [K], or undefined
///   y  [N, Lo, K],  Lo = floor((L + 2 padding - dilation (R - 1) - 1) / stride) + 1
///
/// Precision, autocast, dtypes, what is kept and what is thrown are those of conv2d (<tapestry/ops/conv2d.h>).
[[nodiscard]] Tensor conv1d(const Tensor& x, const Tensor& w, const Tensor& b = {}, const Conv1dOptions& options = {},
                            Here here = {});

/// The same without a bias: conv1d(x, w, {.padding = 1}). (A template, so that conv1d(x, w, {}) is the one above.)
template <class = void>
[[nodiscard]] Tensor conv1d(const Tensor& x, const Tensor& w, const Conv1dOptions& options, Here here = {}) {
  return conv1d(x, w, Tensor(), options, here);
}

}  // namespace tapestry
