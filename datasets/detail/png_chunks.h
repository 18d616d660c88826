#pragma once

#include <cstdint>
#include <optional>
#include <vector>

#include <tapestry/autograd/memory/scratch.h>
#include <tapestry/datasets/detail/picture_file.h>

namespace tapestry::datasets::detail {

struct PngHeader {
  enum Type : std::uint32_t { grey = 0, rgb = 2, palette = 3, grey_alpha = 4, rgb_alpha = 6 };

  std::uint32_t width = 0, height = 0;
  std::uint32_t depth = 0;  ///< bits of a sample
  std::uint32_t type = 0;
  bool interlaced = false;

  /// Per pixel; 0 for a pair of type and depth that does not exist.
  [[nodiscard]] std::uint32_t samples() const;
  /// Of a row that is `pixels` wide, without the byte that names its filter.
  [[nodiscard]] std::uint64_t row_bytes(std::uint32_t pixels) const {
    return (std::uint64_t{pixels} * samples() * depth + 7) / 8;
  }
};

/// Where a picture's rows lie in it: pixel (x, y) of the pass is pixel (left + x step_x, top + y step_y) of the
/// picture.
struct PngPass {
  std::uint32_t left, top, step_x, step_y, width, height;
};

/// The passes that have pixels: one, or up to seven of Adam7.
[[nodiscard]] std::vector<PngPass> passes_of(const PngHeader& header);

/// What a PNG's chunks hold, all checked but the compressed data.
struct PngChunks {
  struct Piece {
    std::size_t in_data, in_file;  ///< where an IDAT's bytes begin
  };

  PngHeader header;
  std::vector<std::uint8_t> palette;  ///< red, green and blue of each entry
  std::optional<Bytes> transparency;  ///< tRNS
  std::vector<Piece> pieces;          ///< of `data`
  CountedVector<std::uint8_t> data;   ///< IDATs, joined
  std::uint64_t raw_bytes = 0;        ///< to which they decompress

  /// Where byte `at` of the data is in the file.
  [[nodiscard]] std::size_t place_in_file(std::size_t at) const;
};

/// Walks all chunks: their order, lengths, checksums, and what they say. Throws FileError.
[[nodiscard]] PngChunks read_png_chunks(const PictureFile& file);

}  // namespace tapestry::datasets::detail
