#include <tapestry/nn/detail/crc32c.h>

#include <fmt/format.h>

#include <cstring>

#include <tapestry/autograd/base/crc.h>

namespace tapestry::nn::detail {
namespace {

constexpr std::uint32_t kPolynomial = 0x82F63B78;  // bits reversed

#if defined(__x86_64__)
constexpr std::size_t kWord = sizeof(std::uint64_t);

std::uint64_t word_at(const std::byte* at) {
  std::uint64_t word = 0;
  std::memcpy(&word, at, kWord);
  return word;
}

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
  return tapestry::detail::crc_by_table<kPolynomial>(bytes, before);
}

std::uint32_t crc32c(std::span<const std::byte> bytes, std::uint32_t before) {
#if defined(__x86_64__)
  if (__builtin_cpu_supports("sse4.2")) return by_instruction(bytes, before);
#endif
  return crc32c_by_table(bytes, before);
}

std::string crc_text(std::uint32_t sum) { return fmt::format("{:08x}", sum); }

}  // namespace tapestry::nn::detail
