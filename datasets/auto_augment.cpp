#include <tapestry/datasets/auto_augment.h>

#include <cmath>
#include <cstdint>
#include <numbers>

#include <tapestry/autograd/base/check.h>
#include <tapestry/datasets/detail/colours.h>
#include <tapestry/datasets/detail/images.h>
#include <tapestry/datasets/detail/purposes.h>
#include <tapestry/datasets/detail/warp.h>

namespace tapestry::datasets {
namespace {

enum class Change : std::int64_t {
  identity,
  shear_x,
  shear_y,
  translate_x,
  translate_y,
  rotate,
  brightness,
  color,
  contrast,
  sharpness,
  posterize,
  solarize,
  autocontrast,
  equalize,
};
constexpr std::int64_t kChanges = 14;

/// What full strength is.
struct Ranges {
  double shear;        // pixels per pixel
  double translate_x;  // pixels
  double translate_y;
  double degrees;
  double enhance;    // difference of a factor from 1
  double posterize;  // bits of eight that are lost
};

struct Fill {
  Interpolation interpolation;
  double value;
};

Tensor sheared(const Tensor& image, double x, double y, const Fill& fill) {
  constexpr double kRadian = 180 / std::numbers::pi;
  return detail::warp(image, detail::to_source({.shear_x = std::atan(x) * kRadian, .shear_y = std::atan(y) * kRadian}),
                      fill.interpolation, fill.value);
}

Tensor moved(const Tensor& image, double x, double y, const Fill& fill) {
  return detail::warp(image, detail::to_source({.move_x = std::trunc(x), .move_y = std::trunc(y)}), fill.interpolation,
                      fill.value);
}

Tensor turned(const Tensor& image, double degrees, const Fill& fill) {
  return detail::warp(image,
                      detail::to_source({.degrees = degrees,
                                         .centre_x = static_cast<double>(image.size(1)) / 2,
                                         .centre_y = static_cast<double>(image.size(0)) / 2}),
                      fill.interpolation, fill.value);
}

/// A change of `strength` in [0, 1], in the direction `sign`.
Tensor changed(const Tensor& image, Change change, double strength, double sign, const Ranges& ranges,
               const Fill& fill) {
  const double either = sign * strength;
  switch (change) {
    case Change::identity: return image;
    case Change::shear_x: return sheared(image, either * ranges.shear, 0, fill);
    case Change::shear_y: return sheared(image, 0, either * ranges.shear, fill);
    case Change::translate_x: return moved(image, either * ranges.translate_x, 0, fill);
    case Change::translate_y: return moved(image, 0, either * ranges.translate_y, fill);
    case Change::rotate: return turned(image, either * ranges.degrees, fill);
    case Change::brightness: return detail::adjust_brightness(image, 1 + either * ranges.enhance);
    case Change::color: return detail::adjust_saturation(image, 1 + either * ranges.enhance);
    case Change::contrast: return detail::adjust_contrast(image, 1 + either * ranges.enhance);
    case Change::sharpness: return detail::adjust_sharpness(image, 1 + either * ranges.enhance);
    case Change::posterize:
      return detail::posterize(image, 8 - static_cast<int>(std::round(strength * ranges.posterize)));
    case Change::solarize: return detail::solarize(image, static_cast<int>(std::ceil(255 * (1 - strength))));
    case Change::autocontrast: return detail::autocontrast(image);
    case Change::equalize: return detail::equalize(image);
  }
  return image;
}

void check(const char* transform, const Tensor& image, int bins) {
  detail::check_colours(transform, image);
  if (bins < 2) throw_invalid("{}: num_magnitude_bins must be at least 2; got {}", transform, bins);
}

/// Draws a change and a direction, and applies it with `strength`.
Tensor any_change(const Tensor& image, Generator& generator, double strength, const Ranges& ranges, const Fill& fill) {
  const auto change = static_cast<Change>(generator.randint(0, kChanges));
  const double sign = generator.uniform() < 0.5 ? -1 : 1;
  return changed(image, change, strength, sign, ranges, fill);
}

}  // namespace

Tensor RandAugment::operator()(const Tensor& image, const SampleKey& key) const {
  check("rand_augment", image, num_magnitude_bins);
  if (num_ops < 0) throw_invalid("rand_augment: num_ops must be at least 0; got {}", num_ops);
  if (magnitude < 0 || magnitude >= num_magnitude_bins) {
    throw_invalid("rand_augment: magnitude must be in [0, num_magnitude_bins), here [0, {}); got {}",
                  num_magnitude_bins, magnitude);
  }
  constexpr double kPart = 150. / 331;  // of a side, as the policy was found on ImageNet
  const Ranges ranges{.shear = 0.3,
                      .translate_x = kPart * static_cast<double>(image.size(1)),
                      .translate_y = kPart * static_cast<double>(image.size(0)),
                      .degrees = 30,
                      .enhance = 0.9,
                      .posterize = 4};
  const double strength = static_cast<double>(magnitude) / (num_magnitude_bins - 1);
  Generator generator = key.generator(detail::kRandAugmentPurpose);
  Tensor y = image;
  for (int i = 0; i < num_ops; ++i) y = any_change(y, generator, strength, ranges, {interpolation, fill});
  return y;
}

Tensor TrivialAugmentWide::operator()(const Tensor& image, const SampleKey& key) const {
  check("trivial_augment", image, num_magnitude_bins);
  constexpr Ranges ranges{
      .shear = 0.99, .translate_x = 32, .translate_y = 32, .degrees = 135, .enhance = 0.99, .posterize = 6};
  Generator generator = key.generator(detail::kTrivialAugmentPurpose);
  const double strength = static_cast<double>(generator.randint(0, num_magnitude_bins)) / (num_magnitude_bins - 1);
  return any_change(image, generator, strength, ranges, {interpolation, fill});
}

}  // namespace tapestry::datasets
