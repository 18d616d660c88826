#pragma once

#include <cstdint>

namespace tapestry::kernels {

/// What may stand for products of f32 operands: each level allows what the one before it does. As MatmulPrecision of
/// <tapestry/ops/precision.h>, which kernels do not see. Private to ops.
enum class Precision : std::uint8_t {
  highest,  ///< nothing: every product is rounded to f32 and added up in f32
  high,     ///< sums of operands that are multiplied instead of them (Winograd)
  medium    ///< operands that are rounded to bfloat16, where the CPU multiplies these faster
};

}  // namespace tapestry::kernels
