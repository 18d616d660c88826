#pragma once

#include <array>
#include <cstdint>

#include <tapestry/datasets/dataset.h>
#include <tapestry/datasets/interpolation.h>

/// Transforms that move pixels: see transforms.h for what all transforms have in common. Images are u8 or f32 [H, W,
/// C]; u8 is rounded. Where a pixel comes from outside the image, it has the value `fill` in all channels.
namespace tapestry::datasets {

struct ResizeOptions {
  Interpolation interpolation = Interpolation::bilinear;  ///< how pixels are weighed
  bool antialias = true;  ///< bilinear: when it gets smaller, weigh all pixels that the new one covers
};

/// u8 or f32 [H, W, C] or a batch [B, H, W, C] -> the same with `height` and `width`. The centre of pixel i lies at
/// i + .5 and the borders of the images coincide: at s = H / height source pixels for one, the value at p = (i + .5) s
/// is the mean of source pixels j with weights max(0, 1 - |j + .5 - p| / max(s, 1)); without antialias / 1. Nearest:
/// pixel floor(p). What Pillow and torch's interpolate(antialias=True) compute, up to rounding. Keeps nothing for
/// backward: the result has no history. Throws std::invalid_argument for other shapes and dtypes, empty images, and
/// sides outside [1, 65536].
[[nodiscard]] Tensor resize(const Tensor& images, Index height, Index width, const ResizeOptions& options = {},
                            Here here = {});

/// The transform: to height x width.
struct Resize {
  Index height = 0;            ///< 0: as `width` gives, with the proportions kept; one of the two must be given
  Index width = 0;             ///< the same for `height`
  ResizeOptions options = {};  ///< of the resize()
  [[nodiscard]] Tensor operator()(const Tensor& image, const SampleKey& key = {}) const;
};

/// The window height x width in the middle; half a pixel up or left of it where that is no whole one. Any dtype.
struct CenterCrop {
  Index height = 0;  ///< of the window
  Index width = 0;   ///< of the window
  [[nodiscard]] Tensor operator()(const Tensor& image, const SampleKey& key = {}) const;
};

/// A window of random area and proportions, resized (Szegedy et al., 2015): area uniform in `scale` times the image's,
/// width / height log-uniform in `ratio`. Where ten draws do not fit, the largest window in the middle whose
/// proportions are allowed.
struct RandomResizedCrop {
  Index height = 224;                           ///< of the result
  Index width = 224;                            ///< of the result
  std::array<double, 2> scale{0.08, 1};         ///< in (0, 1]
  std::array<double, 2> ratio{3. / 4, 4. / 3};  ///< above 0
  ResizeOptions options = {};                   ///< of the resize()
  [[nodiscard]] Tensor operator()(const Tensor& image, const SampleKey& key) const;
};

/// Turned about the middle by an angle that is uniform in [-degrees, degrees].
struct RandomRotation {
  double degrees = 15;                                   ///< in [0, 360]
  Interpolation interpolation = Interpolation::nearest;  ///< of what is warped
  double fill = 0;                                       ///< of what comes from outside the image
  [[nodiscard]] Tensor operator()(const Tensor& image, const SampleKey& key) const;
};

/// Turned, moved, enlarged and sheared about the middle, each by a uniform draw.
struct RandomAffine {
  double degrees = 0;                 ///< in [0, 360]: turned by [-degrees, degrees]
  std::array<double, 2> translate{};  ///< in [0, 1]: moved by whole pixels up to these parts of width and height
  std::array<double, 2> scale{1, 1};  ///< above 0: enlarged by a factor between the two
  std::array<double, 2> shear{};      ///< in [0, 90): degrees along x and y, in both directions
  Interpolation interpolation = Interpolation::nearest;  ///< of what is warped
  double fill = 0;                                       ///< of what comes from outside the image
  [[nodiscard]] Tensor operator()(const Tensor& image, const SampleKey& key) const;
};

/// Seen from another side, with probability p: each corner moves inwards, to a point that is uniform in the rectangle
/// from the corner to `distortion_scale` of the way to the middle.
struct RandomPerspective {
  double distortion_scale = 0.5;                          ///< in [0, 1)
  double p = 0.5;                                         ///< in [0, 1]
  Interpolation interpolation = Interpolation::bilinear;  ///< of what is warped
  double fill = 0;                                        ///< of what comes from outside the image
  [[nodiscard]] Tensor operator()(const Tensor& image, const SampleKey& key) const;
};

}  // namespace tapestry::datasets
