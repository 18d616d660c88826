#pragma once

#include <cstdint>

#include <tapestry/autograd/parallel.h>

/// Pooling over images [n, h, w, c]. T is float or double.
namespace tapestry::kernels {

/// A max-pooling: windows of kernel_h x kernel_w taps, at most 256, over an input padded with -inf.
struct MaxPool2dShape {
  Index n, h, w, c;
  Index oh, ow;  ///< output [n, oh, ow, c]
  Index kernel_h, kernel_w, stride_h, stride_w, pad_h, pad_w, dilation_h, dilation_w;
};

/// y = the largest element of every window, NaN if it holds one; tap = where it stands in the window, r kernel_w + s: the
/// first of equal ones, the last NaN.
template <class T>
void max_pool2d(const MaxPool2dShape& shape, const T* x, T* y, std::uint8_t* tap);

/// dx [n, h, w, c] = sum of dy [n, oh, ow, c] at the taps chosen, 0 elsewhere.
template <class T>
void max_pool2d_scatter(const MaxPool2dShape& shape, const T* dy, const std::uint8_t* tap, T* dx);

/// y [n, oh, ow, c] = x [n, h, w, c] at the taps chosen.
template <class T>
void max_pool2d_gather(const MaxPool2dShape& shape, const T* x, const std::uint8_t* tap, T* y);

/// Along one axis: output i averages input positions [begin, end) and divides by `count`.
struct PoolWindow {
  Index begin, end, count;
};

struct AvgPool2dShape {
  Index n, h, w, c;
  Index oh, ow;
  const PoolWindow* rows;     ///< [oh]
  const PoolWindow* columns;  ///< [ow]
};

/// y[., i, j, .] = sum of x over rows[i] x columns[j] / (rows[i].count columns[j].count).
template <class T>
void avg_pool2d(const AvgPool2dShape& shape, const T* x, T* y);

/// The transpose: every dy is shared out over its window.
template <class T>
void avg_pool2d_grad(const AvgPool2dShape& shape, const T* dy, T* dx);

/// The loops for one instruction set: one output row of one image each.
template <class T>
struct Pool2dTable {
  void (*max_row)(const MaxPool2dShape&, const T* image, Index row, T* y, std::uint8_t* tap);
  void (*scatter_row)(const MaxPool2dShape&, const T* dy, const std::uint8_t* tap, Index row, T* image);
  void (*gather_row)(const MaxPool2dShape&, const T* image, const std::uint8_t* tap, Index row, T* y);
  void (*avg_row)(const AvgPool2dShape&, const T* image, Index row, T* y);
  void (*avg_grad_row)(const AvgPool2dShape&, const T* dy, Index row, T* image);
};

}  // namespace tapestry::kernels
