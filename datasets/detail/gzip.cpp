#include <tapestry/datasets/detail/gzip.h>

#include <algorithm>
#include <string>

#include <tapestry/autograd/base/check.h>
#include <tapestry/autograd/base/crc.h>

namespace tapestry::datasets::detail {
namespace {

constexpr std::uint32_t kCrc32 = 0xEDB88320;  // gzip's polynomial, bits reversed
constexpr std::size_t kFixedHeader = 10;      // bytes
constexpr std::size_t kTrailer = 8;           // bytes
constexpr std::uint64_t kMostInflation = 1032;

// Bits of the fourth byte.
constexpr unsigned kHasHeaderChecksum = 2;
constexpr unsigned kHasExtra = 4;
constexpr unsigned kHasName = 8;
constexpr unsigned kHasComment = 16;
constexpr unsigned kReserved = 0xE0;

std::uint32_t little_endian(std::span<const std::uint8_t> bytes, std::size_t at, std::size_t count) {
  std::uint32_t value = 0;
  for (std::size_t i = 0; i < count; ++i) value |= std::uint32_t{bytes[at + i]} << (8 * i);
  return value;
}

std::uint32_t crc32(std::span<const std::uint8_t> bytes) {
  return tapestry::detail::crc_by_table<kCrc32>(std::as_bytes(bytes));
}

/// Goes over the parts of the header that a file may have.
class Header {
 public:
  explicit Header(std::span<const std::uint8_t> file) : file_(file) {}

  /// Where the compressed data begins.
  std::size_t run() {
    if (!is_gzip(file_)) throw StreamFault{0, "a gzip file", "other bytes"};
    if (file_.size() < kFixedHeader) cut();
    if (file_[2] != 8) throw StreamFault{2, "method 8, deflate", format_message("{}", int{file_[2]})};
    const unsigned flags = file_[3];
    if ((flags & kReserved) != 0) throw StreamFault{3, "flags below 32", format_message("{}", flags)};
    if ((flags & kHasExtra) != 0) {
      const std::size_t length = little_endian(take(2), 0, 2);
      (void)take(length);
    }
    if ((flags & kHasName) != 0) skip_text();
    if ((flags & kHasComment) != 0) skip_text();
    if ((flags & kHasHeaderChecksum) != 0) {
      const std::uint32_t found = crc32(file_.first(at_)) & 0xFFFFU;
      const std::size_t place = at_;
      const std::uint32_t wanted = little_endian(take(2), 0, 2);
      if (wanted != found) {
        throw StreamFault{place, "a header with the right checksum", format_message("{} instead of {}", found, wanted)};
      }
    }
    if (file_.size() - at_ < kTrailer) cut();
    return at_;
  }

 private:
  [[noreturn]] void cut() const {
    throw StreamFault{file_.size(), "gzip's header, compressed data and 8 bytes behind them", "the end of the file"};
  }

  std::span<const std::uint8_t> take(std::size_t count) {
    if (count > file_.size() - at_) cut();
    at_ += count;
    return file_.subspan(at_ - count, count);
  }

  /// Text that a zero ends.
  void skip_text() {
    const auto rest = file_.subspan(at_);
    const auto end = std::ranges::find(rest, std::uint8_t{0});
    if (end == rest.end()) cut();
    at_ += static_cast<std::size_t>(end - rest.begin()) + 1;
  }

  std::span<const std::uint8_t> file_;
  std::size_t at_ = kFixedHeader;
};

}  // namespace

bool is_gzip(std::span<const std::uint8_t> beginning) noexcept {
  return beginning.size() >= 2 && beginning[0] == 0x1F && beginning[1] == 0x8B;
}

GzipFile::GzipFile(std::span<const std::uint8_t> file) : file_(file), begin_(Header(file).run()) {
  const std::size_t trailer = file.size() - kTrailer;
  crc_ = little_endian(file, trailer, 4);
  unpacked_bytes_ = little_endian(file, trailer + 4, 4);
  const std::uint64_t packed = trailer - begin_;
  if (unpacked_bytes_ > kMostInflation * packed) {
    throw StreamFault{trailer + 4, format_message("a length that {} compressed bytes can hold", packed),
                      format_message("{} bytes", unpacked_bytes_)};
  }
}

void GzipFile::unpack_beginning(std::span<std::uint8_t> to) const {
  try {
    inflate_beginning(file_.subspan(begin_, file_.size() - kTrailer - begin_), to);
  } catch (const StreamFault& fault) {
    throw StreamFault{begin_ + fault.offset, fault.expected, fault.got};
  }
}

void GzipFile::unpack(std::span<std::uint8_t> to) const {
  const std::size_t trailer = file_.size() - kTrailer;
  try {
    inflate_raw(file_.subspan(begin_, trailer - begin_), to);
  } catch (const StreamFault& fault) {
    throw StreamFault{begin_ + fault.offset, fault.expected, fault.got};
  }
  if (const std::uint32_t found = crc32(to); found != crc_) {
    throw StreamFault{trailer, "contents with the right CRC-32", format_message("{} instead of {}", found, crc_)};
  }
}

}  // namespace tapestry::datasets::detail
