#pragma once

#include <cstdint>

#include <tapestry/autograd/memory/storage.h>
#include <tapestry/ops/kernels/conv2d/shape.h>
#include <tapestry/ops/kernels/elements.h>

/// 2-d convolution (correlation, as neural networks have it) and its two gradients, by the method that the caller
/// names: select.h names one. Pointers and sizes only; any extent may be 0. The same bits for any number of threads.
/// Subnormal numbers count as zero.
///
/// Operands are f32, f64 or bf16 and equal in dtype, but for f32 weights beside bf16 images. Sums of products of bf16
/// operands are f32; y and dx are rounded to bf16 once, dw is not.
namespace tapestry::kernels {

/// How a pass is computed. The first four multiply numbers as they come (bf16 ones are widened), the last two multiply
/// bf16 ones in pairs, and round f32 operands to them.
enum class Conv2dMethod : std::uint8_t {
  product,       ///< one matrix product over all pixels; not for weight gradients, whose sums run over pixels
  depthwise,     ///< every channel for itself
  tiles,         ///< register tiles over runs of taps: anything
  winograd,      ///< sums of patches times sums of taps: f32 only
  pair_product,  ///< `product`
  pair_tiles  ///< `tiles`; a forward pass and an input gradient need an even number of channels to sum over in a group
};

/// y[n, i, j, k] = bias[k] + sum over r, s, c of x[n, i stride_h - pad_top + r dilation_h, j stride_w - pad_left + s
/// dilation_w, c] w[k, r, s, c], c running over the channels of k's group; x is 0 outside the image. bias null: none;
/// it has the type of sums. keep: where the weights lie, if what is made of them shall be kept there until they change,
/// for the next call; null: it is made for this call.
void conv2d(const Conv2dShape& shape, Conv2dMethod method, Elements x, Elements w, const void* bias, void* y,
            Storage* keep = nullptr);

/// dx [n, h, w, c]: the transpose of conv2d in x, applied to dy [n, oh, ow, k]. Overwrites dx, with 0 where no window
/// touches.
void conv2d_input_grad(const Conv2dShape& shape, Conv2dMethod method, Elements dy, Elements w, void* dx);

/// dw [k, r, s, c / groups]: the transpose of conv2d in w, applied to dy. Overwrites dw.
void conv2d_weight_grad(const Conv2dShape& shape, Conv2dMethod method, Elements x, Elements dy, void* dw);

}  // namespace tapestry::kernels
