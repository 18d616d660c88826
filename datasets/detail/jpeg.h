#pragma once

#include <array>
#include <cstdint>

#include <tapestry/autograd/tensor.h>
#include <tapestry/datasets/detail/picture_file.h>

namespace tapestry::datasets::detail {

inline constexpr std::array<std::uint8_t, 3> jpeg_signature{0xFF, 0xD8, 0xFF};

/// A JPEG, which begins with its signature, as u8 [H, W, 1] grey or [H, W, 3] RGB, turned as its EXIF entry says.
/// Baseline and progressive, 8 bits, Huffman codes; grey, YCbCr, RGB, and with an Adobe marker CMYK and YCCK, which are
/// written inverted. Every marker and every code is checked: throws FileError unless each block of each component is
/// in the file, once. What may follow the end marker is zeros.
[[nodiscard]] Tensor decode_jpeg(const PictureFile& file);

}  // namespace tapestry::datasets::detail
