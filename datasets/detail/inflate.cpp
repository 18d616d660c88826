#include <tapestry/datasets/detail/inflate.h>

#include <algorithm>
#include <array>

#include <tapestry/autograd/base/check.h>

namespace tapestry::datasets::detail {
namespace {

constexpr int kLongestCode = 15;
constexpr int kFastBits = 9;  // codes up to here are found in a table

constexpr std::array<std::uint16_t, 29> kLengthBase{3,  4,  5,  6,  7,  8,  9,  10, 11,  13,  15,  17,  19,  23, 27,
                                                    31, 35, 43, 51, 59, 67, 83, 99, 115, 131, 163, 195, 227, 258};
constexpr std::array<std::uint8_t, 29> kLengthBits{0, 0, 0, 0, 0, 0, 0, 0, 1, 1, 1, 1, 2, 2, 2,
                                                   2, 3, 3, 3, 3, 4, 4, 4, 4, 5, 5, 5, 5, 0};
constexpr std::array<std::uint16_t, 30> kDistanceBase{1,    2,    3,    4,    5,    7,    9,    13,    17,    25,
                                                      33,   49,   65,   97,   129,  193,  257,  385,   513,   769,
                                                      1025, 1537, 2049, 3073, 4097, 6145, 8193, 12289, 16385, 24577};
constexpr std::array<std::uint8_t, 30> kDistanceBits{0, 0, 0, 0, 1, 1, 2, 2,  3,  3,  4,  4,  5,  5,  6,
                                                     6, 7, 7, 8, 8, 9, 9, 10, 10, 11, 11, 12, 12, 13, 13};

/// Bits of the stream, the least significant of a byte first.
class BitReader {
 public:
  explicit BitReader(std::span<const std::uint8_t> bytes) : bytes_(bytes) {}

  [[noreturn]] void fail(const std::string& expected, const std::string& got) const {
    throw StreamFault{next_ - static_cast<std::size_t>(held_ / 8), expected, got};
  }

  /// The next 15 bits and maybe more; zeros beyond the end.
  std::uint32_t peek() {
    while (held_ <= 24 && next_ < bytes_.size()) {
      bits_ |= std::uint32_t{bytes_[next_++]} << held_;
      held_ += 8;
    }
    return bits_;
  }

  void skip(int count) {
    if (count > held_) fail("more compressed data", "the end of it");
    bits_ >>= count;
    held_ -= count;
  }

  std::uint32_t take(int count) {
    const std::uint32_t value = peek() & ((1U << count) - 1);
    skip(count);
    return value;
  }

  /// From here on whole bytes: the rest of this one is skipped.
  void align() { skip(held_ % 8); }

  std::uint32_t byte() { return take(8); }

  [[nodiscard]] std::size_t bytes_left() const { return bytes_.size() - next_ + static_cast<std::size_t>(held_ / 8); }

 private:
  std::span<const std::uint8_t> bytes_;
  std::size_t next_ = 0;
  std::uint32_t bits_ = 0;
  int held_ = 0;
};

/// A canonical Huffman code, given by the length of each symbol's code; 0: the symbol has none.
class Code {
 public:
  Code(const BitReader& at, std::span<const std::uint8_t> lengths, const char* what, bool may_have_one_code_alone) {
    for (const std::uint8_t length : lengths) ++count_[length];
    count_[0] = 0;
    int free = 1;  // codes of this length that no shorter one begins
    for (int length = 1; length <= kLongestCode; ++length) {
      free = free * 2 - count_[length];
      if (free < 0) at.fail(format_message("{} codes that differ", what), "too many of one length");
    }
    const int used = static_cast<int>(lengths.size()) - static_cast<int>(std::ranges::count(lengths, 0));
    if (free > 0 && !(may_have_one_code_alone && (used == 0 || (used == 1 && count_[1] == 1)))) {
      at.fail(format_message("{} codes for all that may come", what), "too few");
    }
    std::array<std::uint16_t, kLongestCode + 2> place{};
    for (std::size_t length = 1; length <= kLongestCode; ++length) {
      place[length + 1] = static_cast<std::uint16_t>(place[length] + count_[length]);
    }
    for (std::size_t symbol = 0; symbol < lengths.size(); ++symbol) {
      if (lengths[symbol] != 0) symbols_[place[lengths[symbol]]++] = static_cast<std::uint16_t>(symbol);
    }
    fill_fast_table();
  }

