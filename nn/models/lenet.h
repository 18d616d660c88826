#pragma once

#include <tapestry/nn/conv.h>
#include <tapestry/nn/linear.h>

namespace tapestry::nn::models {

struct LeNet5Options {
  Index classes = 100;
  Index channels = 3;  ///< of the images
  Index size = 32;     ///< height and width of the images, at least 14; those of 28 are padded to 32, as LeCun did
};

/// LeNet-5 (LeCun et al., 1998) as it is built today: 5x5 convolutions with 6 and 16 filters, each followed by RELU and
/// max-pooling, then linear layers of 120 and 84 outputs. x [N, size, size, channels] -> [N, classes]; 69,656
/// parameters with 100 classes. Keys conv1.weight, ..., fc3.bias. Throws std::invalid_argument for a smaller size.
class LeNet5 : public Module {
 public:
  explicit LeNet5(const LeNet5Options& options, Here here = {});
  [[nodiscard]] Tensor operator()(Tensor x, Here here = {}) const;

 private:
  Index padding_;  ///< of the first convolution
  Conv2d conv1_, conv2_;
  Linear fc1_, fc2_, fc3_;
};

}  // namespace tapestry::nn::models
