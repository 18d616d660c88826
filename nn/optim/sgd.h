#pragma once

#include <limits>

#include <tapestry/nn/optim/optimizer.h>

namespace tapestry::nn::optim {

struct SGDOptions {
  double lr = std::numeric_limits<double>::quiet_NaN();  ///< has to be given
  double momentum = 0;
  double dampening = 0;
  double weight_decay = 0;
  bool nesterov = false;
  bool maximize = false;
};

/// Stochastic gradient descent with PyTorch's form of momentum:
///
///     g += weight_decay p
///     b = g at the first step, then momentum b + (1 - dampening) g
///     p -= lr (nesterov ? g + momentum b : b)
///
/// Keeps b per parameter if there is momentum. Throws std::invalid_argument for a missing or negative lr, a negative
/// momentum or weight decay, nesterov without momentum or with dampening, and for parameters as Optimizer says.
class SGD final : public Optimizer {
 public:
  SGD(const Parameters& parameters, const SGDOptions& options, Here here = {});
  explicit SGD(const std::vector<Group<SGDOptions>>& groups, Here here = {});
  void add_group(const Parameters& parameters, const SGDOptions& options, Here here = {});

  void step(Here here = {}) override;
  [[nodiscard]] double lr(std::size_t group = 0) const override { return options_.at(group).lr; }
  [[nodiscard]] double momentum(std::size_t group = 0) const override { return options_.at(group).momentum; }
  void set_momentum(double momentum, std::size_t group = 0, Here here = {}) override;
  [[nodiscard]] std::vector<std::pair<std::string, std::string>> settings(std::size_t group = 0) const override;

 private:
  void assign_lr(double lr, std::size_t group) override { options_.at(group).lr = lr; }
  [[nodiscard]] std::vector<std::string> slot_names(std::size_t group) const override;

  std::vector<SGDOptions> options_;
};

}  // namespace tapestry::nn::optim
