#pragma once

#include <tapestry/nn/linear.h>
#include <tapestry/nn/sequential.h>

namespace tapestry::nn::models {

/// A residual network of nine layers for fast training (Page, 2018), for images of 32 x 32 pixels, made of 3x3
/// convolutions without bias, each with batch normalisation and RELU:
///
///     prep 64 - layer1 128, POOL, + res1 - layer2 256, POOL - layer3 512, POOL, + res3 - POOL 4 - linear / 8
///
/// where + adds what two more of them make of x. The linear layer has no bias. 6,619,200 parameters with 100 classes.
/// Keys prep.0.weight, ..., linear.weight.
class ResNet9 : public Module {
 public:
  explicit ResNet9(Index classes);
  [[nodiscard]] Tensor operator()(Tensor x, Here here = {}) const;  ///< x [N, 32, 32, 3] -> [N, classes]

 private:
  Sequential prep_, layer1_, res1_, layer2_, layer3_, res3_;
  Linear linear_;
};

}  // namespace tapestry::nn::models
