#pragma once

#include <array>

#include <tapestry/nn/conv.h>
#include <tapestry/nn/linear.h>
#include <tapestry/nn/norm.h>
#include <tapestry/nn/sequential.h>

/// Networks whose recipes reach their accuracy with the least compute that is published. Their first convolution, 24
/// filters of 2x2, is not learnt: whiten() sets it to what makes the patches of the training images uncorrelated; until
/// then it is what a Conv2d begins with.
namespace tapestry::nn::models {

/// y = silu(norm1(POOL(conv1(x)))); y + silu(norm3(conv3(silu(norm2(conv2(y)))))). x [N, H, W, in] -> [N, H/2, W/2,
/// out]. Convolutions keep the size and have no bias.
class FastGroup : public Module {
 public:
  struct Options {
    Index in, out, middle;                    ///< channels; `middle` between conv2 and conv3
    Index kernel, first_kernel, last_kernel;  ///< of conv1, conv2 and conv3
  };
  explicit FastGroup(const Options& options);
  [[nodiscard]] Tensor operator()(Tensor x, Here here = {}) const;

 private:
  Conv2d conv1_;
  BatchNorm2d norm1_;
  Conv2d conv2_;
  BatchNorm2d norm2_;
  Conv2d conv3_;
  BatchNorm2d norm3_;
};

struct FastNetOptions {
  std::array<Index, 3> widths = {64, 256, 768};   ///< channels of the groups
  std::array<Index, 3> middles = {64, 192, 512};  ///< and within their residual parts
  Index classes = 100;
};

/// The network of the NAVIER recipe: the whitening stem, SiLU, three groups with kernels (3; 1, 1), (3; 3, 1) and
/// (2; 3, 3), then the sum of the largest and the mean of all pixels and a linear layer without bias, times 1.25 / 9.
/// Images of any size from 16 pixels on: x [N, H, W, 3] -> [N, classes]. 8,608,312 parameters with 100 classes.
/// Convolutions begin as PyTorch's, but for the first filters, one per input channel at most, which pass a channel on
/// (init::dirac).
class FastNet : public Module {
 public:
  explicit FastNet(const FastNetOptions& options = {});
  [[nodiscard]] Tensor operator()(Tensor x, Here here = {}) const;

  /// Sets the stem's filters by init::whitening of these images [N, H, W, 3], normalised as those to come.
  void whiten(const Tensor& images, Here here = {});

 private:
  Conv2d stem_;
  FastGroup group1_, group2_, group3_;
  Linear head_;
};

/// The network of the airbench94 recipe (Jordan, 2024) for images of 32 x 32 pixels: the whitening stem, GELU, three
/// groups of two 3x3 convolutions of 64, 256 and 256 channels, the first of which is pooled, each with batch
/// normalisation whose scale stays 1 and GELU, then max-pooling of 3x3 and a linear layer without bias, divided by its
/// 256 inputs. 1,995,832 parameters with 100 classes. Keys stem.weight, group1.conv1.weight, ..., head.weight.
class Airbench94 : public Module {
 public:
  explicit Airbench94(Index classes);
  [[nodiscard]] Tensor operator()(Tensor x, Here here = {}) const;  ///< x [N, 32, 32, 3] -> [N, classes]

  /// As FastNet::whiten().
  void whiten(const Tensor& images, Here here = {});

 private:
  Conv2d stem_;
  AnyModule group1_, group2_, group3_;
  Linear head_;
};

}  // namespace tapestry::nn::models