  std::uint32_t next(BitReader& in, const char* what) const {
    const std::uint32_t bits = in.peek();
    if (const std::uint16_t entry = fast_[bits & ((1U << kFastBits) - 1)]; entry != 0) {
      in.skip(entry >> 12);
      return entry & 0xFFFU;
    }
    std::int32_t code = 0;   // of the bits so far
    std::int32_t first = 0;  // of this length
    std::int32_t place = 0;
    for (int length = 1; length <= kLongestCode; ++length) {
      code |= static_cast<std::int32_t>(bits >> (length - 1) & 1U);
      if (code - first < count_[length]) {
        in.skip(length);
        return symbols_[place + code - first];
      }
      place += count_[length];
      first = (first + count_[length]) * 2;
      code *= 2;
    }
    in.fail(format_message("a {} code", what), "bits that are none");
  }

 private:
  void fill_fast_table() {
    std::uint32_t code = 0;
    std::size_t place = 0;
    for (int length = 1; length <= kFastBits; ++length, code *= 2) {
      for (int i = 0; i < count_[length]; ++i, ++code, ++place) {
        std::uint32_t reversed = 0;
        for (int bit = 0; bit < length; ++bit) reversed |= (code >> bit & 1U) << (length - 1 - bit);
        for (std::uint32_t entry = reversed; entry < fast_.size(); entry += 1U << length) {
          fast_[entry] = static_cast<std::uint16_t>(length << 12 | symbols_[place]);
        }
      }
    }
  }

  std::array<int, kLongestCode + 1> count_{};
  std::array<std::uint16_t, 288> symbols_{};
  std::array<std::uint16_t, 1 << kFastBits> fast_{};  // length and symbol of the code these bits begin with; 0: longer
};

class Inflater {
 public:
  Inflater(std::span<const std::uint8_t> stream, std::span<std::uint8_t> to) : in_(stream), to_(to) {}

  void zlib() {
    begin();
    blocks();
    in_.align();
    std::uint32_t wanted = 0;
    for (int i = 0; i < 4; ++i) wanted = wanted << 8 | in_.byte();
    if (wanted != adler32()) in_.fail("the right Adler-32", format_message("{} instead of {}", wanted, adler32()));
    expect_end();
  }

  void raw() {
    blocks();
    in_.align();
    expect_end();
  }

  void beginning() {
    only_beginning_ = true;
    if (to_.empty()) return;
    try {
      blocks();
    } catch (const Full&) {
    }
  }

 private:
  /// Thrown where `to` is full and more is not wanted.
  struct Full {};

  void blocks() {
    for (bool last = false; !last;) {
      last = in_.take(1) != 0;
      const std::uint32_t kind = in_.take(2);
      if (kind == 0) {
        stored();
      } else if (kind == 1) {
        fixed();
      } else if (kind == 2) {
        dynamic();
      } else {
        in_.fail("a stored block or one with codes", "kind 3");
      }
    }
    if (filled_ != to_.size()) {
      in_.fail(format_message(only_beginning_ ? "at least {} bytes" : "{} bytes in all", to_.size()),
               format_message("{}", filled_));
    }
  }

  void expect_end() const {
    if (in_.bytes_left() != 0) in_.fail("the end of the data", format_message("{} more bytes", in_.bytes_left()));
  }

  void begin() {
    const std::uint32_t method = in_.byte();
    const std::uint32_t flags = in_.byte();
    if ((method & 15U) != 8 || method >> 4 > 7 || (method * 256 + flags) % 31 != 0 || (flags & 0x20U) != 0) {
      in_.fail("a zlib header without a dictionary", format_message("{} {}", method, flags));
    }
  }

  void put(std::uint32_t byte) {
    if (filled_ == to_.size()) too_many();
    to_[filled_++] = static_cast<std::uint8_t>(byte);
  }

  [[noreturn]] void too_many() const {
    if (only_beginning_) throw Full();
    in_.fail(format_message("{} bytes in all", to_.size()), "more");
  }

  void stored() {
    in_.align();
    std::uint32_t length = in_.byte();
    length |= in_.byte() << 8;
    std::uint32_t inverse = in_.byte();
    inverse |= in_.byte() << 8;
    if ((length ^ inverse) != 0xFFFF) in_.fail("a length and its inverse", format_message("{} {}", length, inverse));
    for (; length > 0; --length) put(in_.byte());
  }

