#pragma once

#include <tapestry/nn/module.h>
#include <tapestry/ops/interpolate.h>

/// The resamplings of <tapestry/ops/interpolate.h> as layers: x [N, H, W, C].
namespace tapestry::nn {

/// interpolate by the options given.
class Upsample : public Module {
 public:
  explicit Upsample(const InterpolateOptions& options);
  [[nodiscard]] Tensor operator()(const Tensor& x, Here here = {}) const;

 private:
  InterpolateOptions options_;
};

/// pixel_shuffle: [N, H, W, C r r] -> [N, H r, W r, C]. Throws std::invalid_argument for an r below 1.
class PixelShuffle : public Module {
 public:
  explicit PixelShuffle(Index upscale_factor, Here here = {});
  [[nodiscard]] Tensor operator()(const Tensor& x, Here here = {}) const;

 private:
  Index upscale_factor_;
};

}  // namespace tapestry::nn
