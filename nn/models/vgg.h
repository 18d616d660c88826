#pragma once

#include <tapestry/nn/sequential.h>

namespace tapestry::nn::models {

/// How many channels each convolution has, and where the image is halved (M).
enum class VggConfiguration {
  A,  ///< VGG-11: 64 M 128 M 256 256 M 512 512 M 512 512 M
  D   ///< VGG-16: 64 64 M 128 128 M 256 256 256 M 512 512 512 M 512 512 512 M
};

struct VggOptions {
  VggConfiguration configuration = VggConfiguration::D;  ///< the depth
  Index classes = 100;
  bool hidden = false;  ///< two linear layers of 512 with RELU and dropout 0.5 in front of the last one
};

/// VGG with batch normalisation (Simonyan and Zisserman, 2015) for images of 32 x 32 pixels: 3x3 convolutions of as
/// many channels as the configuration says, where M halves the image, then one linear layer of 512 inputs, or three.
/// 9,277,284 (A) and 14,774,436 (D) parameters with 100 classes, 525,312 more with .hidden. Keys features.0.weight,
/// ..., classifier.bias; with .hidden those of the layers in a Sequential, classifier.6.bias.
class Vgg : public Module {
 public:
  explicit Vgg(const VggOptions& options);
  [[nodiscard]] Tensor operator()(Tensor x, Here here = {}) const;  ///< x [N, 32, 32, 3] -> [N, classes]

 private:
  Sequential features_;
  AnyModule classifier_;
};

}  // namespace tapestry::nn::models
