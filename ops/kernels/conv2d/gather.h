#pragma once

#include <tapestry/ops/kernels/conv2d/taps.h>
#include <tapestry/ops/kernels/gemm/blocking.h>
#include <tapestry/ops/kernels/gemm/microkernel.h>

/// The convolution and its input gradient as one loop nest over register tiles. Private to ops/kernels.
namespace tapestry::kernels {

/// y[n, i, j, g * group_out + q] = bias + sum over the taps of (i, j) and p < group_in of
///   x[n, rows.input, columns.input, g * group_in + p] * weight[g][rows.tap][columns.tap][p][q].
/// T: a number, or a Pair of neighbouring channels as one element; channels of x are then counted in pairs.
template <class T, class Out = T>
struct Gather {
  Index images, groups;
  Index in_h, in_w, in_channels;     ///< x [images, in_h, in_w, in_channels]
  Index out_h, out_w, out_channels;  ///< y [images, out_h, out_w, out_channels]
  Index kernel_h, kernel_w;
  TapTable rows, columns;  ///< columns merged only if groups = 1: channels of neighbours are then contiguous
  const T* x;
  const typename SumOf<T>::Type* bias;  ///< null: none
  Out* y;

  [[nodiscard]] Index group_in() const { return in_channels / groups; }
  [[nodiscard]] Index group_out() const { return out_channels / groups; }
  [[nodiscard]] Index depth() const { return kernel_h * kernel_w * group_in(); }  ///< of a packed panel
};

/// The gather that conv2d is, from x to y, and the one that its input gradient is, from dy to dx.
template <class T, class Out = T>
[[nodiscard]] Gather<T, Out> forward_gather(const Conv2dShape& shape, const T* x, const typename SumOf<T>::Type* bias,
                                            Out* y);
template <class T, class Out = T>
[[nodiscard]] Gather<T, Out> input_grad_gather(const Conv2dShape& shape, const T* dy, Out* dx);

/// Elements of the packed weights, [group][panel][tap row][tap column][group_in][width].
template <class T, class Out>
[[nodiscard]] Index packed_size(const Gather<T, Out>& gather);

/// Packs w [k, r, s, c / groups] for the one or the other: a function of w and the shape alone, so the result may be
/// kept for as long as w does not change. Pairs of weights are those of neighbouring input channels of the gather.
template <class T, class Out>
void pack_forward(const Gather<T, Out>& gather, const T* w, T* packed);
template <class T, class Out>
void pack_input_grad(const Gather<T, Out>& gather, const T* w, T* packed);

/// Computes y from x and packed weights.
template <class T, class Out>
void run_gather(const Gather<T, Out>& gather, const T* packed);

}  // namespace tapestry::kernels
