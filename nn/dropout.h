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

/// dropout2d, which drops whole channels of single images, x [N, H, W, C]; otherwise as Dropout.
class Dropout2d : public Module {
 public:
  explicit Dropout2d(double p = 0.5, Here here = {});
  [[nodiscard]] Tensor operator()(const Tensor& x, Here here = {}) const;

 private:
  double p_;
};

/// drop_path, which drops whole samples, x [N, ...]: at the end of a residual branch, stochastic depth. Otherwise as
/// Dropout.
class DropPath : public Module {
 public:
  explicit DropPath(double p = 0.5, Here here = {});
  [[nodiscard]] Tensor operator()(const Tensor& x, Here here = {}) const;

 private:
  double p_;
};

}  // namespace tapestry::nn
