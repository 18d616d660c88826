#pragma once

#include <cstdint>
#include <span>
#include <string>

#include <tapestry/autograd/base/check.h>
#include <tapestry/autograd/base/file.h>

/// What the decoders of pictures read from.
namespace tapestry::datasets::detail {

using Bytes = std::span<const std::uint8_t>;

inline constexpr std::uint32_t kLargestSide = 16384;  // pixels

/// The most significant byte first: PNG and JPEG.
inline std::uint32_t big_endian(Bytes bytes, std::size_t at, int count) {
  std::uint32_t value = 0;
  for (int i = 0; i < count; ++i) value = (value << 8) | bytes[at + static_cast<std::size_t>(i)];
  return value;
}

/// A picture's file, all of it in memory.
struct PictureFile {
  const FileReader& reader;
  Bytes bytes;

  [[noreturn]] void fail(std::size_t offset, const std::string& expected, const std::string& got) const {
    reader.fail(static_cast<std::int64_t>(offset), expected, got);
  }

  /// Throws FileError unless a picture may have these sides.
  void check_sides(std::size_t offset, std::uint32_t width, std::uint32_t height) const {
    if (width < 1 || height < 1 || width > kLargestSide || height > kLargestSide) {
      fail(offset, format_message("sides from 1 to {} pixels", kLargestSide), format_message("{} x {}", width, height));
    }
  }
};

}  // namespace tapestry::datasets::detail
