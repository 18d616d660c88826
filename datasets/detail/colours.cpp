#include <tapestry/datasets/detail/colours.h>

#include <algorithm>
#include <array>
#include <cmath>
#include <cstdint>

namespace tapestry::datasets::detail {
namespace {

using Table = std::array<std::uint8_t, 256>;

// Weights of red, green and blue in grey (ITU-R BT.601).
constexpr float kRed = 0.2989F;
constexpr float kGreen = 0.587F;
constexpr float kBlue = 0.114F;

std::uint8_t cut(float value) { return static_cast<std::uint8_t>(std::clamp(value, 0.0F, 255.0F)); }

std::uint8_t grey(const std::uint8_t* rgb) {
  return static_cast<std::uint8_t>(kRed * static_cast<float>(rgb[0]) + kGreen * static_cast<float>(rgb[1]) +
                                   kBlue * static_cast<float>(rgb[2]));
}

template <class Value>
Table table_of(const Value& value) {
  Table table;
  for (int i = 0; i < 256; ++i) table[static_cast<std::size_t>(i)] = value(i);
  return table;
}

Tensor look_up(const Tensor& image, const Table& table) {
  Tensor y = empty(image.shape(), u8);
  const auto* from = image.data<std::uint8_t>();
  std::transform(from, from + image.numel(), y.mutable_data<std::uint8_t>(),
                 [&](std::uint8_t byte) { return table[byte]; });
  return y;
}

/// Another table for each channel; make(histogram) gives it.
template <class Make>
Tensor look_up_by_channel(const Tensor& image, const Make& make) {
  const Index channels = image.size(2);
  const Index n = image.numel();
  std::array<std::array<std::int64_t, 256>, 3> histograms{};
  const auto* from = image.data<std::uint8_t>();
  for (Index i = 0; i < n; i += channels) {
    for (Index c = 0; c < channels; ++c) ++histograms[static_cast<std::size_t>(c)][from[i + c]];
  }
  std::array<Table, 3> tables;
  for (std::size_t c = 0; c < static_cast<std::size_t>(channels); ++c) tables[c] = make(histograms[c]);
  Tensor y = empty(image.shape(), u8);
  auto* to = y.mutable_data<std::uint8_t>();
  for (Index i = 0; i < n; i += channels) {
    for (Index c = 0; c < channels; ++c) to[i + c] = tables[static_cast<std::size_t>(c)][from[i + c]];
  }
  return y;
}

/// A pixel whose colour is turned: from RGB to hue, saturation and value, and back.
void turn_hue(const std::uint8_t* from, std::uint8_t* to, float turn) {
  const auto r = static_cast<float>(from[0]);
  const auto g = static_cast<float>(from[1]);
  const auto b = static_cast<float>(from[2]);
  const float most = std::max({r, g, b});
  const float range = most - std::min({r, g, b});
  if (range == 0) {
    std::copy_n(from, 3, to);
    return;
  }
  float sixths = 0;  // of a turn
  if (most == r) sixths = (g - b) / range;
  else if (most == g) sixths = 2 + (b - r) / range;
  else sixths = 4 + (r - g) / range;
  sixths += 6 * turn;
  // Each channel falls from its sector by up to `range`: the same formula, shifted by two sixths.
  constexpr std::array<float, 3> shifts{5, 3, 1};
  for (std::size_t c = 0; c < 3; ++c) {
    float k = shifts[c] + sixths;
    k -= 6 * std::floor(k / 6);
    const float fall = std::clamp(std::min(k, 4 - k), 0.0F, 1.0F);
    to[c] = static_cast<std::uint8_t>(most - range * fall + 0.5F);
  }
}

}  // namespace

Tensor adjust_brightness(const Tensor& image, double factor) {
  const auto f = static_cast<float>(factor);
  return look_up(image, table_of([&](int i) { return cut(f * static_cast<float>(i)); }));
}

Tensor adjust_contrast(const Tensor& image, double factor) {
  const Index pixels = image.size(0) * image.size(1);
  const auto* from = image.data<std::uint8_t>();
  std::int64_t sum = 0;
  if (image.size(2) == 3) {
    for (Index i = 0; i < pixels; ++i) sum += grey(from + 3 * i);
  } else {
    for (Index i = 0; i < pixels; ++i) sum += from[i];
  }
  const auto f = static_cast<float>(factor);
  const float rest = (1 - f) * static_cast<float>(static_cast<double>(sum) / static_cast<double>(pixels));
  return look_up(image, table_of([&](int i) { return cut(f * static_cast<float>(i) + rest); }));
}

Tensor adjust_saturation(const Tensor& image, double factor) {
  if (image.size(2) == 1) return image;
  Tensor y = empty(image.shape(), u8);
  const auto* from = image.data<std::uint8_t>();
  auto* to = y.mutable_data<std::uint8_t>();
  const auto f = static_cast<float>(factor);
  const Index n = image.numel();
  for (Index i = 0; i < n; i += 3) {
    const float rest = (1 - f) * static_cast<float>(grey(from + i));
    for (Index c = 0; c < 3; ++c) to[i + c] = cut(f * static_cast<float>(from[i + c]) + rest);
  }
  return y;
}

Tensor adjust_hue(const Tensor& image, double turn) {
  if (image.size(2) == 1) return image;
  Tensor y = empty(image.shape(), u8);
  const auto* from = image.data<std::uint8_t>();
  auto* to = y.mutable_data<std::uint8_t>();
  const Index n = image.numel();
  for (Index i = 0; i < n; i += 3) turn_hue(from + i, to + i, static_cast<float>(turn));
  return y;
}

Tensor adjust_sharpness(const Tensor& image, double factor) {
  const Index h = image.size(0);
  const Index row = image.size(1) * image.size(2);
  const Index c = image.size(2);
  Tensor y = empty(image.shape(), u8);
  const auto* from = image.data<std::uint8_t>();
  auto* to = y.mutable_data<std::uint8_t>();
  std::copy_n(from, image.numel(), to);
  const auto f = static_cast<float>(factor);
  for (Index line = 1; line + 1 < h; ++line) {
    const std::uint8_t* p = from + line * row;
    for (Index i = c; i + c < row; ++i) {
      const int sum = p[i - row - c] + p[i - row] + p[i - row + c] + p[i - c] + 5 * p[i] + p[i + c] + p[i + row - c] +
                      p[i + row] + p[i + row + c];
      const int mean = (2 * sum + 13) / 26;  // of weight 13, rounded
      to[line * row + i] = cut(f * static_cast<float>(p[i]) + (1 - f) * static_cast<float>(mean));
    }
  }
  return y;
}

Tensor posterize(const Tensor& image, int bits) {
  const auto mask = static_cast<std::uint8_t>(0xFF << (8 - bits));
  return look_up(image, table_of([&](int i) { return static_cast<std::uint8_t>(i & mask); }));
}

Tensor solarize(const Tensor& image, int threshold) {
  return look_up(image, table_of([&](int i) { return static_cast<std::uint8_t>(i >= threshold ? 255 - i : i); }));
}

Tensor autocontrast(const Tensor& image) {
  return look_up_by_channel(image, [](const std::array<std::int64_t, 256>& histogram) {
    int least = 0;
    int most = 255;
    while (histogram[static_cast<std::size_t>(least)] == 0) ++least;
    while (histogram[static_cast<std::size_t>(most)] == 0) --most;
    if (least == most) return table_of([](int i) { return static_cast<std::uint8_t>(i); });
    return table_of([&](int i) {
      return static_cast<std::uint8_t>(std::clamp(i - least, 0, most - least) * 255 / (most - least));
    });
  });
}

Tensor equalize(const Tensor& image) {
  return look_up_by_channel(image, [](const std::array<std::int64_t, 256>& histogram) {
    std::size_t most = 255;
    while (histogram[most] == 0) --most;
    std::int64_t sum = 0;
    for (std::size_t i = 0; i < most; ++i) sum += histogram[i];
    const std::int64_t step = sum / 255;
    if (step == 0) return table_of([](int i) { return static_cast<std::uint8_t>(i); });
    std::int64_t below = step / 2;
    return table_of([&](int i) {
      const std::int64_t level = std::min<std::int64_t>(below / step, 255);
      below += histogram[static_cast<std::size_t>(i)];
      return static_cast<std::uint8_t>(level);
    });
  });
}

}  // namespace tapestry::datasets::detail
