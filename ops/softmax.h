#pragma once

#include <tapestry/autograd/tensor.h>

/// x is f32, f64 or bf16, else std::invalid_argument; so is a dim out of range. y has the shape and dtype of x, f32 for
/// bf16. Keeps y.
/// Differentiable any number of times.
namespace tapestry {

struct SoftmaxOptions {
  Index dim = -1;  ///< the dimension that adds up to 1
};

/// y = exp(x) / sum(exp(x)) along one dimension, shifted by the maximum. NaN where all are -inf or one is +inf.
[[nodiscard]] Tensor softmax(const Tensor& x, const SoftmaxOptions& options = {}, Here here = {});

/// y = x - log(sum(exp(x))) along one dimension, shifted by the maximum; never the logarithm of a softmax.
[[nodiscard]] Tensor log_softmax(const Tensor& x, const SoftmaxOptions& options = {}, Here here = {});

}  // namespace tapestry
