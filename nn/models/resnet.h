#pragma once

#include <optional>
#include <vector>

#include <tapestry/nn/conv.h>
#include <tapestry/nn/linear.h>
#include <tapestry/nn/norm.h>
#include <tapestry/nn/sequential.h>

/// Residual networks (He et al., 2016) for images of 32 x 32 pixels: a 3x3 stem without pooling, stages of basic
/// blocks, global average pooling, one linear layer. Keys are torchvision's.
namespace tapestry::nn::models {

/// What a block adds where its input has another shape than its output.
enum class Shortcut {
  padded,     ///< every second pixel, and zeros for the channels that are not there: no parameters (option A)
  projection  ///< a 1x1 convolution with batch normalisation, "downsample" (option B)
};

/// relu(bn(conv3x3(relu(bn(conv3x3(x))))) + shortcut(x)): x [N, H, W, in] -> [N, H / stride, W / stride, out]. The
/// shortcut is x itself where shapes are equal.
class BasicBlock : public Module {
 public:
  BasicBlock(Index in, Index out, Index stride, Shortcut shortcut = Shortcut::projection);
  [[nodiscard]] Tensor operator()(Tensor x, Here here = {}) const;

 private:
  Conv2d conv1_;
  BatchNorm2d bn1_;
  Conv2d conv2_;
  BatchNorm2d bn2_;
  std::optional<Sequential> downsample_;
  Index missing_ = 0;  ///< channels that a padded shortcut adds
};

enum class ConvInit {
  fan_in_uniform,         ///< what Conv2d begins with
  kaiming_normal_fan_out  ///< normal with deviation sqrt(2 / fan out)
};

struct ResNetOptions {
  std::vector<Index> widths;  ///< channels of each stage; every stage but the first halves the image
  Index blocks = 2;           ///< per stage
  Index classes = 100;
  ConvInit init = ConvInit::kaiming_normal_fan_out;
  Shortcut shortcut = Shortcut::projection;  ///< where a block's shapes differ
};

class ResNet : public Module {
 public:
  explicit ResNet(const ResNetOptions& options, Here here = {});
  [[nodiscard]] Tensor operator()(Tensor x, Here here = {}) const;  ///< x [N, H, W, 3] -> [N, classes]

 private:
  Conv2d conv1_;
  BatchNorm2d bn1_;
  std::vector<Sequential> stages_;
  Linear fc_;
};

/// ResNet-20, 32, 44, 56: stages of 16, 32 and 64 channels with (depth - 2) / 6 blocks each. 278,324 parameters at
/// depth 20 with 100 classes, 275,572 with padded shortcuts, those of the paper. Throws std::invalid_argument for a
/// depth that is not 6 n + 2.
[[nodiscard]] ResNet resnet_cifar(Index depth, Index classes, Shortcut shortcut = Shortcut::projection, Here here = {});

/// ResNet-18: stages of 64, 128, 256 and 512 channels with two blocks each, 11,220,132 parameters with 100 classes.
[[nodiscard]] ResNet resnet18(Index classes, Here here = {});

}  // namespace tapestry::nn::models
