#pragma once

#include <tapestry/autograd/tensor.h>
#include <tapestry/datasets/detail/picture_file.h>

/// How a camera was held, as it wrote into the file.
namespace tapestry::datasets::detail {

/// The orientation, 1 to 8, from the body of an EXIF segment behind "Exif\0\0". 1, upright, for whatever has no sense:
/// a camera's notes are no reason to refuse its picture.
[[nodiscard]] int exif_orientation(Bytes tiff);

/// u8 [H, W, C] upright: [W, H, C] for 5 to 8.
[[nodiscard]] Tensor upright(const Tensor& image, int orientation);

}  // namespace tapestry::datasets::detail
