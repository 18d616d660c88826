#pragma once

#include <cstddef>
#include <cstdint>
#include <span>
#include <string>

/// CRC-32C (Castagnoli): the checksum of iSCSI and ext4, for which x86 has an instruction. It notices every change
/// within 32 bits in a row, every change of up to 3 bits in 256 MiB, and of all others all but one in 2^32.
namespace tapestry::nn::detail {

/// The sum of `bytes`, or of what was summed to `before` and these behind it.
[[nodiscard]] std::uint32_t crc32c(std::span<const std::byte> bytes, std::uint32_t before = 0);

/// The same without the instruction.
[[nodiscard]] std::uint32_t crc32c_by_table(std::span<const std::byte> bytes, std::uint32_t before = 0);

inline constexpr std::size_t kCrcDigits = 8;

/// As it stands in files: 8 hexadecimal digits.
[[nodiscard]] std::string crc_text(std::uint32_t sum);

}  // namespace tapestry::nn::detail
