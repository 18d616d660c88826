#pragma once

#include <algorithm>
#include <array>
#include <cstdint>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "datasets/files.h"

/// Composes PNG files, good and bad, so that no test needs one on disk.
namespace tapestry::test {

inline void append(ByteVector& to, std::span<const std::uint8_t> bytes) {
  for (const std::uint8_t byte : bytes) to.push_back(byte);  // g++ 12 warns of an insert() that it has inlined
}

inline void append_big_endian(ByteVector& to, std::uint32_t value, int bytes) {
  while (bytes-- > 0) to.push_back(static_cast<std::uint8_t>(value >> (8 * bytes)));
}

inline ByteVector joined(std::initializer_list<ByteVector> parts) {
  ByteVector all;
  for (const ByteVector& part : parts) append(all, part);
  return all;
}

/// CRC-32 of PNG, bit by bit.
inline std::uint32_t png_crc(std::span<const std::uint8_t> bytes) {
  std::uint32_t crc = ~0U;
  for (const std::uint8_t byte : bytes) {
    crc ^= byte;
    for (int bit = 0; bit < 8; ++bit) crc = (crc >> 1) ^ ((crc & 1U) != 0 ? 0xEDB88320U : 0U);
  }
  return ~crc;
}

inline ByteVector png_chunk(std::string_view name, std::span<const std::uint8_t> body) {
  ByteVector bytes;
  append_big_endian(bytes, static_cast<std::uint32_t>(body.size()), 4);
  for (const char c : name) bytes.push_back(static_cast<std::uint8_t>(c));
  append(bytes, body);
  append_big_endian(bytes, png_crc(std::span(bytes).subspan(4)), 4);
  return bytes;
}

/// Bits of deflate.
class DeflateBits {
 public:
  void put(std::uint32_t value, int count) {
    for (int i = 0; i < count; ++i, ++bits_) {
      if (bits_ % 8 == 0) bytes_.push_back(0);
      bytes_.back() = static_cast<std::uint8_t>(bytes_.back() | (value >> i & 1U) << (bits_ % 8));
    }
  }
  /// Huffman codes begin with their uppermost bit.
  void put_code(std::uint32_t code, int count) {
    while (count-- > 0) put(code >> count & 1U, 1);
  }
  /// A literal or length code of the fixed table.
  void put_fixed(std::uint32_t symbol) {
    if (symbol < 144) return put_code(0x30 + symbol, 8);
    if (symbol < 256) return put_code(0x190 + symbol - 144, 9);
    if (symbol < 280) return put_code(symbol - 256, 7);
    put_code(0xC0 + symbol - 280, 8);
  }
  [[nodiscard]] const ByteVector& bytes() const { return bytes_; }

 private:
  ByteVector bytes_;
  std::size_t bits_ = 0;
};

/// The beginning of a last block under the fixed codes.
inline DeflateBits fixed_block() {
  DeflateBits bits;
  bits.put(1, 1);
  bits.put(1, 2);
  return bits;
}

/// zlib's frame around deflated bytes.
inline ByteVector zlib_frame(const ByteVector& deflated, std::span<const std::uint8_t> raw) {
  ByteVector bytes{0x78, 0x01};
  append(bytes, deflated);
  std::uint32_t a = 1;
  std::uint32_t b = 0;
  for (const std::uint8_t byte : raw) {
    a = (a + byte) % 65521;
    b = (b + a) % 65521;
  }
  append_big_endian(bytes, b << 16 | a, 4);
  return bytes;
}

inline ByteVector deflate_stored(std::span<const std::uint8_t> raw) {
  ByteVector bytes;
  for (std::size_t at = 0;;) {
    const std::size_t length = std::min<std::size_t>(raw.size() - at, 65535);
    const bool last = at + length == raw.size();
    for (const std::size_t value : {std::size_t{last}, length & 255, length >> 8, ~length & 255, ~length >> 8 & 255}) {
      bytes.push_back(static_cast<std::uint8_t>(value));
    }
    append(bytes, raw.subspan(at, length));
    at += length;
    if (last) return bytes;
  }
}

/// One block of literals under the fixed codes.
inline ByteVector deflate_fixed(std::span<const std::uint8_t> raw) {
  DeflateBits bits = fixed_block();
  for (const std::uint8_t byte : raw) bits.put_fixed(byte);
  bits.put_fixed(256);
  return bits.bytes();
}

inline ByteVector png_of_chunks(std::initializer_list<ByteVector> chunks) {
  return joined({{0x89, 'P', 'N', 'G', '\r', '\n', 0x1A, '\n'}, joined(chunks)});
}

/// What a PNG consists of. `raw`: rows with their filter bytes; zeros when it is empty.
struct Png {
  std::uint32_t width = 8, height = 8;
  std::uint8_t depth = 8, type = 0;
  bool interlaced = false;
  ByteVector palette = {}, transparency = {}, raw = {};

  [[nodiscard]] std::uint32_t bits_per_pixel() const {
    constexpr std::array<std::uint32_t, 7> samples{1, 0, 3, 1, 2, 0, 4};
    return samples[type] * depth;
  }
  [[nodiscard]] ByteVector rows() const {
    return raw.empty() ? ByteVector(height * (1 + (width * bits_per_pixel() + 7) / 8)) : raw;
  }
  [[nodiscard]] ByteVector ihdr() const {
    ByteVector body;
    append_big_endian(body, width, 4);
    append_big_endian(body, height, 4);
    append(body, ByteVector{depth, type, 0, 0, interlaced ? std::uint8_t{1} : std::uint8_t{0}});
    return png_chunk("IHDR", body);
  }
  [[nodiscard]] ByteVector plte() const { return palette.empty() ? ByteVector{} : png_chunk("PLTE", palette); }
  [[nodiscard]] ByteVector trns() const {
    return transparency.empty() ? ByteVector{} : png_chunk("tRNS", transparency);
  }
  [[nodiscard]] ByteVector stream() const { return zlib_frame(deflate_stored(rows()), rows()); }
  [[nodiscard]] ByteVector idat() const { return png_chunk("IDAT", stream()); }
  [[nodiscard]] static ByteVector iend() { return png_chunk("IEND", {}); }
  [[nodiscard]] ByteVector with_stream(const ByteVector& stream) const {
    return png_of_chunks({ihdr(), plte(), trns(), png_chunk("IDAT", stream), iend()});
  }
  [[nodiscard]] ByteVector file() const { return with_stream(stream()); }
};

}  // namespace tapestry::test
