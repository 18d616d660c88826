#include <tapestry/datasets/detail/jpeg_pixels.h>

#include <algorithm>
#include <array>
#include <utility>
#include <vector>

namespace tapestry::datasets::detail {
namespace {

constexpr std::uint8_t clamp(int value) { return static_cast<std::uint8_t>(value < 0 ? 0 : value > 255 ? 255 : value); }

// Sums are modulo 2^32: only coefficients that no picture has go beyond it, and what pixels they give is of no
// interest.
using Word = std::uint32_t;

constexpr int kFixed = 13;  // bits behind the point of the factors
constexpr Word fixed(double x) { return static_cast<Word>(static_cast<int>(x * (1 << kFixed) + 0.5)); }

/// One dimension of the inverse transform (Loeffler, Ligtenberg, Moschytz), times sqrt(8).
class Transformed {
 public:
  /// `round` is added to each value.
  Transformed(const std::array<Word, 8>& s, Word round) {
    const Word z = (s[2] + s[6]) * fixed(0.541196100);
    const Word even2 = z - s[6] * fixed(1.847759065);
    const Word even3 = z + s[2] * fixed(0.765366865);
    const Word sum = ((s[0] + s[4]) << kFixed) + round;
    const Word difference = ((s[0] - s[4]) << kFixed) + round;
    even_ = {sum + even3, difference + even2, difference - even2, sum - even3};

    const Word a = s[7] + s[3];
    const Word b = s[5] + s[1];
    const Word c = (a + b) * fixed(1.175875602);
    const Word p1 = (s[7] + s[1]) * fixed(0.899976223);
    const Word p2 = (s[5] + s[3]) * fixed(2.562915447);
    const Word p3 = c - a * fixed(1.961570560);
    const Word p4 = c - b * fixed(0.390180644);
    odd_ = {s[1] * fixed(1.501321110) - p1 + p4, s[3] * fixed(3.072711026) - p2 + p3,
            s[5] * fixed(2.053119869) - p2 + p4, s[7] * fixed(0.298631336) - p1 + p3};
  }

  /// The i-th of 8 values, without its last `bits` bits.
  [[nodiscard]] int value(std::size_t i, int bits) const {
    const Word word = i < 4 ? even_[i] + odd_[i] : even_[7 - i] - odd_[7 - i];
    return static_cast<int>(word) >> bits;
  }

 private:
  std::array<Word, 4> even_, odd_;
};

/// A component's samples at the picture's resolution, row by row.
class Enlarged {
 public:
  Enlarged(const Frame& frame, const Component& component)
      : component_(component),
        across_(frame.h_most / component.h),
        down_(frame.v_most / component.v),
        columns_(component.width),
        row_(std::size_t{component.width} * across_) {}

  const std::uint8_t* row(std::uint32_t y) {
    const std::uint32_t near = y / down_;
    if (across_ == 1 && down_ == 1) return line(near);
    const bool is_half = across_ <= 2 && down_ <= 2;
    if (!is_half || (across_ == 2 && component_.width <= 2)) {
      for (std::size_t x = 0; x < row_.size(); ++x) row_[x] = line(near)[x / across_];
      return row_.data();
    }
    // Three quarters of the nearer sample and a quarter of the farther one; at the edge they are the same one. Halves
    // are rounded up and down in turn.
    const int width = static_cast<int>(component_.width);
    if (down_ == 2) {
      const bool is_upper = y % 2 == 0;
      const std::uint32_t far = is_upper ? std::max(near, 1U) - 1 : std::min(near + 1, component_.height - 1);
      for (int x = 0; x < width; ++x) columns_[x] = 3 * line(near)[x] + line(far)[x];
      if (across_ == 1) {
        for (int x = 0; x < width; ++x) row_[x] = static_cast<std::uint8_t>((columns_[x] + (is_upper ? 1 : 2)) / 4);
        return row_.data();
      }
    } else {
      for (int x = 0; x < width; ++x) columns_[x] = 4 * line(near)[x];
    }
    const auto [left_round, right_round] = down_ == 2 ? std::pair(8, 7) : std::pair(4, 8);
    for (int x = 0; x < width; ++x) {
      const int here = 3 * columns_[x];
      row_[2 * x] = static_cast<std::uint8_t>((here + columns_[std::max(x - 1, 0)] + left_round) / 16);
      row_[2 * x + 1] = static_cast<std::uint8_t>((here + columns_[std::min(x + 1, width - 1)] + right_round) / 16);
    }
    return row_.data();
  }