  void fixed() {
    std::array<std::uint8_t, 288> lengths{};
    std::fill(lengths.begin(), lengths.begin() + 144, std::uint8_t{8});
    std::fill(lengths.begin() + 144, lengths.begin() + 256, std::uint8_t{9});
    std::fill(lengths.begin() + 256, lengths.begin() + 280, std::uint8_t{7});
    std::fill(lengths.begin() + 280, lengths.end(), std::uint8_t{8});
    std::array<std::uint8_t, 32> distances{};
    distances.fill(5);
    coded(Code(in_, lengths, "length", false), Code(in_, distances, "distance", false));
  }

  void dynamic() {
    const std::uint32_t literals = in_.take(5) + 257;
    const std::uint32_t distances = in_.take(5) + 1;
    const std::uint32_t described = in_.take(4) + 4;
    if (literals > 286 || distances > 30) {
      in_.fail("at most 286 length and 30 distance codes", format_message("{} and {}", literals, distances));
    }
    constexpr std::array<std::uint8_t, 19> order{16, 17, 18, 0, 8, 7, 9, 6, 10, 5, 11, 4, 12, 3, 13, 2, 14, 1, 15};
    std::array<std::uint8_t, 19> of_lengths{};
    for (std::uint32_t i = 0; i < described; ++i) of_lengths[order[i]] = static_cast<std::uint8_t>(in_.take(3));
    const Code code(in_, of_lengths, "code length", false);

    std::array<std::uint8_t, 286 + 30> lengths{};
    const std::uint32_t all = literals + distances;
    for (std::uint32_t i = 0; i < all;) {
      const std::uint32_t symbol = code.next(in_, "code length");
      if (symbol < 16) {
        lengths[i++] = static_cast<std::uint8_t>(symbol);
        continue;
      }
      if (symbol == 16 && i == 0) in_.fail("a code length to repeat", "none yet");
      const std::uint8_t value = symbol == 16 ? lengths[i - 1] : std::uint8_t{0};
      const std::uint32_t times = symbol == 16 ? 3 + in_.take(2) : symbol == 17 ? 3 + in_.take(3) : 11 + in_.take(7);
      if (times > all - i) in_.fail(format_message("{} code lengths", all), "more");
      std::fill_n(lengths.begin() + i, times, value);
      i += times;
    }
    if (lengths[256] == 0) in_.fail("a code for the end of the block", "none");
    const std::span<const std::uint8_t> both(lengths);
    coded(Code(in_, both.first(literals), "length", true),
          Code(in_, both.subspan(literals, distances), "distance", true));
  }

  void coded(const Code& lengths, const Code& distances) {
    for (;;) {
      const std::uint32_t symbol = lengths.next(in_, "length");
      if (symbol < 256) {
        put(symbol);
        continue;
      }
      if (symbol == 256) return;
      if (symbol - 257 >= kLengthBase.size()) in_.fail("a length code up to 285", format_message("{}", symbol));
      std::size_t length = kLengthBase[symbol - 257];
      length += in_.take(kLengthBits[symbol - 257]);
      const std::uint32_t far = distances.next(in_, "distance");
      if (far >= kDistanceBase.size()) in_.fail("a distance code up to 29", format_message("{}", far));
      std::size_t distance = kDistanceBase[far];
      distance += in_.take(kDistanceBits[far]);
      if (distance > filled_) {
        in_.fail(format_message("a distance up to {}", filled_), format_message("{}", distance));
      }
      const std::size_t fits = std::min(length, to_.size() - filled_);
      for (std::size_t i = 0; i < fits; ++i, ++filled_) to_[filled_] = to_[filled_ - distance];  // the two may overlap
      if (fits < length) too_many();
    }
  }

  std::uint32_t adler32() const {
    constexpr std::size_t kPiece = 5552;  // bytes whose sums fit into 32 bits
    std::uint32_t a = 1;
    std::uint32_t b = 0;
    for (std::size_t at = 0; at < to_.size(); at += kPiece) {
      for (const std::uint8_t byte : to_.subspan(at, std::min(kPiece, to_.size() - at))) {
        a += byte;
        b += a;
      }
      a %= 65521;
      b %= 65521;
    }
    return b << 16 | a;
  }

  BitReader in_;
  std::span<std::uint8_t> to_;
  std::size_t filled_ = 0;
  bool only_beginning_ = false;
};

}  // namespace

void inflate(std::span<const std::uint8_t> stream, std::span<std::uint8_t> to) { Inflater(stream, to).zlib(); }

void inflate_raw(std::span<const std::uint8_t> stream, std::span<std::uint8_t> to) { Inflater(stream, to).raw(); }

void inflate_beginning(std::span<const std::uint8_t> stream, std::span<std::uint8_t> to) {
  Inflater(stream, to).beginning();
}

}  // namespace tapestry::datasets::detail
