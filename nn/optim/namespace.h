#pragma once

/// Optimizers and schedules live in tapestry::nn::optim, as their folder says. Programs write optim::SGD, as in
/// PyTorch.
namespace tapestry {
namespace nn::optim {}
namespace optim = nn::optim;
}  // namespace tapestry
