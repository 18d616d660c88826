#pragma once

#include <optional>
#include <vector>

#include <tapestry/nn/conv.h>
#include <tapestry/nn/dropout.h>
#include <tapestry/nn/linear.h>
#include <tapestry/nn/norm.h>
#include <tapestry/nn/sequential.h>

/// Wide residual networks (Zagoruyko and Komodakis, 2016) for images of 32 x 32 pixels: a 3x3 stem of 16 channels,
/// three stages of pre-activation blocks with 16, 32 and 64 times `width` channels, the later two of which halve the
/// image, then batch normalisation, RELU, global average pooling and a linear layer. Keys as in the implementation for
/// PyTorch by xternalz: conv1.weight, block1.layer.0.bn1.weight, ..., block2.layer.0.convShortcut.weight, bn1.weight,
/// fc.bias.
namespace tapestry::nn::models {

/// With a = relu(bn(x)): conv3x3(dropout(relu(bn(conv3x3(a))))) + shortcut, which is x or, where shapes differ, a 1x1
/// convolution of a. x [N, H, W, in] -> [N, H / stride, W / stride, out].
class WideBlock : public Module {
 public:
  WideBlock(Index in, Index out, Index stride, double dropout);
  [[nodiscard]] Tensor operator()(Tensor x, Here here = {}) const;

 private:
  BatchNorm2d bn1_;
  Conv2d conv1_;
  BatchNorm2d bn2_;
  Dropout dropout_;
  Conv2d conv2_;
  std::optional<Conv2d> shortcut_;
};

/// The blocks of a stage, under the key "layer".
class WideStage : public Module {
 public:
  explicit WideStage(const Sequential& blocks) : layer_{child("layer", blocks)} {}
  [[nodiscard]] Tensor operator()(Tensor x, Here here = {}) const;
  /// The same, of each block keeping its input alone.
  [[nodiscard]] Tensor in_segments(Tensor x, const CheckpointOptions& options, Here here = {}) const;

 private:
  Sequential layer_;
};

struct WideResNetOptions {
  Index depth = 28;    ///< 6 n + 4
  Index width = 10;    ///< the factor of the channels
  double dropout = 0;  ///< between the convolutions of a block
  Index classes = 100;
};

/// 36,536,884 parameters at depth 28 and width 10 with 100 classes, 2,772,020 at 16 and 4. Throws std::invalid_argument
/// for a depth that is not 6 n + 4.
class WideResNet : public Module {
 public:
  explicit WideResNet(const WideResNetOptions& options = {}, Here here = {});
  [[nodiscard]] Tensor operator()(Tensor x, Here here = {}) const;  ///< x [N, 32, 32, 3] -> [N, classes]

 private:
  Conv2d conv1_;
  std::vector<WideStage> stages_;
  BatchNorm2d bn1_;
  Linear fc_;
};

}  // namespace tapestry::nn::models
