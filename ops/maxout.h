#pragma once

#include <tapestry/autograd/tensor.h>

namespace tapestry {

/// The largest of `pieces` feature maps that a layer has learned each with its own parameters (Goodfellow et al.,
/// 2013), an activation function that is learned too: x [..., C] -> y [..., C / pieces], channel c of y being the
/// largest of channels c pieces ... c pieces + pieces - 1 of x. NaN wins. The gradient goes to the largest, to the
/// first of equal ones, alone. f32, f64 or bf16. Differentiable any number of times; keeps which one it was. Throws
/// std::invalid_argument for a scalar, and unless `pieces` divides C.
[[nodiscard]] Tensor maxout(const Tensor& x, Index pieces, Here here = {});

}  // namespace tapestry
