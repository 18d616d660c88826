#include <tapestry/datasets/color.h>

#include <algorithm>
#include <array>
#include <vector>

#include <tapestry/autograd/base/check.h>
#include <tapestry/datasets/detail/colours.h>
#include <tapestry/datasets/detail/images.h>
#include <tapestry/datasets/detail/purposes.h>
#include <tapestry/datasets/detail/shuffle.h>

namespace tapestry::datasets {

Tensor ColorJitter::operator()(const Tensor& image, const SampleKey& key) const {
  detail::check_colours("color_jitter", image);
  for (const auto& [what, value] :
       {std::pair{"brightness", brightness}, std::pair{"contrast", contrast}, std::pair{"saturation", saturation}}) {
    if (!(value >= 0 && value <= 1e6)) throw_invalid("color_jitter: {} must be at least 0; got {}", what, value);
  }
  if (!(hue >= 0 && hue <= 0.5)) throw_invalid("color_jitter: hue must be in [0, 0.5]; got {}", hue);
  Generator generator = key.generator(detail::kColorJitterPurpose);
  const auto factor = [&](double v) { return generator.uniform(std::max(0.0, 1 - v), 1 + v); };
  // All are drawn whether they are used or not: switching one off leaves the others as they were.
  const double by_brightness = factor(brightness);
  const double by_contrast = factor(contrast);
  const double by_saturation = factor(saturation);
  const double by_hue = generator.uniform(-hue, hue);
  std::vector<std::size_t> order{0, 1, 2, 3};
  detail::shuffle(order, generator);
  Tensor y = image;
  for (const std::size_t part : order) {
    if (part == 0 && brightness > 0) y = detail::adjust_brightness(y, by_brightness);
    if (part == 1 && contrast > 0) y = detail::adjust_contrast(y, by_contrast);
    if (part == 2 && saturation > 0) y = detail::adjust_saturation(y, by_saturation);
    if (part == 3 && hue > 0) y = detail::adjust_hue(y, by_hue);
  }
  return y;
}

}  // namespace tapestry::datasets
