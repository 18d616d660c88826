#pragma once

#include <tapestry/datasets/dataset.h>
#include <tapestry/datasets/interpolation.h>

/// Policies that choose among fourteen changes: identity, shear along x and y, translation along x and y, rotation,
/// brightness, colour, contrast, sharpness, posterize, solarize, autocontrast, equalize. They take u8 [H, W, 1 or 3],
/// before ToFloat. The ranges are torchvision's; what can go either way does so with equal probability. 32 x 32 x 3
/// takes some 10 us.
namespace tapestry::datasets {

/// `num_ops` of the fourteen one after the other, each drawn anew, all with the same strength (Cubuk et al., 2020).
struct RandAugment {
  int num_ops = 2;                                       ///< at least 0
  int magnitude = 9;                                     ///< in [0, num_magnitude_bins)
  int num_magnitude_bins = 31;                           ///< at least 2; the last one is the full strength
  Interpolation interpolation = Interpolation::nearest;  ///< of what is warped
  double fill = 0;                                       ///< of what comes from outside the image
  [[nodiscard]] Tensor operator()(const Tensor& image, const SampleKey& key) const;
};

/// One of the fourteen, with a strength that is drawn from all (Mueller and Hutter, 2021: the wide space, whose ranges
/// are larger than RandAugment's).
struct TrivialAugmentWide {
  int num_magnitude_bins = 31;                           ///< at least 2
  Interpolation interpolation = Interpolation::nearest;  ///< of what is warped
  double fill = 0;                                       ///< of what comes from outside the image
  [[nodiscard]] Tensor operator()(const Tensor& image, const SampleKey& key) const;
};

}  // namespace tapestry::datasets
