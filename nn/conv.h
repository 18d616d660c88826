#pragma once

#include <tapestry/nn/module.h>
#include <tapestry/ops/conv2d.h>
#include <tapestry/ops/conv_transpose2d.h>

namespace tapestry::nn {

/// conv2d with a weight and a bias: x [N, H, W, in] -> [N, Ho, Wo, out].
///
///   weight  [out, R, S, in / groups]
///   bias    [out]
///
/// Both begin uniform in +-1 / sqrt(R S in / groups). Throws std::invalid_argument for extents below 1 and for groups
/// that do not divide both channel counts.
class Conv2d : public Module {
 public:
  struct Options {
    Pair2 kernel = 1;
    Pair2 stride = 1;
    Padding2 padding = 0;  ///< zeros on each side: a number, {h, w} or Padding::same
    Pair2 dilation = 1;
    Index groups = 1;
    bool bias = true;
  };

  Conv2d(Index in, Index out, Here here = {}) : Conv2d(in, out, Options{}, here) {}
  Conv2d(Index in, Index out, const Options& options, Here here = {});
  [[nodiscard]] Tensor operator()(const Tensor& x, Here here = {}) const;

  [[nodiscard]] const Tensor& weight() const noexcept { return weight_; }
  [[nodiscard]] const Tensor& bias() const noexcept { return bias_; }  ///< undefined without .bias

 private:
  Conv2dOptions options_;
  Tensor weight_;
  Tensor bias_;
};

/// conv_transpose2d with a weight and a bias: x [N, H, W, in] -> [N, Ho, Wo, out].
///
///   weight  [in, R, S, out / groups]
///   bias    [out]
///
/// Both begin uniform in +-1 / sqrt(R S out / groups), as PyTorch's do. Throws std::invalid_argument for extents below
/// 1 and for groups that do not divide both channel counts.
class ConvTranspose2d : public Module {
 public:
  struct Options {
    Pair2 kernel = 1;
    Pair2 stride = 1;
    Pair2 padding = 0;         ///< rows and columns cut off on each side
    Pair2 output_padding = 0;  ///< rows and columns more at the bottom and the right
    Pair2 dilation = 1;
    Index groups = 1;
    bool bias = true;
  };

  ConvTranspose2d(Index in, Index out, Here here = {}) : ConvTranspose2d(in, out, Options{}, here) {}
  ConvTranspose2d(Index in, Index out, const Options& options, Here here = {});
  [[nodiscard]] Tensor operator()(const Tensor& x, Here here = {}) const;

  [[nodiscard]] const Tensor& weight() const noexcept { return weight_; }
  [[nodiscard]] const Tensor& bias() const noexcept { return bias_; }  ///< undefined without .bias

 private:
  ConvTranspose2dOptions options_;
  Tensor weight_;
  Tensor bias_;
};

}  // namespace tapestry::nn
