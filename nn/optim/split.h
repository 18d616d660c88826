#pragma once

#include <vector>

#include <tapestry/autograd/base/callable.h>
#include <tapestry/nn/module.h>
#include <tapestry/nn/optim/namespace.h>

namespace tapestry::nn::optim {

/// Parameters in two lists.
struct SplitParameters {
  std::vector<NamedTensor> chosen;  ///< for which the predicate holds
  std::vector<NamedTensor> others;  ///< the rest
};

/// Parameters for two groups, or two optimizers, in their order and under their names:
///
///     const auto [weights, others] = optim::split_parameters(model.named_parameters(), optim::is_weight);
///     optim::SGD sgd({{weights, {.lr = 0.1, .weight_decay = 5e-4}}, {others, {.lr = 0.1}}});
///
/// An optimizer refuses an empty list, so that a choice that meets nothing, or everything, is noticed.
[[nodiscard]] SplitParameters split_parameters(const std::vector<NamedTensor>& parameters,
                                               const Callable<bool(const NamedTensor&)>& is_chosen);

/// Two or more dimensions: the weights of linear layers and convolutions, which decay; biases and the scales of
/// normalisation have one. Throws std::logic_error for an undefined tensor.
[[nodiscard]] bool is_weight(const NamedTensor& parameter);

}  // namespace tapestry::nn::optim
