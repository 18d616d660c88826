#pragma once

#include <cstdint>

/// Plain data and nothing else: files that are compiled for a newer processor than the rest include this, so no
/// function may come from here. Private to ops/kernels.
namespace tapestry::kernels {

/// Two bfloat16, the first in the lower half: what one lane of a bf16 dot product multiplies at once.
struct Pair {
  std::uint32_t bits;
};

}  // namespace tapestry::kernels
