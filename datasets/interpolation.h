#pragma once

#include <cstdint>

namespace tapestry::datasets {

/// How a value between pixels is found: that of the nearest pixel, or the mean of the four around, weighted by
/// distance.
enum class Interpolation : std::uint8_t { nearest, bilinear };

}  // namespace tapestry::datasets
