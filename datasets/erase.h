#pragma once

#include <array>

#include <tapestry/datasets/dataset.h>

/// Transforms that take a part of an image away. u8 or f32 [H, W, C]; after Normalize a value of 0 is the mean.
namespace tapestry::datasets {

/// With probability p a rectangle becomes one value or noise (Zhong et al., 2017): its area is uniform in `scale` times
/// the image's, its height / width log-uniform in `ratio`, its place uniform inside the image. Where ten draws do not
/// fit, the image stays.
struct RandomErasing {
  double p = 0.5;                           ///< in [0, 1]
  std::array<double, 2> scale{0.02, 0.33};  ///< in (0, 1]
  std::array<double, 2> ratio{0.3, 3.3};    ///< above 0
  double value = 0;
  bool noise = false;  ///< f32: normal noise, mean 0 and deviation 1, instead of `value`
  [[nodiscard]] Tensor operator()(const Tensor& image, const SampleKey& key) const;
};

/// A square around a random pixel becomes one value (DeVries and Taylor, 2017). Its middle is any pixel, so that parts
/// of it may lie outside.
struct Cutout {
  Index size = 16;  ///< at least 1
  double value = 0;
  [[nodiscard]] Tensor operator()(const Tensor& image, const SampleKey& key) const;
};

}  // namespace tapestry::datasets