 private:
  [[nodiscard]] const std::uint8_t* line(std::uint32_t y) const {
    return component_.samples.data() + std::size_t{y} * component_.stride * 8;
  }

  const Component& component_;
  std::uint32_t across_, down_;
  std::vector<int> columns_;
  std::vector<std::uint8_t> row_;
};

std::array<std::uint8_t, 3> rgb_of(int y, int cb, int cr) {
  constexpr auto fixed16 = [](double x) { return static_cast<int>(x * 65536 + 0.5); };
  constexpr int half = 1 << 15;
  cb -= 128;
  cr -= 128;
  return {clamp(y + ((cr * fixed16(1.402) + half) >> 16)),
          clamp(y + ((half - cb * fixed16(0.34414) - cr * fixed16(0.71414)) >> 16)),
          clamp(y + ((cb * fixed16(1.772) + half) >> 16))};
}

/// x * y / 255, rounded.
std::uint8_t product(int x, int y) { return static_cast<std::uint8_t>((x * y + 127) / 255); }

}  // namespace

void inverse_dct(const std::int16_t* coefficients, const Quantiser& steps, std::uint8_t* to, std::size_t stride) {
  std::array<Word, kBlock> columns;
  for (std::size_t x = 0; x < 8; ++x) {
    std::array<Word, 8> s;
    for (std::size_t y = 0; y < 8; ++y) {
      s[y] = static_cast<Word>(static_cast<int>(coefficients[8 * y + x])) * steps[8 * y + x];
    }
    const Transformed column(s, 1U << 10);
    for (std::size_t y = 0; y < 8; ++y) columns[8 * y + x] = static_cast<Word>(column.value(y, kFixed - 2));
  }
  for (std::size_t y = 0; y < 8; ++y, to += stride) {
    std::array<Word, 8> s;
    std::copy_n(columns.begin() + static_cast<std::ptrdiff_t>(8 * y), 8, s.begin());
    const Transformed row(s, (1U << 17) + (128U << 18));
    for (std::size_t x = 0; x < 8; ++x) to[x] = clamp(row.value(x, kFixed + 2 + 3));
  }
}

Tensor pixels_of(const Frame& frame, Colours colours) {
  const Index channels = colours == Colours::grey ? 1 : 3;
  Tensor image = empty({frame.height, frame.width, channels}, u8);
  auto* to = image.mutable_data<std::uint8_t>();
  std::vector<Enlarged> parts;
  for (const Component& component : frame.components) parts.emplace_back(frame, component);
  std::array<const std::uint8_t*, 4> rows{};
  for (std::uint32_t y = 0; y < frame.height; ++y) {
    for (std::size_t i = 0; i < parts.size(); ++i) rows[i] = parts[i].row(y);
    const auto& [a, b, c, black] = rows;
    for (std::uint32_t x = 0; x < frame.width; ++x, to += channels) {
      switch (colours) {
        case Colours::grey: to[0] = a[x]; break;
        case Colours::rgb: std::ranges::copy(std::array{a[x], b[x], c[x]}, to); break;
        case Colours::ycbcr: std::ranges::copy(rgb_of(a[x], b[x], c[x]), to); break;
        case Colours::cmyk:  // all four as 255 minus the ink
          std::ranges::copy(std::array{product(a[x], black[x]), product(b[x], black[x]), product(c[x], black[x])}, to);
          break;
        case Colours::ycck: {  // the three as a picture of 255 minus that
          const auto [red, green, blue] = rgb_of(a[x], b[x], c[x]);
          std::ranges::copy(
              std::array{product(255 - red, black[x]), product(255 - green, black[x]), product(255 - blue, black[x])},
              to);
          break;
        }
      }
    }
  }
  return image;
}

}  // namespace tapestry::datasets::detail
