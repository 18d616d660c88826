#pragma once

#include <tapestry/ops/kernels/conv2d/gather.h>

/// Convolutions with one channel per group on both sides: every channel for itself. T is float or double. Private to
/// ops/kernels.
namespace tapestry::kernels {

/// Weights [channel][tap] as [tap][channel], in reverse order of taps if asked to, as the input gradient wants them.
template <class T>
void pack_depthwise(const Conv2dShape& shape, bool reverse, const T* w, T* packed);

/// Computes y of a gather from x and packed weights.
template <class T>
void run_depthwise(const Gather<T>& gather, const T* packed);

/// dw of conv2d.
template <class T>
void depthwise_weight_grad(const Conv2dShape& shape, const T* x, const T* dy, T* dw);

}  // namespace tapestry::kernels
