#pragma once

/// What a training loop is made of lives in tapestry::nn::train, as its folder says. Programs write train::Metrics.
namespace tapestry {
namespace nn::train {}
namespace train = nn::train;
}  // namespace tapestry
