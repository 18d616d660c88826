#include <tapestry/datasets/erase.h>

#include <algorithm>
#include <cmath>
#include <cstdint>

#include <tapestry/autograd/base/check.h>
#include <tapestry/datasets/detail/images.h>
#include <tapestry/datasets/detail/purposes.h>

namespace tapestry::datasets {
namespace {

struct Box {
  Index top, left, bottom, right;
};

/// A copy of the image in which next() has written all elements of the box.
template <class T, class Next>
Tensor with_box(const Tensor& image, const Box& box, const Next& next) {
  Tensor y = empty(image.shape(), image.dtype());
  T* const to = y.mutable_data<T>();
  std::copy_n(image.data<T>(), image.numel(), to);
  const Index channels = image.size(2);
  for (Index row = box.top; row < box.bottom; ++row) {
    T* const line = to + (row * image.size(1) + box.left) * channels;
    std::generate_n(line, (box.right - box.left) * channels, next);
  }
  return y;
}

Tensor erased(const Tensor& image, const Box& box, double value) {
  if (image.dtype() == u8) {
    const auto byte = static_cast<std::uint8_t>(value);
    return with_box<std::uint8_t>(image, box, [byte] { return byte; });
  }
  const auto number = static_cast<float>(value);
  return with_box<float>(image, box, [number] { return number; });
}

void check_value(const char* transform, const Tensor& image, double value) {
  detail::check_bytes_or_floats(transform, image);
  if (image.dtype() == u8 && !(value >= 0 && value <= 255)) {
    throw_invalid("{}: value must be in [0, 255] for a u8 image; got {}", transform, value);
  }
}

}  // namespace

Tensor RandomErasing::operator()(const Tensor& image, const SampleKey& key) const {
  check_value("random_erasing", image, value);
  detail::check_fraction("random_erasing", "p", p);
  if (noise && image.dtype() != f32) {
    throw_invalid("random_erasing: an image that gets noise must be f32; got {}", image.dtype());
  }
  if (!(scale[0] > 0 && scale[0] <= scale[1] && scale[1] <= 1)) {
    throw_invalid("random_erasing: scale must be two numbers in (0, 1], the smaller first; got {} and {}", scale[0],
                  scale[1]);
  }
  if (!(ratio[0] > 0 && ratio[0] <= ratio[1] && ratio[1] <= 1e6)) {
    throw_invalid("random_erasing: ratio must be two numbers above 0, the smaller first; got {} and {}", ratio[0],
                  ratio[1]);
  }
  Generator generator = key.generator(detail::kErasingPurpose);
  if (generator.uniform() >= p) return image;
  const Index h = image.size(0);
  const Index w = image.size(1);
  constexpr int kTries = 10;
  for (int i = 0; i < kTries; ++i) {
    const double area = static_cast<double>(h) * static_cast<double>(w) * generator.uniform(scale[0], scale[1]);
    const double proportion = std::exp(generator.uniform(std::log(ratio[0]), std::log(ratio[1])));
    const double height = std::round(std::sqrt(area * proportion));
    const double width = std::round(std::sqrt(area / proportion));
    if (!(height >= 1 && width >= 1 && height < static_cast<double>(h) && width < static_cast<double>(w))) continue;
    const auto box_h = static_cast<Index>(height);
    const auto box_w = static_cast<Index>(width);
    const Index top = generator.randint(0, h - box_h + 1);
    const Index left = generator.randint(0, w - box_w + 1);
    const Box box{top, left, top + box_h, left + box_w};
    if (!noise) return erased(image, box, value);
    return with_box<float>(image, box, [&] { return static_cast<float>(generator.normal()); });
  }
  return image;
}

Tensor Cutout::operator()(const Tensor& image, const SampleKey& key) const {
  check_value("cutout", image, value);
  constexpr Index kLargest = Index{1} << 30;  // beyond any image
  if (size < 1 || size > kLargest) throw_invalid("cutout: size must be in [1, {}]; got {}", kLargest, size);
  Generator generator = key.generator(detail::kCutoutPurpose);
  const Index top = generator.randint(0, image.size(0)) - size / 2;
  const Index left = generator.randint(0, image.size(1)) - size / 2;
  return erased(image,
                {std::max<Index>(top, 0), std::max<Index>(left, 0), std::min(top + size, image.size(0)),
                 std::min(left + size, image.size(1))},
                value);
}

}  // namespace tapestry::datasets
