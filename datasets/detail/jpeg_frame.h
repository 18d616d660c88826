#pragma once

#include <array>
#include <cstdint>
#include <optional>
#include <span>
#include <vector>

#include <tapestry/autograd/memory/scratch.h>
#include <tapestry/datasets/detail/picture_file.h>

namespace tapestry::datasets::detail {

inline constexpr int kBlock = 64;  // coefficients of a block of 8 x 8 samples

/// The position, in rows of 8, of the k-th coefficient of a block in the file.
inline constexpr std::array<std::uint8_t, kBlock> zigzag{
    0,  1,  8,  16, 9,  2,  3,  10, 17, 24, 32, 25, 18, 11, 4,  5,  12, 19, 26, 33, 40, 48,
    41, 34, 27, 20, 13, 6,  7,  14, 21, 28, 35, 42, 49, 56, 57, 50, 43, 36, 29, 22, 15, 23,
    30, 37, 44, 51, 58, 59, 52, 45, 38, 31, 39, 46, 53, 60, 61, 54, 47, 55, 62, 63};

/// Quantiser steps of a block, in rows of 8.
using Quantiser = std::array<std::uint16_t, kBlock>;

/// One colour component of a picture.
struct Component {
  std::uint32_t id = 0;
  std::uint32_t h = 0, v = 0;  ///< samples per unit, across and down
  std::uint32_t quantiser_slot = 0;
  std::optional<Quantiser> quantiser;     ///< the one its slot held at its first scan
  std::array<std::int8_t, kBlock> low{};  ///< lowest bit coded so far, per coefficient in the file's order; -1: none

  std::uint32_t width = 0, height = 0;               ///< samples that belong to the picture
  std::uint32_t blocks_across = 0, blocks_down = 0;  ///< those that have one of them
  std::uint32_t stride = 0, rows = 0;                ///< blocks, up to whole units
  CountedVector<std::int16_t> coefficients;          ///< progressive: of all blocks
  CountedVector<std::uint8_t> samples;               ///< [8 rows, 8 stride]

  [[nodiscard]] bool seen() const { return low[0] >= 0; }
};

/// The frame header, and what the scans fill.
struct Frame {
  bool progressive = false;
  std::uint32_t width = 0, height = 0;
  std::uint32_t h_most = 1, v_most = 1;
  std::uint32_t units_across = 0, units_down = 0;
  std::vector<Component> components;
};

}  // namespace tapestry::datasets::detail
