#include <tapestry/nn/detail/crc32c.h>

#include <fmt/format.h>

#include <array>
#include <cstring>

namespace tapestry::nn::detail {
namespace {

constexpr std::uint32_t kPolynomial = 0x82F63B78;  // bits reversed, as all that follows
constexpr std::size_t kWord = sizeof(std::uint64_t);

/// tables[k][b]: what byte b does to the sum when k bytes come after it.
constexpr auto kTables = [] {
  std::array<std::array<std::uint32_t, 256>, kWord> tables{};
  for (std::uint32_t byte = 0; byte < 256; ++byte) {
    std::uint32_t sum = byte;
    for (int bit = 0; bit < 8; ++bit) sum = sum >> 1 ^ (sum & 1 ? kPolynomial : 0);
    tables[0][byte] = sum;
  }
  for (std::size_t k = 1; k < kWord; ++k) {
    for (std::size_t byte = 0; byte < 256; ++byte) {
      const std::uint32_t last = tables[k - 1][byte];
      tables[k][byte] = last >> 8 ^ tables[0][last & 0xFF];
    }
  }
  return tables;
}();

std::uint64_t word_at(const std::byte* at) {
  std::uint64_t word = 0;
  std::memcpy(&word, at, kWord);
  return word;
}

#if defined(__x86_64__)
__attribute__((target("sse4.2"))) std::uint32_t by_instruction(std::span<const std::byte> bytes, std::uint32_t before) {
  std::uint64_t sum = ~before;
  for (; bytes.size() >= kWord; bytes = bytes.subspan(kWord)) sum = __builtin_ia32_crc32di(sum, word_at(bytes.data()));
  auto rest = static_cast<std::uint32_t>(sum);
  for (const std::byte byte : bytes) rest = __builtin_ia32_crc32qi(rest, std::to_integer<std::uint8_t>(byte));
  return ~rest;
}
#endif

}  // namespace

std::uint32_t crc32c_by_table(std::span<const std::byte> bytes, std::uint32_t before) {
  std::uint32_t sum = ~before;
  for (; bytes.size() >= kWord; bytes = bytes.subspan(kWord)) {
    const std::uint64_t word = word_at(bytes.data()) ^ sum;
    sum = 0;
    for (std::size_t k = 0; k < kWord; ++k) sum ^= kTables[kWord - 1 - k][word >> 8 * k & 0xFF];
  }
  for (const std::byte byte : bytes) sum = sum >> 8 ^ kTables[0][(sum ^ std::to_integer<std::uint32_t>(byte)) & 0xFF];
  return ~sum;
}

std::uint32_t crc32c(std::span<const std::byte> bytes, std::uint32_t before) {
#if defined(__x86_64__)
  if (__builtin_cpu_supports("sse4.2")) return by_instruction(bytes, before);
#endif
  return crc32c_by_table(bytes, before);
}

std::string crc_text(std::uint32_t sum) { return fmt::format("{:08x}", sum); }

}  // namespace tapestry::nn::detail
