#pragma once

#include <tapestry/nn/linear.h>

namespace tapestry::nn::models {

/// A multilayer perceptron for images of 32 x 32 pixels: the image as one row of 3072 numbers, then linear layers of
/// 1024, 1024 and `classes` outputs with RELU between them. 4,298,852 parameters with 100 classes. Keys fc1.weight,
/// ..., fc3.bias.
class Mlp : public Module {
 public:
  explicit Mlp(Index classes);
  [[nodiscard]] Tensor operator()(const Tensor& x, Here here = {}) const;  ///< x [N, 32, 32, 3] -> [N, classes]

 private:
  Linear fc1_, fc2_, fc3_;
};

}  // namespace tapestry::nn::models
