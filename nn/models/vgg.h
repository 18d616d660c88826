#pragma once

#include <tapestry/nn/linear.h>
#include <tapestry/nn/sequential.h>

namespace tapestry::nn::models {

/// VGG-16 with batch normalisation (Simonyan and Zisserman, 2015; configuration D) for images of 32 x 32 pixels:
/// 3x3 convolutions of 64 64 M 128 128 M 256 256 256 M 512 512 512 M 512 512 512 M channels, where M halves the image,
/// then one linear layer of 512 inputs. 14,774,436 parameters with 100 classes. Keys features.0.weight, ...,
/// classifier.bias.
class Vgg16Bn : public Module {
 public:
  explicit Vgg16Bn(Index classes);
  [[nodiscard]] Tensor operator()(Tensor x, Here here = {}) const;  ///< x [N, 32, 32, 3] -> [N, classes]

 private:
  Sequential features_;
  Linear classifier_;
};

}  // namespace tapestry::nn::models
