#pragma once

#include <vector>

#include <tapestry/autograd/tensor.h>
#include <tapestry/nn/optim/namespace.h>

namespace tapestry::nn::optim {

struct ClipGradNormOptions {
  bool error_if_nonfinite = true;  ///< else gradients are multiplied by whatever comes out
};

/// Multiplies all gradients by min(1, max_norm / (norm + 1e-6)), norm being the Euclidean length of all of them
/// together, which is returned. Parameters without a gradient count nothing. The sum is formed in f64, in an order that
/// does not depend on threads. Throws std::invalid_argument for a negative max_norm and std::runtime_error for a norm
/// that is not finite; nothing has changed then.
double clip_grad_norm(const std::vector<Tensor>& parameters, double max_norm, const ClipGradNormOptions& options = {},
                      Here here = {});

/// Puts every element of all gradients into [-limit, limit]; NaN stays. Throws std::invalid_argument for a negative
/// limit.
void clip_grad_value(const std::vector<Tensor>& parameters, double limit, Here here = {});

}  // namespace tapestry::nn::optim
