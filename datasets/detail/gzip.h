#pragma once

#include <cstddef>
#include <cstdint>
#include <span>

#include <tapestry/datasets/detail/inflate.h>

/// gzip's frame (RFC 1952) around deflate.
namespace tapestry::datasets::detail {

/// What a file of one member says of its contents, before anything is decompressed. Functions throw StreamFault, with
/// the byte of the file.
class GzipFile {
 public:
  /// Checks header and trailer. Throws for another format, a method or flag that does not exist, a header whose own
  /// checksum is wrong, and a length that the compressed bytes could not hold.
  explicit GzipFile(std::span<const std::uint8_t> file);

  /// How many bytes there are when unpacked, by the last four bytes of the file: modulo 2^32.
  [[nodiscard]] std::uint32_t unpacked_bytes() const noexcept { return unpacked_bytes_; }

  /// Fills `to`, of at most unpacked_bytes(), with the first bytes of the contents.
  void unpack_beginning(std::span<std::uint8_t> to) const;

  /// Fills `to`, of unpacked_bytes(), with all of the contents. Throws also for a wrong CRC-32, and for anything
  /// behind the compressed data, as a second member.
  void unpack(std::span<std::uint8_t> to) const;

 private:
  std::span<const std::uint8_t> file_;
  std::size_t begin_ = 0;  // of the compressed data
  std::uint32_t crc_ = 0;
  std::uint32_t unpacked_bytes_ = 0;
};

/// Whether a file begins as gzip's do.
[[nodiscard]] bool is_gzip(std::span<const std::uint8_t> beginning) noexcept;

}  // namespace tapestry::datasets::detail
