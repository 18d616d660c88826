#pragma once

#include <cstddef>

#include <tapestry/autograd/base/parallel.h>

/// Windows of images [n, h, w, c] as rows. The same bits for any number of threads.
namespace tapestry::kernels {

struct UnfoldShape {
  Index n, h, w, c;
  Index oh, ow;  ///< windows
  Index r, s;    ///< taps of each
  Index stride_h, stride_w;
  Index pad_top, pad_left;
  Index dilation_h, dilation_w;
};

/// y [n, oh, ow, r s c] = the windows, zeros outside the image. `bytes` is the size of an element, of any type whose
/// zero has no bit set.
void unfold(const UnfoldShape& shape, const std::byte* x, std::byte* y, Index bytes);

/// The transpose: x [n, h, w, c] = the sum of the windows y where they belong. T is float or double.
template <class T>
void fold(const UnfoldShape& shape, const T* y, T* x);

}  // namespace tapestry::kernels
