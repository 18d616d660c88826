#pragma once

#include <tapestry/nn/optim/optimizer.h>

namespace tapestry::nn::optim {

struct RMSpropOptions {
  double lr = 1e-2;
  double alpha = 0.99;  ///< how slowly the average square forgets
  double eps = 1e-8;
  double weight_decay = 0;  ///< joins the gradient
  double momentum = 0;
  bool centered = false;  ///< divide by the deviation, the average gradient's square taken off
  bool maximize = false;
};

/// RMSprop (Tieleman and Hinton, 2012; centered: Graves, 2013):
///
///     g += weight_decay p                       v = alpha v + (1 - alpha) g^2
///     u = g / (sqrt(v) + eps)
///         centered: a = alpha a + (1 - alpha) g, and max(v - a^2, 0) stands for v in u
///     b = momentum b + u,  p -= lr b            p -= lr u without momentum
///
/// Keeps v, and a and b where they are asked for. The maximum with 0 is this library's: a gradient that hardly changes
/// makes v - a^2 negative by rounding, and PyTorch's step NaN. Throws std::invalid_argument for a negative lr, eps,
/// momentum or weight decay, an alpha outside [0, 1), and for parameters as Optimizer says.
class RMSprop final : public Optimizer {
 public:
  RMSprop(const Parameters& parameters, const RMSpropOptions& options = {}, Here here = {});
  explicit RMSprop(const std::vector<Group<RMSpropOptions>>& groups, Here here = {});
  void add_group(const Parameters& parameters, const RMSpropOptions& options, Here here = {});

  void step(Here here = {}) override;
  [[nodiscard]] double lr(std::size_t group = 0) const override { return options_.at(group).lr; }
  [[nodiscard]] double momentum(std::size_t group = 0) const override { return options_.at(group).momentum; }
  void set_momentum(double momentum, std::size_t group = 0, Here here = {}) override;
  [[nodiscard]] std::vector<std::pair<std::string, std::string>> settings(std::size_t group = 0) const override;

 private:
  void assign_lr(double lr, std::size_t group) override { options_.at(group).lr = lr; }
  [[nodiscard]] std::vector<std::string> slot_names(std::size_t group) const override;

  std::vector<RMSpropOptions> options_;
};

}  // namespace tapestry::nn::optim
