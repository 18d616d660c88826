#pragma once

#include <tapestry/nn/module.h>
#include <tapestry/ops/maxout.h>

namespace tapestry::nn {

/// maxout: [..., C] -> [..., C / pieces], behind a layer that learns `pieces` feature maps for each one that is wanted:
///
///     nn::Sequential{nn::Linear{784, 5 * 240}, nn::MaxOut{5}, ...}
///
/// Throws std::invalid_argument for pieces below 1.
class MaxOut : public Module {
 public:
  explicit MaxOut(Index pieces, Here here = {});
  [[nodiscard]] Tensor operator()(const Tensor& x, Here here = {}) const;

 private:
  Index pieces_;
};

}  // namespace tapestry::nn
