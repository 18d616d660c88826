#include <tapestry/datasets/detail/png.h>

#include <algorithm>
#include <cstdlib>

#include <tapestry/datasets/detail/inflate.h>
#include <tapestry/datasets/detail/png_chunks.h>

namespace tapestry::datasets::detail {
namespace {

std::uint8_t paeth(int left, int above, int corner) {
  const int guess = left + above - corner;
  const int to_left = std::abs(guess - left);
  const int to_above = std::abs(guess - above);
  const int to_corner = std::abs(guess - corner);
  if (to_left <= to_above && to_left <= to_corner) return static_cast<std::uint8_t>(left);
  return static_cast<std::uint8_t>(to_above <= to_corner ? above : corner);
}

/// Turns differences into values, in place. `step`: bytes of a pixel, at least 1. `above` is null for the first row.
void undo_filter(std::uint32_t filter, std::span<std::uint8_t> row, const std::uint8_t* above, std::size_t step) {
  for (std::size_t i = 0; i < row.size(); ++i) {
    const int a = i >= step ? row[i - step] : 0;
    const int b = above != nullptr ? above[i] : 0;
    const int c = above != nullptr && i >= step ? above[i - step] : 0;
    switch (filter) {
      case 1: row[i] = static_cast<std::uint8_t>(row[i] + a); break;
      case 2: row[i] = static_cast<std::uint8_t>(row[i] + b); break;
      case 3: row[i] = static_cast<std::uint8_t>(row[i] + (a + b) / 2); break;
      case 4: row[i] = static_cast<std::uint8_t>(row[i] + paeth(a, b, c)); break;
      default: return;
    }
  }
}

/// Pixels from the samples of a row.
class Expander {
 public:
  Expander(const PictureFile& file, const PngChunks& chunks)
      : file_(file), header_(chunks.header), samples_(header_.samples()), palette_(chunks.palette) {
    if (chunks.transparency) transparency_ = *chunks.transparency;
    if (header_.type == PngHeader::palette || !chunks.transparency) return;
    for (std::uint32_t i = 0; i < samples_; ++i) {
      clear_[i] = big_endian(transparency_, 2 * std::size_t{i}, 2) & ((1U << header_.depth) - 1);
    }
  }

  [[nodiscard]] Index channels() const {
    const std::uint32_t colours = header_.type == PngHeader::palette ? 3 : samples_;
    return colours + (transparency_.empty() ? 0 : 1);
  }

  /// Pixel x of `row`, to `to`.
  void pixel(const std::uint8_t* row, std::uint32_t x, std::uint8_t* to) const {
    if (header_.type == PngHeader::palette) return from_palette(sample(row, x), to);
    bool is_clear = true;
    for (std::uint32_t i = 0; i < samples_; ++i) {
      const std::uint32_t value = sample(row, x * samples_ + i);
      to[i] = static_cast<std::uint8_t>(header_.depth == 16 ? value >> 8 : value * 255 / ((1U << header_.depth) - 1));
      is_clear = is_clear && value == clear_[i];
    }
    if (!transparency_.empty()) to[samples_] = is_clear ? 0 : 255;
  }

 private:
  [[nodiscard]] std::uint32_t sample(const std::uint8_t* row, std::size_t i) const {
    if (header_.depth == 8) return row[i];
    if (header_.depth == 16) return row[2 * i] * 256U + row[2 * i + 1];
    const std::size_t bit = i * header_.depth;  // the leftmost in the upper bits
    return row[bit / 8] >> (8 - header_.depth - bit % 8) & ((1U << header_.depth) - 1);
  }

  void from_palette(std::uint32_t index, std::uint8_t* to) const {
    if (index >= palette_.size() / 3) {
      file_.reader.fail(FileError::nowhere,
                        format_message("pixels below the palette's {} entries", palette_.size() / 3),
                        format_message("{}", index));
    }
    std::copy_n(palette_.data() + 3 * std::size_t{index}, 3, to);
    if (!transparency_.empty()) to[3] = index < transparency_.size() ? transparency_[index] : std::uint8_t{255};
  }

  const PictureFile& file_;
  const PngHeader& header_;
  std::uint32_t samples_;
  const std::vector<std::uint8_t>& palette_;
  Bytes transparency_;
  std::array<std::uint32_t, 4> clear_{};
};

}  // namespace

Tensor decode_png(const PictureFile& file) {
  const PngChunks chunks = read_png_chunks(file);
  const PngHeader& header = chunks.header;
  CountedVector<std::uint8_t> raw(chunks.raw_bytes);
  try {
    inflate(chunks.data, raw);
  } catch (const StreamFault& fault) {
    file.fail(chunks.place_in_file(fault.offset), fault.expected, fault.got);
  }

  const Expander expander(file, chunks);
  const Index channels = expander.channels();
  Tensor image = empty({header.height, header.width, channels}, u8);
  auto* const pixels = image.mutable_data<std::uint8_t>();
  const std::size_t pixel_bytes = std::max<std::size_t>(1, std::size_t{header.samples()} * header.depth / 8);
  std::uint8_t* next = raw.data();
  for (const PngPass& pass : passes_of(header)) {
    const std::size_t row_bytes = header.row_bytes(pass.width);
    const std::uint8_t* above = nullptr;
    for (std::uint32_t y = 0; y < pass.height; ++y) {
      const std::uint32_t filter = *next++;
      if (filter > 4) {
        file.reader.fail(FileError::nowhere, "filters from 0 to 4", format_message("{}", filter));
      }
      undo_filter(filter, {next, row_bytes}, above, pixel_bytes);
      std::uint8_t* const to =
          pixels + ((Index{pass.top} + Index{y} * pass.step_y) * header.width + pass.left) * channels;
      for (std::uint32_t x = 0; x < pass.width; ++x) expander.pixel(next, x, to + Index{x} * pass.step_x * channels);
      above = next;
      next += row_bytes;
    }
  }
  return image;
}

}  // namespace tapestry::datasets::detail
