#pragma once

#include <array>
#include <cstdint>

#include <tapestry/autograd/base/parallel.h>

namespace tapestry {

/// Philox-4x32-10 (Salmon et al., "Parallel random numbers: as easy as 1, 2, 3", 2011): four random words that are a
/// pure function of key and counter.
[[nodiscard]] std::array<std::uint32_t, 4> philox(std::uint64_t key, std::uint64_t counter_low,
                                                  std::uint64_t counter_high) noexcept;

/// The `n` blocks from counter_low on, one after the other: out[4 b + w] = philox(key, counter_low + b,
/// counter_high)[w].
void philox_blocks(std::uint64_t key, std::uint64_t counter_low, std::uint64_t counter_high, Index n,
                   std::uint32_t* out) noexcept;

}  // namespace tapestry
