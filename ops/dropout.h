#pragma once

#include <tapestry/autograd/tensor.h>

/// Ops that drop values at random. x is f32, f64 or bf16, else std::invalid_argument; so is p outside [0, 1]. What is
/// kept is multiplied by 1 / (1 - p), what is dropped is exactly 0, even if it was infinite or NaN. With p = 0 or
/// without training the result is x itself and nothing is drawn. Keeps the mask, one byte per draw. Differentiable any
/// number of times.
namespace tapestry {

class Generator;

struct DropoutOptions {
  double p = 0.5;  ///< chance to be dropped
  bool training = true;
  Generator* generator = nullptr;  ///< null: default_generator()
};

/// Drops single elements (Srivastava et al., 2014).
[[nodiscard]] Tensor dropout(const Tensor& x, const DropoutOptions& options = {}, Here here = {});

/// Drops whole channels of single images (Tompson et al., 2015): x [N, H, W, C], mask [N, 1, 1, C]. Throws
/// std::invalid_argument for another rank.
[[nodiscard]] Tensor dropout2d(const Tensor& x, const DropoutOptions& options = {}, Here here = {});

/// Drops whole samples (stochastic depth; Huang et al., 2016): x [N, ...], one draw per sample. Throws
/// std::invalid_argument for a scalar.
[[nodiscard]] Tensor drop_path(const Tensor& x, const DropoutOptions& options = {}, Here here = {});

}  // namespace tapestry
