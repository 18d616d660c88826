#pragma once

#include <tapestry/datasets/dataset.h>

namespace tapestry::datasets {

/// Changes brightness, contrast, saturation and hue, in random order, each by a uniform draw: the first three by a
/// factor from [max(0, 1 - v), 1 + v], hue by [-hue, hue] of a whole turn. u8 [H, W, 1 or 3]; values are cut off to
/// [0, 255]. Throws std::invalid_argument for other images, v below 0 and hue outside [0, 0.5].
///
/// With x the picture, g what it is in grey (.2989 R + .587 G + .114 B) and f the factor: brightness f x, contrast
/// f x + (1 - f) mean(g), saturation f x + (1 - f) g. Grey pictures have no saturation and hue.
struct ColorJitter {
  double brightness = 0;  ///< at least 0
  double contrast = 0;    ///< at least 0
  double saturation = 0;  ///< at least 0
  double hue = 0;         ///< in [0, 0.5]
  [[nodiscard]] Tensor operator()(const Tensor& image, const SampleKey& key) const;
};

}  // namespace tapestry::datasets
