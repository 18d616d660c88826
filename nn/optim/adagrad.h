#pragma once

#include <tapestry/nn/optim/optimizer.h>

namespace tapestry::nn::optim {

struct AdagradOptions {
  double lr = 1e-2;
  double lr_decay = 0;                   ///< lr / (1 + (t - 1) lr_decay) is the rate of step t
  double weight_decay = 0;               ///< joins the gradient
  double initial_accumulator_value = 0;  ///< what the sum of squares begins with
  double eps = 1e-10;
  bool maximize = false;
};

/// Adagrad (Duchi, Hazan and Singer, 2011), t counting the parameter's steps from 1:
///
///     g += weight_decay p        s += g^2        p -= lr / (1 + (t - 1) lr_decay) g / (sqrt(s) + eps)
///
/// Keeps s. It has no momentum: set_momentum() takes 0 alone. Throws std::invalid_argument for a negative option, and
/// for parameters as Optimizer says.
class Adagrad final : public Optimizer {
 public:
  Adagrad(const Parameters& parameters, const AdagradOptions& options = {}, Here here = {});
  explicit Adagrad(const std::vector<Group<AdagradOptions>>& groups, Here here = {});
  void add_group(const Parameters& parameters, const AdagradOptions& options, Here here = {});

  void step(Here here = {}) override;
  [[nodiscard]] double lr(std::size_t group = 0) const override { return options_.at(group).lr; }
  [[nodiscard]] double momentum(std::size_t = 0) const override { return 0; }
  void set_momentum(double momentum, std::size_t group = 0, Here here = {}) override;
  [[nodiscard]] std::vector<std::pair<std::string, std::string>> settings(std::size_t group = 0) const override;

 private:
  void assign_lr(double lr, std::size_t group) override { options_.at(group).lr = lr; }
  [[nodiscard]] std::vector<std::string> slot_names(std::size_t) const override { return {"sum"}; }

  std::vector<AdagradOptions> options_;
};

}  // namespace tapestry::nn::optim
