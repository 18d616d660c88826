#pragma once

#include <tapestry/autograd/tensor.h>

/// What changes the colours of a picture, u8 [H, W, 1 or 3]: the functions that random transforms draw arguments for.
/// Results are cut off to [0, 255] and lose their fractions.
namespace tapestry::datasets::detail {

[[nodiscard]] Tensor adjust_brightness(const Tensor& image, double factor);  ///< factor x
/// factor x + (1 - factor) m, m the mean of the picture in grey.
[[nodiscard]] Tensor adjust_contrast(const Tensor& image, double factor);
/// factor x + (1 - factor) g, g the pixel in grey; grey pictures stay.
[[nodiscard]] Tensor adjust_saturation(const Tensor& image, double factor);
/// Turns the hue by `turn` of a whole turn; grey pictures stay.
[[nodiscard]] Tensor adjust_hue(const Tensor& image, double turn);
/// factor x + (1 - factor) s, s the mean of the 3 x 3 pixels around, the one in the middle counted five times; pixels
/// at the border stay.
[[nodiscard]] Tensor adjust_sharpness(const Tensor& image, double factor);
[[nodiscard]] Tensor posterize(const Tensor& image, int bits);      ///< the upper `bits` of each byte, 0 to 8
[[nodiscard]] Tensor solarize(const Tensor& image, int threshold);  ///< 255 - x from the threshold on
[[nodiscard]] Tensor autocontrast(const Tensor& image);             ///< each channel stretched to 0 ... 255
[[nodiscard]] Tensor equalize(const Tensor& image);                 ///< each channel's histogram made level

}  // namespace tapestry::datasets::detail
