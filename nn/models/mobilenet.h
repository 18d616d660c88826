#pragma once

#include <tapestry/nn/sequential.h>

namespace tapestry::nn::models {

/// An inverted residual: a 1x1 convolution to `expansion` times the channels, a depthwise 3x3 convolution, a 1x1
/// convolution to `out` channels, each with batch normalisation, the first two with RELU6; x is added where shapes are
/// equal. Without expansion (1) the first one is missing. x [N, H, W, in] -> [N, H / stride, W / stride, out].
class InvertedResidual : public Module {
 public:
  InvertedResidual(Index in, Index out, Index stride, Index expansion);
  [[nodiscard]] Tensor operator()(Tensor x, Here here = {}) const;

 private:
  bool adds_;
  Sequential conv_;
};

struct MobileNetV2Options {
  double width = 1;  ///< factor of all channels but the last 1280, rounded to multiples of 8
  Index classes = 100;
};

/// MobileNetV2 (Sandler et al., 2018) for images of 32 x 32 pixels: the stem and the second stage keep the size of the
/// image, the third, fourth and sixth halve it. 2,351,972 parameters with 100 classes, 815,780 at width 0.5. Keys are
/// torchvision's: features.0.0.weight, features.1.conv.0.0.weight, ..., classifier.1.bias.
class MobileNetV2 : public Module {
 public:
  explicit MobileNetV2(const MobileNetV2Options& options = {}, Here here = {});
  [[nodiscard]] Tensor operator()(Tensor x, Here here = {}) const;  ///< x [N, 32, 32, 3] -> [N, classes]

 private:
  Sequential features_, classifier_;
};

}  // namespace tapestry::nn::models
