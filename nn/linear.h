#pragma once

#include <tapestry/nn/module.h>

namespace tapestry::nn {

/// y = x weight^T + bias: x [..., in] -> [..., out].
///
///   weight  [out, in]
///   bias    [out]
///
/// Both begin uniform in +-1 / sqrt(in). Throws std::invalid_argument for extents below 1, and when in is no multiple
/// of the pixels of .flattened.
class Linear : public Module {
 public:
  struct Options {
    bool bias = true;
    FlattenedImage flattened = {};  ///< x is an image of this size behind a flatten: matters to files only
  };

  Linear(Index in, Index out, Here here = {}) : Linear(in, out, Options{}, here) {}
  Linear(Index in, Index out, const Options& options, Here here = {});
  [[nodiscard]] Tensor operator()(const Tensor& x, Here here = {}) const;

  [[nodiscard]] const Tensor& weight() const noexcept { return weight_; }
  [[nodiscard]] const Tensor& bias() const noexcept { return bias_; }  ///< undefined without .bias

 private:
  Tensor weight_;
  Tensor bias_;
};

}  // namespace tapestry::nn
