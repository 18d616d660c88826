#pragma once

#include <tapestry/nn/conv.h>
#include <tapestry/nn/linear.h>
#include <tapestry/nn/norm.h>

/// The network of the lecture: [CONV - RELU - POOL] x 3 - FC - RELU - FC, for images of 32 x 32 pixels.
namespace tapestry::nn::models {

/// 643,492 parameters with 100 classes.
class LectureCnn : public Module {
 public:
  explicit LectureCnn(Index classes);
  [[nodiscard]] Tensor operator()(Tensor x, Here here = {}) const;  ///< x [N, 32, 32, 3] -> [N, classes]

 private:
  Conv2d conv1_, conv2_, conv3_;
  Linear fc1_, fc2_;
};

/// The same with batch normalisation in front of each RELU of a convolution, which then needs no bias: 643,716
/// parameters with 100 classes.
class LectureCnnBn : public Module {
 public:
  explicit LectureCnnBn(Index classes);
  [[nodiscard]] Tensor operator()(Tensor x, Here here = {}) const;  ///< x [N, 32, 32, 3] -> [N, classes]

 private:
  Conv2d conv1_;
  BatchNorm2d bn1_;
  Conv2d conv2_;
  BatchNorm2d bn2_;
  Conv2d conv3_;
  BatchNorm2d bn3_;
  Linear fc1_, fc2_;
};

}  // namespace tapestry::nn::models
