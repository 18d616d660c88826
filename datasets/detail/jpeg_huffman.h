#pragma once

#include <array>
#include <cstdint>
#include <span>

#include <tapestry/datasets/detail/picture_file.h>

namespace tapestry::datasets::detail {

/// The bits of a scan between two markers. A zero byte after 0xFF is none of them.
class ScanBits {
 public:
  ScanBits(const PictureFile& file, std::size_t at) : file_(file), at_(at) {}

  [[noreturn]] void fail(const std::string& expected, const std::string& got) const {
    file_.fail(at_ - static_cast<std::size_t>(held_ / 8), expected, got);
  }

  /// Goes on behind a restart marker.
  void begin(std::size_t at) {
    at_ = at;
    bits_ = 0;
    held_ = 0;
  }

  /// The next 16 bits; zeros beyond the end.
  std::uint32_t peek() {
    if (held_ < 16) fill();
    return static_cast<std::uint32_t>(bits_ >> 48);
  }

  void skip(int count) {
    if (count > held_) fail("more bits of the scan", "a marker or the end of the file");
    bits_ <<= count;
    held_ -= count;
  }

  /// The next 0 to 16 bits.
  std::uint32_t take(int count) {
    const std::uint32_t value = count == 0 ? 0 : peek() >> (16 - count);
    skip(count);
    return value;
  }

  /// The end of the bits: at most zeros follow, which some cameras write. The place of the marker after them.
  std::size_t end() {
    skip(held_ % 8);
    for (peek(); held_ > 0; peek()) {
      if (take(8) != 0) fail("a marker after the last block", "other bytes");
    }
    return at_;
  }

 private:
  void fill() {
    const Bytes bytes = file_.bytes;
    for (; held_ <= 56 && at_ < bytes.size(); held_ += 8) {
      const std::uint64_t byte = bytes[at_];
      if (byte == 0xFF && (at_ + 1 == bytes.size() || bytes[at_ + 1] != 0)) return;
      at_ += byte == 0xFF ? 2 : 1;
      bits_ |= byte << (56 - held_);
    }
  }

  const PictureFile& file_;
  std::size_t at_;
  std::uint64_t bits_ = 0;  // the next ones uppermost
  int held_ = 0;
};

/// A table of codes for bytes, from a DHT segment.
class HuffmanTable {
 public:
  HuffmanTable() = default;
  /// `counts`: 16, how many codes of 1 bit, of 2, ...; not more than there are. `symbols`: as many as that, to 256.
  HuffmanTable(Bytes counts, Bytes symbols);

  [[nodiscard]] bool defined() const { return defined_; }

  std::uint32_t next(ScanBits& in) const {
    const std::uint32_t bits = in.peek();
    const Entry entry = fast_[bits >> (16 - kFastBits)];
    if (entry.length == 0) return next_of_long(in, bits);
    in.skip(entry.length);
    return entry.symbol;
  }

 private:
  static constexpr int kFastBits = 9;
  struct Entry {
    std::uint8_t length = 0, symbol = 0;
  };

  std::uint32_t next_of_long(ScanBits& in, std::uint32_t bits) const;

  std::array<Entry, 1 << kFastBits> fast_{};
  std::array<std::uint32_t, 16> end_{};   // of each length, the first code that is none
  std::array<std::int32_t, 16> place_{};  // of the symbol of each length's code 0
  std::array<std::uint8_t, 256> symbols_{};
  bool defined_ = false;
};

}  // namespace tapestry::datasets::detail
