#pragma once

#include <array>

#include <tapestry/nn/optim/optimizer.h>

namespace tapestry::nn::optim {

struct AdamOptions {
  double lr = 1e-3;
  std::array<double, 2> betas = {0.9, 0.999};
  double eps = 1e-8;
  double weight_decay = 0;  ///< joins the gradient
  bool amsgrad = false;     ///< the largest second moment so far instead of the latest
  bool maximize = false;
};

struct AdamWOptions {
  double lr = 1e-3;
  std::array<double, 2> betas = {0.9, 0.999};
  double eps = 1e-8;
  double weight_decay = 0.01;  ///< of the parameter itself: p *= 1 - lr weight_decay
  bool amsgrad = false;
  bool maximize = false;
};

/// Adam (Kingma and Ba, 2015), t counting the parameter's steps from 1:
///
///     g += weight_decay p                    (Adam)        p *= 1 - lr weight_decay   (AdamW)
///     m = beta1 m + (1 - beta1) g            v = beta2 v + (1 - beta2) g^2
///     p -= lr / (1 - beta1^t) m / (sqrt(v) / sqrt(1 - beta2^t) + eps)
///
/// Keeps m, v and, for amsgrad, the largest v. Throws std::invalid_argument for a negative lr, eps or weight decay, a
/// beta outside [0, 1), and for parameters as Optimizer says.
class Adam : public Optimizer {
 public:
  Adam(const Parameters& parameters, const AdamOptions& options = {}, Here here = {});
  explicit Adam(const std::vector<Group<AdamOptions>>& groups, Here here = {});
  void add_group(const Parameters& parameters, const AdamOptions& options, Here here = {});

  void step(Here here = {}) override;
  [[nodiscard]] double lr(std::size_t group = 0) const override { return options_.at(group).lr; }
  [[nodiscard]] double momentum(std::size_t group = 0) const override { return options_.at(group).betas[0]; }
  void set_momentum(double beta1, std::size_t group = 0, Here here = {}) override;
  [[nodiscard]] std::vector<std::pair<std::string, std::string>> settings(std::size_t group = 0) const override;

 protected:
  explicit Adam(bool decoupled) : name_(decoupled ? "AdamW" : "Adam"), decoupled_(decoupled) {}

 private:
  void assign_lr(double lr, std::size_t group) override { options_.at(group).lr = lr; }
  [[nodiscard]] std::vector<std::string> slot_names(std::size_t group) const override;

  const char* name_ = "Adam";
  bool decoupled_ = false;
  std::vector<AdamOptions> options_;
};

/// Adam with decoupled weight decay (Loshchilov and Hutter, 2019).
class AdamW final : public Adam {
 public:
  AdamW(const Parameters& parameters, const AdamWOptions& options = {}, Here here = {});
  explicit AdamW(const std::vector<Group<AdamWOptions>>& groups, Here here = {});
  void add_group(const Parameters& parameters, const AdamWOptions& options, Here here = {});
};

}  // namespace tapestry::nn::optim
