#include <tapestry/datasets/transforms.h>

#include <algorithm>
#include <array>
#include <cmath>
#include <cstring>
#include <memory>
#include <utility>

#include <tapestry/autograd/base/check.h>
#include <tapestry/datasets/detail/purposes.h>

namespace tapestry::datasets {
namespace {

void check_image(const char* transform, const Tensor& image) {
  if (image.dim() != 3) throw_invalid("{}: image must be [H, W, C]; got {}", transform, image.shape());
}

/// The bytes of an image: rows of pixels of a fixed size, whatever the dtype.
struct Bytes {
  Index height, width, pixel;

  explicit Bytes(const Tensor& image)
      : height(image.size(0)), width(image.size(1)), pixel(image.size(2) * item_bytes(image.dtype())) {}
};

std::byte* fresh_bytes(Tensor& y) { return y.impl().bytes(); }

/// Window of `out` at row `top`, column `left` of the image, both counted without padding and possibly negative.
void copy_window(const Tensor& image, Tensor& out, Index top, Index left, PadMode mode) {
  const Bytes from(image);
  const Bytes to(out);
  const std::byte* source = image.impl().bytes();
  std::byte* target = fresh_bytes(out);
  const Index before = std::clamp(-left, Index{0}, to.width);  // pixels left of the image
  const Index inside = std::clamp(from.width - std::max(left, Index{0}), Index{0}, to.width - before);
  for (Index y = 0; y < to.height; ++y) {
    std::byte* row = target + y * to.width * to.pixel;
    const Index wanted = top + y;
    const bool outside = wanted < 0 || wanted >= from.height;
    if (outside && mode == PadMode::constant) {
      std::fill_n(row, to.width * to.pixel, std::byte{0});
      continue;
    }
    const std::byte* line = source + padded_source(mode, wanted, from.height) * from.width * from.pixel;
    const auto edge = [&](Index x) {
      if (mode == PadMode::constant) std::fill_n(row + x * to.pixel, to.pixel, std::byte{0});
      else std::copy_n(line + padded_source(mode, left + x, from.width) * to.pixel, to.pixel, row + x * to.pixel);
    };
    for (Index x = 0; x < before; ++x) edge(x);
    std::copy_n(line + (left + before) * to.pixel, inside * to.pixel, row + before * to.pixel);
    for (Index x = before + inside; x < to.width; ++x) edge(x);
  }
}

template <std::size_t kBytes>
void mirror_row(const std::byte* from, std::byte* to, Index width) {
  for (Index x = 0; x < width; ++x) {
    std::memcpy(to + x * static_cast<Index>(kBytes), from + (width - 1 - x) * static_cast<Index>(kBytes), kBytes);
  }
}

/// Left and right changed over.
Tensor mirrored_image(const Tensor& image) {
  Tensor y = empty(image.shape(), image.dtype());
  const Bytes bytes(image);
  for (Index row = 0; row < bytes.height; ++row) {
    const std::byte* from = image.impl().bytes() + row * bytes.width * bytes.pixel;
    std::byte* to = fresh_bytes(y) + row * bytes.width * bytes.pixel;
    if (bytes.pixel == 3) mirror_row<3>(from, to, bytes.width);
    else if (bytes.pixel == 12) mirror_row<12>(from, to, bytes.width);
    else {
      for (Index x = 0; x < bytes.width; ++x) {
        std::copy_n(from + (bytes.width - 1 - x) * bytes.pixel, bytes.pixel, to + x * bytes.pixel);
      }
    }
  }
  return y;
}

/// Three channels in one of 256 levels: what ToFloat and Normalize make of every byte of channel c is at [c * 256 +
/// byte].
class NormalizedBytes {
 public:
  explicit NormalizedBytes(const Normalize& normalize)
      : normalize_(normalize), channels_(static_cast<Index>(normalize.mean().size())) {
    Tensor levels = empty({256, 1, channels_}, u8);
    auto* level = levels.mutable_data<std::uint8_t>();
    for (Index i = 0; i < 256 * channels_; ++i) level[i] = static_cast<std::uint8_t>(i / channels_);
    table_ = normalize(ToFloat()(levels)).to_vector<float>();
  }

  Tensor operator()(const Tensor& image, const SampleKey&) const {
    if (image.dim() != 3 || image.dtype() != u8 || image.size(2) != channels_) return normalize_(ToFloat()(image));
    Tensor y = empty(image.shape(), f32);
    const auto* from = image.data<std::uint8_t>();
    auto* to = y.mutable_data<float>();
    const float* table = table_.data();
    const Index n = image.numel();
    for (Index i = 0; i < n; i += channels_) {
      for (Index c = 0; c < channels_; ++c) to[i + c] = table[Index{from[i + c]} * channels_ + c];
    }
    return y;
  }

