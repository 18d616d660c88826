#include <tapestry/datasets/detail/exif.h>

#include <algorithm>

namespace tapestry::datasets::detail {

int exif_orientation(Bytes tiff) {
  constexpr int kNone = 1;
  if (tiff.size() < 8) return kNone;
  const bool little = tiff[0] == 'I' && tiff[1] == 'I';
  if (!little && !(tiff[0] == 'M' && tiff[1] == 'M')) return kNone;
  const auto number = [&](std::size_t at, int bytes) {
    if (!little) return big_endian(tiff, at, bytes);
    std::uint32_t value = 0;
    for (int i = bytes; i-- > 0;) value = value << 8 | tiff[at + static_cast<std::size_t>(i)];
    return value;
  };
  if (number(2, 2) != 42) return kNone;
  const std::size_t directory = number(4, 4);
  if (directory > tiff.size() - 2) return kNone;
  std::uint32_t entries = number(directory, 2);
  constexpr std::size_t kEntry = 12;  // bytes: tag, type, count, value
  for (std::size_t at = directory + 2; entries > 0 && at + kEntry <= tiff.size(); --entries, at += kEntry) {
    constexpr std::uint32_t kOrientation = 0x0112;
    constexpr std::uint32_t kShort = 3;
    if (number(at, 2) != kOrientation) continue;
    const std::uint32_t value = number(at + 8, 2);
    const bool sensible = number(at + 2, 2) == kShort && number(at + 4, 4) == 1 && value >= 1 && value <= 8;
    return sensible ? static_cast<int>(value) : kNone;
  }
  return kNone;
}

Tensor upright(const Tensor& image, int orientation) {
  if (orientation == 1) return image;
  // From the file's picture to the upright one: rows and columns change places, or not; then each may run backwards.
  const bool transposed = orientation >= 5;
  const bool flip_x = orientation == 2 || orientation == 3 || orientation == 6 || orientation == 7;
  const bool flip_y = orientation == 3 || orientation == 4 || orientation == 7 || orientation == 8;
  const Index height = image.size(transposed ? 1 : 0);
  const Index width = image.size(transposed ? 0 : 1);
  const Index channels = image.size(2);
  Tensor turned = empty({height, width, channels}, u8);
  const auto* const from = image.data<std::uint8_t>();
  auto* to = turned.mutable_data<std::uint8_t>();
  for (Index y = 0; y < height; ++y) {
    for (Index x = 0; x < width; ++x, to += channels) {
      const Index column = flip_x ? width - 1 - x : x;
      const Index row = flip_y ? height - 1 - y : y;
      const Index pixel = transposed ? column * image.size(1) + row : row * image.size(1) + column;
      std::copy_n(from + pixel * channels, channels, to);
    }
  }
  return turned;
}

}  // namespace tapestry::datasets::detail
