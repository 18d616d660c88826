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

struct ClipGradAdaptiveOptions {
  double clip_factor = 0.01;  ///< how long a gradient may be beside its parameter
  double eps = 1e-3;  ///< the least length that a parameter counts with, so that zeros can become something else
};

/// Adaptive gradient clipping (Brock et al., 2021): no gradient may be long beside what it changes. Each unit of a
/// parameter, all that lies at one index of its first dimension (a filter, a row of a linear layer's weight; a vector
/// is one unit), is taken by itself:
///
///     g *= min(1, clip_factor max(|p|, eps) / |g|)
///
/// Lengths are formed in f64. Parameters without a gradient are passed over; so should be, by the caller, the last
/// layer. Throws std::invalid_argument for a negative option and std::runtime_error for gradients that are not finite;
/// nothing has changed then.
void clip_grad_adaptive(const std::vector<Tensor>& parameters, const ClipGradAdaptiveOptions& options = {},
                        Here here = {});

}  // namespace tapestry::nn::optim