 private:
  Normalize normalize_;
  Index channels_;
  std::vector<float> table_;  // [256, C]
};

}  // namespace

Tensor RandomCrop::operator()(const Tensor& image, const SampleKey& key) const {
  check_image("random_crop", image);
  const Index h = image.size(0);
  const Index w = image.size(1);
  if (padding < 0) throw_invalid("random_crop: padding must be at least 0; got {}", padding);
  const Index widest = widest_pad(mode, std::min(h, w));
  if (widest >= 0 && padding > widest) {
    throw_invalid("random_crop: padding of this mode must be at most {}, what the image has to give; got {} for {}",
                  widest, padding, image.shape());
  }
  const Index out_h = height == 0 ? h : height;
  const Index out_w = width == 0 ? w : width;
  if (out_h < 0 || out_w < 0 || out_h > h + 2 * padding || out_w > w + 2 * padding) {
    throw_invalid("random_crop: window must fit into the padded image; got {} x {} for {} with padding {}", out_h,
                  out_w, image.shape(), padding);
  }
  Generator generator = key.generator(detail::kCropPurpose);
  const Index top = generator.randint(0, h + 2 * padding - out_h + 1) - padding;
  const Index left = generator.randint(0, w + 2 * padding - out_w + 1) - padding;
  if (top == 0 && left == 0 && out_h == h && out_w == w) return image;
  Tensor y = empty({out_h, out_w, image.size(2)}, image.dtype());
  copy_window(image, y, top, left, mode);
  return y;
}

Tensor RandomHorizontalFlip::operator()(const Tensor& image, const SampleKey& key) const {
  check_image("random_horizontal_flip", image);
  if (!(p >= 0 && p <= 1)) throw_invalid("random_horizontal_flip: p must be in [0, 1]; got {}", p);
  if (key.generator(detail::kFlipPurpose).uniform() >= p) return image;
  return mirrored_image(image);
}

Tensor AlternatingFlip::operator()(const Tensor& image, const SampleKey& key) const {
  check_image("alternating_flip", image);
  SampleKey first = key;
  first.epoch = 0;
  const bool in_even_epochs = first.generator(detail::kAlternatingFlipPurpose).uniform() < 0.5;
  return in_even_epochs == (key.epoch % 2 == 0) ? mirrored_image(image) : image;
}

Tensor ToFloat::operator()(const Tensor& image, const SampleKey&) const {
  check_image("to_float", image);
  if (image.dtype() != u8) throw_invalid("to_float: image must be u8; got {}", image.dtype());
  Tensor y = empty(image.shape(), f32);
  const auto* from = image.data<std::uint8_t>();
  auto* to = y.mutable_data<float>();
  const Index n = image.numel();
  for (Index i = 0; i < n; ++i) to[i] = static_cast<float>(from[i]) / 255.0F;
  return y;
}

Normalize::Normalize(std::span<const double> mean, std::span<const double> std, Here here) {
  const CallSite site(here);
  if (mean.empty() || mean.size() != std.size()) {
    throw_invalid("normalize: mean and std must have one value per channel; got {} and {}", mean.size(), std.size());
  }
  for (std::size_t c = 0; c < mean.size(); ++c) {
    mean_.push_back(static_cast<float>(mean[c]));
    std_.push_back(static_cast<float>(std[c]));
    if (!std::isfinite(mean_[c])) throw_invalid("normalize: mean must be finite; got {} for channel {}", mean[c], c);
    if (!std::isfinite(std_[c]) || !(std_[c] > 0)) {
      throw_invalid("normalize: std must be finite and above 0; got {} for channel {}", std[c], c);
    }
  }
}

Tensor Normalize::operator()(const Tensor& image, const SampleKey&) const {
  check_image("normalize", image);
  if (image.dtype() != f32) throw_invalid("normalize: image must be f32 (see ToFloat); got {}", image.dtype());
  const auto channels = static_cast<Index>(mean_.size());
  if (image.size(2) != channels) {
    throw_invalid("normalize: image must have {} channels, as mean and std; got {}", channels, image.shape());
  }
  Tensor y = empty(image.shape(), f32);
  const float* from = image.data<float>();
  float* to = y.mutable_data<float>();
  const Index n = image.numel();
  for (Index i = 0; i < n; i += channels) {
    for (Index c = 0; c < channels; ++c) {
      to[i + c] = (from[i + c] - mean_[static_cast<std::size_t>(c)]) / std_[static_cast<std::size_t>(c)];
    }
  }
  return y;
}

Compose::Compose(std::vector<ImageTransform> parts, Here here) {
  const CallSite site(here);
  for (std::size_t i = 0; i < parts.size(); ++i) {
    if (!parts[i]) throw_invalid("compose: every part must be a function; got none at {}", i);
    const Normalize* normalize = i + 1 < parts.size() ? parts[i + 1].target<Normalize>() : nullptr;
    if (normalize != nullptr && parts[i].target<ToFloat>() != nullptr) {
      parts_.push_back({NormalizedBytes(*normalize), i});
      ++i;
    } else {
      parts_.push_back({std::move(parts[i]), i});
    }
  }
}

Tensor Compose::operator()(const Tensor& image, const SampleKey& key) const {
  Tensor y = image;
  for (const Part& part : parts_) y = part.transform(y, key.child(part.number));
  return y;
}

}  // namespace tapestry::datasets
