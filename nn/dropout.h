#pragma once

#include <tapestry/nn/module.h>

namespace tapestry::nn {

/// dropout in training mode, x itself in eval mode. Draws from default_generator(). Throws std::invalid_argument for p
/// outside [0, 1].
class Dropout : public Module {
 public:
  explicit Dropout(double p = 0.5, Here here = {});
  [[nodiscard]] Tensor operator()(const Tensor& x, Here here = {}) const;

 private:
  double p_;
};

}  // namespace tapestry::nn
