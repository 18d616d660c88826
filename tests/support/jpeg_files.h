#pragma once

#include <array>
#include <cstdint>
#include <cstdlib>
#include <functional>
#include <utility>
#include <vector>

#include "support/png_files.h"

/// Composes JPEG files, good and bad, from coefficients: a small encoder, baseline and progressive. Its Huffman tables
/// are the simplest there are: any DC symbol is its own code of 5 bits, any AC symbol its own code of 9.
namespace tapestry::test {

using Block = std::array<int, 64>;  // coefficients in the file's order

class JpegBits {
 public:
  void put(std::uint32_t value, int count) {
    while (count-- > 0) {
      byte_ = byte_ << 1 | (value >> count & 1U);
      if (++held_ < 8) continue;
      bytes_.push_back(static_cast<std::uint8_t>(byte_));
      if ((byte_ & 255U) == 255) bytes_.push_back(0);
      held_ = 0;
    }
  }
  void put_dc(std::uint32_t symbol) { put(symbol, 5); }
  void put_ac(std::uint32_t symbol) { put(symbol, 9); }
  void put_signed(int value, int bits) {
    put(static_cast<std::uint32_t>(value < 0 ? value + (1 << bits) - 1 : value), bits);
  }
  /// Pads with ones.
  ByteVector take() {
    while (held_ != 0) put(1, 1);
    return std::exchange(bytes_, {});
  }

 private:
  ByteVector bytes_;
  std::uint32_t byte_ = 0;
  int held_ = 0;
};

inline int bits_of(int value) {
  int bits = 0;
  for (value = std::abs(value); value != 0; value >>= 1) ++bits;
  return bits;
}

inline ByteVector jpeg_segment(std::uint8_t marker, const ByteVector& body) {
  ByteVector bytes{0xFF, marker};
  append_big_endian(bytes, static_cast<std::uint32_t>(body.size() + 2), 2);
  append(bytes, body);
  return bytes;
}

inline const ByteVector kJpegBegin{0xFF, 0xD8};
inline const ByteVector kJpegEnd{0xFF, 0xD9};

inline ByteVector jpeg_quantiser(std::uint8_t slot = 0, std::uint8_t step = 1) {
  ByteVector body{slot};
  body.insert(body.end(), 64, step);
  return jpeg_segment(0xDB, body);
}

inline ByteVector jpeg_dc_table(std::uint8_t slot = 0) {
  ByteVector body{slot, 0, 0, 0, 0, 12, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0};
  for (std::uint8_t symbol = 0; symbol < 12; ++symbol) body.push_back(symbol);
  return jpeg_segment(0xC4, body);
}

inline ByteVector jpeg_ac_table(std::uint8_t slot = 0) {
  ByteVector body{static_cast<std::uint8_t>(0x10 + slot), 0, 0, 0, 0, 0, 0, 0, 0, 255, 1, 0, 0, 0, 0, 0, 0};
  for (int symbol = 0; symbol < 256; ++symbol) body.push_back(static_cast<std::uint8_t>(symbol));
  return jpeg_segment(0xC4, body);
}

inline ByteVector jpeg_tables() { return joined({jpeg_quantiser(), jpeg_dc_table(), jpeg_ac_table()}); }

/// A picture as coefficients.
struct Jpeg {
  struct Part {
    std::uint8_t id, h, v;
  };
  std::uint32_t width = 16, height = 16;
  std::vector<Part> parts{{1, 1, 1}};
  std::function<Block(std::size_t part, std::uint32_t x, std::uint32_t y)> block = [](std::size_t part, std::uint32_t x,
                                                                                      std::uint32_t y) {
    Block b{};  // something everywhere, with long runs of zeros and values of many lengths
    b[0] = static_cast<int>((x * 37 + y * 101 + part * 11) % 200) - 100;
    b[1 + (x + y) % 5] = 40 - static_cast<int>(x * 7 % 80);
    b[20 + (x * 3 + y) % 40] = static_cast<int>(y % 3) - 1;
    b[63] = x % 2 == 0 ? -3 : 1;
    return b;
  };
  std::uint32_t restart_interval = 0;
  std::uint8_t frame_marker = 0xC0;

  [[nodiscard]] ByteVector frame() const {
    ByteVector body{8};
    append_big_endian(body, height, 2);
    append_big_endian(body, width, 2);
    body.push_back(static_cast<std::uint8_t>(parts.size()));
    for (const Part& part : parts)
      append(body, ByteVector{part.id, static_cast<std::uint8_t>(part.h << 4 | part.v), 0});
    return jpeg_segment(frame_marker, body);
  }

  [[nodiscard]] ByteVector interval() const {
    ByteVector body;
    append_big_endian(body, restart_interval, 2);
    return restart_interval == 0 ? ByteVector{} : jpeg_segment(0xDD, body);
  }

  [[nodiscard]] ByteVector scan_header(const std::vector<std::size_t>& which, int first = 0, int last = 63,
                                       int high = 0, int low = 0, std::uint8_t tables = 0) const {
    ByteVector body{static_cast<std::uint8_t>(which.size())};
    for (const std::size_t i : which) append(body, ByteVector{parts.at(i).id, tables});
    append(body, ByteVector{static_cast<std::uint8_t>(first), static_cast<std::uint8_t>(last),
                            static_cast<std::uint8_t>(high << 4 | low)});
    return jpeg_segment(0xDA, body);
  }

