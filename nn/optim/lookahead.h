#pragma once

#include <tapestry/nn/optim/optimizer.h>

namespace tapestry::nn::optim {

struct LookaheadOptions {
  Index k = 5;         ///< steps of the inner optimizer between two of the slow weights
  double alpha = 0.5;  ///< how far the slow weights go then, in [0, 1]
};

/// k steps forward, one step back (Zhang et al., 2019): around another optimizer, which takes every step. After each k
/// of them
///
///     slow += alpha (p - slow)        p = slow
///
/// where slow begins as p before the first step with a gradient, from which a parameter's steps are counted. Rates and
/// momenta are the inner optimizer's: a schedule may be made of either. Keeps slow beside what the inner one keeps;
/// state() holds both, so that a checkpoint of this one is enough. The inner optimizer must outlive this one, and is
/// given no group later on: step() throws std::logic_error then. Throws std::invalid_argument for k below 1 and alpha
/// outside [0, 1].
class Lookahead final : public Optimizer {
 public:
  explicit Lookahead(Optimizer& inner, const LookaheadOptions& options = {}, Here here = {});

  void step(Here here = {}) override;
  [[nodiscard]] double lr(std::size_t group = 0) const override { return inner_.lr(group); }
  [[nodiscard]] double momentum(std::size_t group = 0) const override { return inner_.momentum(group); }
  void set_momentum(double momentum, std::size_t group = 0, Here here = {}) override;
  [[nodiscard]] std::vector<std::pair<std::string, std::string>> settings(std::size_t group = 0) const override;

  [[nodiscard]] double alpha() const noexcept { return options_.alpha; }
  /// Throws std::invalid_argument for a value outside [0, 1].
  void set_alpha(double alpha, Here here = {});

  [[nodiscard]] std::map<std::string, Tensor> state(Here here = {}) const override;
  void load_state(const std::map<std::string, Tensor>& state, Here here = {}) override;
  [[nodiscard]] std::string state_differences(const std::map<std::string, Tensor>& state) const override;

 private:
  void assign_lr(double lr, std::size_t group) override { inner_.set_lr(lr, group); }
  [[nodiscard]] std::vector<std::string> slot_names(std::size_t) const override { return {"slow"}; }

  Optimizer& inner_;
  LookaheadOptions options_;
};

}  // namespace tapestry::nn::optim
