#pragma once

#include <array>
#include <cstdint>

#include <tapestry/autograd/tensor.h>
#include <tapestry/datasets/detail/picture_file.h>

namespace tapestry::datasets::detail {

inline constexpr std::array<std::uint8_t, 8> png_signature{0x89, 'P', 'N', 'G', '\r', '\n', 0x1A, '\n'};

/// A PNG, which begins with its signature, as u8 [H, W, C]: 1 grey, 2 grey and alpha, 3 RGB, 4 RGB and alpha. Palettes
/// become colours; transparent colours become alpha. Values of 16 bits keep their upper 8, those of less than 8 bits
/// are spread over 0 to 255. Every byte of the file is checked: throws FileError for whatever the standard forbids.
[[nodiscard]] Tensor decode_png(const PictureFile& file);

}  // namespace tapestry::datasets::detail
