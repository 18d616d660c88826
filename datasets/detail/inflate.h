#pragma once

#include <cstdint>
#include <span>
#include <string>

/// Decompression: deflate (RFC 1951), by itself for gzip, and in zlib's frame (RFC 1950) for PNG.
namespace tapestry::datasets::detail {

/// What is wrong with a compressed stream, and at which of its bytes.
struct StreamFault {
  std::size_t offset;
  std::string expected, got;
};

/// Fills `to` exactly with what `stream`, to its last byte, decompresses to. Throws StreamFault for everything else: a
/// code that means nothing, a copy from before the beginning, one byte too many or too few, a wrong Adler-32, bytes
/// after it.
void inflate(std::span<const std::uint8_t> stream, std::span<std::uint8_t> to);

/// The same for deflate without zlib's frame, so without a checksum.
void inflate_raw(std::span<const std::uint8_t> stream, std::span<std::uint8_t> to);

/// Fills `to` with the first bytes of what deflate without a frame decompresses to, and looks no further. Throws
/// StreamFault where the stream is wrong or ends before that.
void inflate_beginning(std::span<const std::uint8_t> stream, std::span<std::uint8_t> to);

}  // namespace tapestry::datasets::detail
