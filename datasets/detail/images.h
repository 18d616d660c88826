#pragma once

#include <cstdint>

#include <tapestry/autograd/base/check.h>
#include <tapestry/autograd/tensor.h>

/// What transforms ask of the images that they are given. `transform` begins the message.
namespace tapestry::datasets::detail {

inline void check_image(const char* transform, const Tensor& image) {
  if (image.dim() != 3 || image.numel() == 0) {
    throw_invalid("{}: image must be [H, W, C] with at least one element; got {}", transform, image.shape());
  }
}

inline void check_bytes_or_floats(const char* transform, const Tensor& image) {
  check_image(transform, image);
  if (image.dtype() != u8 && image.dtype() != f32) {
    throw_invalid("{}: image must be u8 or f32; got {}", transform, image.dtype());
  }
}

/// Of colours: u8 grey or RGB.
inline void check_colours(const char* transform, const Tensor& image) {
  check_image(transform, image);
  if (image.dtype() != u8 || (image.size(2) != 1 && image.size(2) != 3)) {
    throw_invalid("{}: image must be u8 with 1 or 3 channels (before ToFloat); got {} {}", transform, image.dtype(),
                  image.shape());
  }
}

inline void check_fraction(const char* transform, const char* what, double value) {
  if (!(value >= 0 && value <= 1)) throw_invalid("{}: {} must be in [0, 1]; got {}", transform, what, value);
}

}  // namespace tapestry::datasets::detail
