#pragma once

#include <cstdint>

#include <tapestry/autograd/tensor.h>
#include <tapestry/datasets/detail/jpeg_frame.h>

namespace tapestry::datasets::detail {

// Transform, interpolation and colours round as libjpeg and libjpeg-turbo do, in integers: pixels are the ones that
// most other programs see, on every machine.

/// 8 x 8 samples from a block's coefficients, which are in rows of 8; rows of samples are `stride` bytes apart.
void inverse_dct(const std::int16_t* coefficients, const Quantiser& steps, std::uint8_t* to, std::size_t stride);

enum class Colours { grey, ycbcr, rgb, cmyk, ycck };

/// u8 [H, W, 1] for grey, else [H, W, 3], from the samples of all components. Components at half resolution are
/// interpolated linearly, others repeated.
[[nodiscard]] Tensor pixels_of(const Frame& frame, Colours colours);

}  // namespace tapestry::datasets::detail
