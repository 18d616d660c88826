#pragma once

#include <array>
#include <cstdint>
#include <span>

namespace tapestry::datasets {

/// Changes whenever the pictures do.
inline constexpr int kPatternsVersion = 1;

/// One picture of datasets::Patterns as three planes of 32 x 32 bytes. A function of its arguments alone, to the bit:
/// all arithmetic is +, -, *, / and floor of binary32, one rounding each (the library is compiled with
/// -ffp-contract=off).
///   shape    cross, disc, ring, square, triangle
///   colour   amber, azure, green, red, violet
///   texture  checked, dotted, plain, striped
/// `stream` tells pictures of one seed apart.
struct PatternClass {
  int shape, colour, texture;
};
void draw_pattern(std::uint64_t seed, std::uint64_t stream, PatternClass pattern, std::span<std::uint8_t, 3072> planes);

}  // namespace tapestry::datasets
