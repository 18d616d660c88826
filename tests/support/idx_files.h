#pragma once

#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

#include "support/png_files.h"

/// Composes IDX files and gzip's frame around anything, good and bad.
namespace tapestry::test {

inline void append_little_endian(ByteVector& to, std::uint32_t value, int bytes) {
  for (int i = 0; i < bytes; ++i) to.push_back(static_cast<std::uint8_t>(value >> (8 * i)));
}

struct Gzip {
  ByteVector deflated, raw;  ///< the same contents, compressed and not
  std::uint8_t flags = 0;    ///< of the parts that follow the fixed header
  ByteVector parts = {};     ///< those, as they stand in the file
  std::uint8_t method = 8;
  ByteVector behind = {};  ///< between the compressed data and the trailer

  [[nodiscard]] ByteVector file() const {
    ByteVector bytes{0x1F, 0x8B, method, flags, 1, 2, 3, 4, 0, 3};
    append(bytes, parts);
    append(bytes, deflated);
    append(bytes, behind);
    append_little_endian(bytes, png_crc(raw), 4);
    append_little_endian(bytes, static_cast<std::uint32_t>(raw.size()), 4);
    return bytes;
  }
};

/// gzip's frame around bytes that are not compressed, or are under the fixed codes.
inline ByteVector gzip_stored(const ByteVector& raw) { return Gzip{deflate_stored(raw), raw}.file(); }
inline ByteVector gzip_fixed(const ByteVector& raw) { return Gzip{deflate_fixed(raw), raw}.file(); }

/// An IDX file with the sides and elements given.
inline ByteVector idx_file(const std::vector<std::uint32_t>& sides, const ByteVector& elements, std::uint8_t type = 8) {
  ByteVector bytes{0, 0, type, static_cast<std::uint8_t>(sides.size())};
  for (const std::uint32_t side : sides) append_big_endian(bytes, side, 4);
  append(bytes, elements);
  return bytes;
}

/// Images whose pixels tell image and position apart.
inline ByteVector idx_images(std::uint32_t count, std::uint32_t height = 28, std::uint32_t width = 28) {
  ByteVector pixels(count * height * width);
  for (std::size_t i = 0; i < pixels.size(); ++i) {
    pixels[i] = static_cast<std::uint8_t>(i / (height * width) * 31 + i % (height * width) % 251);
  }
  return idx_file({count, height, width}, pixels);
}

/// Labels 0, 1, ... 9, 0, ...
inline ByteVector idx_labels(std::uint32_t count) {
  ByteVector labels(count);
  for (std::size_t i = 0; i < labels.size(); ++i) labels[i] = static_cast<std::uint8_t>(i % 10);
  return idx_file({count}, labels);
}

}  // namespace tapestry::test