  /// A scan of some components. Progressive ones give coefficients `first` to `last`, down to bit `low`.
  [[nodiscard]] ByteVector scan(const std::vector<std::size_t>& which, int first = 0, int last = 63, int high = 0,
                                int low = 0) const {
    std::uint32_t h_most = 1;
    std::uint32_t v_most = 1;
    for (const Part& part : parts) {
      h_most = std::max<std::uint32_t>(h_most, part.h);
      v_most = std::max<std::uint32_t>(v_most, part.v);
    }
    const auto up = [](std::uint32_t a, std::uint32_t b) { return (a + b - 1) / b; };
    const bool alone = which.size() == 1;
    const Part& one = parts[which[0]];
    const std::uint32_t across = alone ? up(up(width * one.h, h_most), 8) : up(width, 8 * h_most);
    const std::uint32_t down = alone ? up(up(height * one.v, v_most), 8) : up(height, 8 * v_most);
    ByteVector bytes = scan_header(which, first, last, high, low);
    JpegBits bits;
    std::array<int, 4> previous{};
    std::uint32_t unit = 0;
    for (std::uint32_t y = 0; y < down; ++y) {
      for (std::uint32_t x = 0; x < across; ++x, ++unit) {
        if (restart_interval != 0 && unit != 0 && unit % restart_interval == 0) {
          append(bytes, bits.take());
          append(bytes, ByteVector{0xFF, static_cast<std::uint8_t>(0xD0 + (unit / restart_interval - 1) % 8)});
          previous = {};
        }
        for (const std::size_t i : which) {
          for (std::uint32_t v = 0; v < (alone ? 1U : parts[i].v); ++v) {
            for (std::uint32_t h = 0; h < (alone ? 1U : parts[i].h); ++h) {
              const Block b = alone ? block(i, x, y) : block(i, x * parts[i].h + h, y * parts[i].v + v);
              encode(bits, b, previous[i], first, last, high, low);
            }
          }
        }
      }
    }
    append(bytes, bits.take());
    return bytes;
  }

  [[nodiscard]] std::vector<std::size_t> all_parts() const {
    std::vector<std::size_t> all;
    for (std::size_t i = 0; i < parts.size(); ++i) all.push_back(i);
    return all;
  }

  [[nodiscard]] ByteVector file() const {
    return joined({kJpegBegin, jpeg_tables(), frame(), interval(), scan(all_parts()), kJpegEnd});
  }

  /// The same picture in progressive scans: everything without its last bit or two, then those.
  [[nodiscard]] ByteVector progressive() const {
    Jpeg other = *this;
    other.frame_marker = 0xC2;
    ByteVector bytes =
        joined({kJpegBegin, jpeg_tables(), other.frame(), interval(), other.scan(all_parts(), 0, 0, 0, 1)});
    for (const std::size_t i : all_parts()) {
      append(bytes, other.scan({i}, 1, 5, 0, 2));
      append(bytes, other.scan({i}, 6, 63, 0, 1));
      append(bytes, other.scan({i}, 1, 5, 2, 1));
    }
    append(bytes, other.scan(all_parts(), 0, 0, 1, 0));
    for (const std::size_t i : all_parts()) append(bytes, other.scan({i}, 1, 63, 1, 0));
    return joined({bytes, kJpegEnd});
  }

 private:
  static int shifted(int value, int low, bool is_dc) {
    return is_dc ? value >> low : (value < 0 ? -(-value >> low) : value >> low);
  }

  void encode(JpegBits& bits, const Block& b, int& previous, int first, int last, int high, int low) const {
    int k = first;
    if (k == 0) {
      if (high != 0) return bits.put(static_cast<std::uint32_t>(b[0] >> low & 1), 1);
      const int value = shifted(b[0], low, true);
      const int size = bits_of(value - previous);
      bits.put_dc(static_cast<std::uint32_t>(size));
      bits.put_signed(value - previous, size);
      previous = value;
      if (++k > last) return;
    }
    if (high != 0) return refine(bits, b, k, last, low);
    std::uint32_t zeros = 0;
    for (; k <= last; ++k) {
      const int value = shifted(b[static_cast<std::size_t>(k)], low, false);
      if (value == 0) {
        ++zeros;
        continue;
      }
      for (; zeros > 15; zeros -= 16) bits.put_ac(0xF0);
      const int size = bits_of(value);
      bits.put_ac(zeros << 4 | static_cast<std::uint32_t>(size));
      bits.put_signed(value, size);
      zeros = 0;
    }
    if (zeros > 0) bits.put_ac(0);
  }

  static void refine(JpegBits& bits, const Block& b, int k, int last, int low) {
    int last_new = 0;
    for (int i = k; i <= last; ++i) {
      if (std::abs(b[static_cast<std::size_t>(i)]) >> low == 1) last_new = i;
    }
    std::uint32_t zeros = 0;
    std::vector<std::uint32_t> corrections;
    const auto give = [&](std::uint32_t symbol, int sign) {
      bits.put_ac(symbol);
      if (sign != 0) bits.put(sign > 0 ? 1 : 0, 1);
      for (const std::uint32_t bit : corrections) bits.put(bit, 1);
      corrections.clear();
    };
    for (; k <= last; ++k) {
      const int value = b[static_cast<std::size_t>(k)];
      const int size = std::abs(value) >> low;
      if (size == 0) {
        ++zeros;
        continue;
      }
      for (; zeros > 15 && k <= last_new; zeros -= 16) give(0xF0, 0);
      if (size > 1) {
        corrections.push_back(static_cast<std::uint32_t>(size & 1));
        continue;
      }
      give(zeros << 4 | 1, value);
      zeros = 0;
    }
    if (zeros > 0 || !corrections.empty()) give(0, 0);
  }
};

}  // namespace tapestry::test
