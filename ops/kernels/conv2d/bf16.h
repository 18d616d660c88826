#pragma once

#include <tapestry/autograd/base/dtype.h>
#include <tapestry/ops/kernels/conv2d/conv2d.h>
#include <tapestry/ops/kernels/gemm/pair_tile.h>

/// Convolutions whose operands are bfloat16, added up in float; as conv2d.h in everything else. Operands that come as
/// float are rounded to bfloat16 on the way in, so a product costs half of a float one where the CPU has VDPBF16PS.
/// Results are float, or rounded to bfloat16 once. Depthwise convolutions, and grouped ones with an odd number of
/// channels in a group, widen their operands instead and compute in float.
namespace tapestry::kernels {

/// (X, W, Y) is (BFloat16, BFloat16, BFloat16), (BFloat16, float, BFloat16) or (float, float, float).
template <class X, class W, class Y>
void conv2d_bf16(const Conv2dShape& shape, const X* x, const W* w, const float* bias, Y* y);

/// conv2d_bf16 in two steps, as in conv2d.h. packed_conv2d_bf16_size is 0 also where operands are widened.
[[nodiscard]] Index packed_conv2d_bf16_size(const Conv2dShape& shape);
[[nodiscard]] const void* packed_conv2d_bf16_layout();
template <class W>
void pack_conv2d_bf16(const Conv2dShape& shape, const W* w, Pair* packed);
template <class X, class Y>
void packed_conv2d_bf16(const Conv2dShape& shape, const X* x, const Pair* packed, const float* bias, Y* y);

/// (Y, W, X) is one of the same.
template <class Y, class W, class X>
void conv2d_input_grad_bf16(const Conv2dShape& shape, const Y* dy, const W* w, X* dx);

/// S is BFloat16 or float. dw stays as it was added up.
template <class S>
void conv2d_weight_grad_bf16(const Conv2dShape& shape, const S* x, const S* dy, float* dw);

}  // namespace tapestry::kernels
