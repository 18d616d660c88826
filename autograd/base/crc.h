#pragma once

#include <array>
#include <cstddef>
#include <cstdint>
#include <span>

/// Cyclic redundancy checks of 32 bits, as files carry them: CRC-32 in PNG, CRC-32C in our safetensors.
namespace tapestry::detail {

inline constexpr std::size_t kCrcWord = 8;  ///< bytes that are looked up at once

/// tables[k][b]: what byte b does to a sum when k bytes come after it. The polynomial's bits are reversed.
template <std::uint32_t kPolynomial>
inline constexpr auto crc_tables = [] {
  std::array<std::array<std::uint32_t, 256>, kCrcWord> tables{};
  for (std::uint32_t byte = 0; byte < 256; ++byte) {
    std::uint32_t sum = byte;
    for (int bit = 0; bit < 8; ++bit) sum = sum >> 1 ^ ((sum & 1U) != 0 ? kPolynomial : 0U);
    tables[0][byte] = sum;
  }
  for (std::size_t k = 1; k < kCrcWord; ++k) {
    for (std::size_t byte = 0; byte < 256; ++byte) {
      const std::uint32_t last = tables[k - 1][byte];
      tables[k][byte] = last >> 8 ^ tables[0][last & 0xFF];
    }
  }
  return tables;
}();

/// The sum of `bytes`, or of what was summed to `before` and these behind it.
template <std::uint32_t kPolynomial>
[[nodiscard]] std::uint32_t crc_by_table(std::span<const std::byte> bytes, std::uint32_t before = 0) {
  constexpr auto& tables = crc_tables<kPolynomial>;
  std::uint32_t sum = ~before;
  for (; bytes.size() >= kCrcWord; bytes = bytes.subspan(kCrcWord)) {
    std::uint32_t next = 0;
    for (std::size_t i = 0; i < kCrcWord; ++i) {
      const std::uint32_t byte = std::to_integer<std::uint32_t>(bytes[i]) ^ (i < 4 ? sum >> 8 * i & 0xFF : 0U);
      next ^= tables[kCrcWord - 1 - i][byte];
    }
    sum = next;
  }
  for (const std::byte byte : bytes) sum = sum >> 8 ^ tables[0][(sum ^ std::to_integer<std::uint32_t>(byte)) & 0xFF];
  return ~sum;
}

}  // namespace tapestry::detail
