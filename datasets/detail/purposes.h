#pragma once

#include <cstdint>

namespace tapestry::datasets::detail {

/// What each kind of transform passes as its purpose to SampleKey::generator(). Never renumbered: what a key draws must
/// stay the same.
enum Purpose : std::uint64_t {
  kCropPurpose = 1,
  kFlipPurpose = 2,
  kAlternatingFlipPurpose = 3,
  kResizedCropPurpose = 4,
  kRotationPurpose = 5,
  kAffinePurpose = 6,
  kPerspectivePurpose = 7,
  kColorJitterPurpose = 8,
  kErasingPurpose = 9,
  kCutoutPurpose = 10,
  kRandAugmentPurpose = 11,
  kTrivialAugmentPurpose = 12,
  kMixupPurpose = 13,
  kCutMixPurpose = 14,
};

}  // namespace tapestry::datasets::detail
