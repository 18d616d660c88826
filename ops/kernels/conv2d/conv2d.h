#pragma once

#include <tapestry/autograd/base/parallel.h>

/// 2-d convolution (correlation, as neural networks have it) and its two gradients. Pointers and sizes only; any extent
/// may be 0. The same bits for any number of threads. Subnormal numbers count as zero. T is float or double.
namespace tapestry::kernels {

/// What a convolution is. Padding at the bottom and on the right is whatever the output extents need.
struct Conv2dShape {
  Index n, h, w, c;              ///< input   [n, h, w, c]
  Index k, r, s;                 ///< weight  [k, r, s, c / groups]
  Index oh, ow;                  ///< output  [n, oh, ow, k]
  Index stride_h, stride_w;      ///< >= 1
  Index pad_top, pad_left;       ///< >= 0, may exceed the kernel
  Index dilation_h, dilation_w;  ///< >= 1
  Index groups;                  ///< divides c and k
};

/// y[n, i, j, k] = bias[k] + sum over r, s, c of x[n, i stride_h - pad_top + r dilation_h, j stride_w - pad_left + s
/// dilation_w, c] w[k, r, s, c], c running over the channels of k's group; x is 0 outside the image. bias null: none.
template <class T>
void conv2d(const Conv2dShape& shape, const T* x, const T* w, const T* bias, T* y);

/// conv2d in two steps, for who keeps what the first one makes of w. packed_conv2d_size is how many elements
/// pack_conv2d writes; 0 for a convolution that reads w as it is, which has no second step. They depend on the shape of
/// w and the groups, and on the instruction set: the layout is another address for another one.
template <class T>
[[nodiscard]] Index packed_conv2d_size(const Conv2dShape& shape);
template <class T>
[[nodiscard]] const void* packed_conv2d_layout();
template <class T>
void pack_conv2d(const Conv2dShape& shape, const T* w, T* packed);
template <class T>
void packed_conv2d(const Conv2dShape& shape, const T* x, const T* packed, const T* bias, T* y);

/// dx [n, h, w, c]: the transpose of conv2d in x, applied to dy [n, oh, ow, k]. Overwrites dx, with 0 where no window
/// touches.
template <class T>
void conv2d_input_grad(const Conv2dShape& shape, const T* dy, const T* w, T* dx);

/// dw [k, r, s, c / groups]: the transpose of conv2d in w, applied to dy. Overwrites dw.
template <class T>
void conv2d_weight_grad(const Conv2dShape& shape, const T* x, const T* dy, T* dw);

extern template void conv2d<float>(const Conv2dShape&, const float*, const float*, const float*, float*);
extern template void conv2d<double>(const Conv2dShape&, const double*, const double*, const double*, double*);
extern template Index packed_conv2d_size<float>(const Conv2dShape&);
extern template Index packed_conv2d_size<double>(const Conv2dShape&);
extern template const void* packed_conv2d_layout<float>();
extern template const void* packed_conv2d_layout<double>();
extern template void pack_conv2d<float>(const Conv2dShape&, const float*, float*);
extern template void pack_conv2d<double>(const Conv2dShape&, const double*, double*);
extern template void packed_conv2d<float>(const Conv2dShape&, const float*, const float*, const float*, float*);
extern template void packed_conv2d<double>(const Conv2dShape&, const double*, const double*, const double*, double*);
extern template void conv2d_input_grad<float>(const Conv2dShape&, const float*, const float*, float*);
extern template void conv2d_input_grad<double>(const Conv2dShape&, const double*, const double*, double*);
extern template void conv2d_weight_grad<float>(const Conv2dShape&, const float*, const float*, float*);
extern template void conv2d_weight_grad<double>(const Conv2dShape&, const double*, const double*, double*);

}  // namespace tapestry::kernels
