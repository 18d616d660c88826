#pragma once

#include <tapestry/nn/sequential.h>
#include <tapestry/nn/train/namespace.h>

namespace tapestry::nn::train {

/// The floating-point operations of a forward pass of one image of this shape, [H, W, C]: 2 for every product that
/// convolutions, linear layers and matrix products add up; what elementwise ops, norms and pooling do counts nothing,
/// as in published tables. A step of training takes three times as many, for the gradients of inputs and of weights are
/// two more products of the same size. Runs a copy of the model once. Throws what the model throws for such an image.
[[nodiscard]] double count_flops(const nn::AnyModule& model, const Shape& image = {32, 32, 3}, Here here = {});

}  // namespace tapestry::nn::train
