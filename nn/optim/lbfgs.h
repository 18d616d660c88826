#pragma once

#include <optional>

#include <tapestry/autograd/base/callable.h>
#include <tapestry/nn/optim/optimizer.h>

namespace tapestry::nn::optim {

/// How far LBFGS goes along a direction.
enum class LineSearch {
  none,         ///< as far as the rate says
  strong_wolfe  ///< to where the loss has fallen enough and its slope has flattened (Wolfe's strong conditions)
};

struct LBFGSOptions {
  double lr = 1;                       ///< first length that is tried along a direction
  Index max_iter = 20;                 ///< directions in a step
  std::optional<Index> max_eval = {};  ///< calls of the closure after which a step ends; nullopt: max_iter 5 / 4
  double tolerance_grad = 1e-7;        ///< a step ends when no element of the gradient is larger
  double tolerance_change = 1e-9;      ///< and when neither loss nor parameters change by more
  Index history_size = 100;            ///< pairs of changes that the curvature is told from: so many times the
                                       ///< parameters' memory, twice
  LineSearch line_search_fn = LineSearch::none;  ///< how far a step goes
};

/// The quasi-Newton method of limited memory (Liu and Nocedal, 1989), for small and smooth problems on whole data:
///
///     optim::LBFGS lbfgs(model.parameters(), {.line_search_fn = optim::LineSearch::strong_wolfe});
///     for (int i = 0; i < 10; ++i) {
///       lbfgs.step([&] {
///         lbfgs.zero_grad();
///         const Tensor loss = mse_loss(model(x), y);
///         loss.backward();
///         return loss;
///       });
///     }
///
/// A step goes along up to max_iter directions d = -H g, H being the inverse curvature that the last changes of
/// parameters and gradients tell. The first direction is -g, and its first length min(1, 1 / |g|_1) lr. One group, of
/// one dtype; a parameter without a gradient counts as one with zeros. Inner products are formed in f64.
///
/// Keeps the last direction and gradient and 2 history_size vectors, each of the size of all parameters together, in
/// state() under the name of the first parameter. Throws std::invalid_argument for a negative lr or tolerance, extents
/// below 1, parameters of different dtypes, a second group, and for parameters as Optimizer says.
class LBFGS final : public Optimizer {
 public:
  LBFGS(const Parameters& parameters, const LBFGSOptions& options = {}, Here here = {});

  /// What returns the loss after it has cleared the gradients and called backward().
  using Closure = Callable<Tensor()>;

  /// One step; returns what the closure returned first. The closure is called with recording on. Throws
  /// std::runtime_error for a loss or a gradient that is not finite (the line search only steps back from one that it
  /// meets on its way), std::invalid_argument for a loss that is not one number, and what the closure throws:
  /// parameters and memory are as they were then.
  Tensor step(const Closure& closure, Here here = {});
  /// Throws std::logic_error: there is no step without a closure.
  void step(Here here = {}) override;

  [[nodiscard]] double lr(std::size_t = 0) const override { return options_.lr; }
  [[nodiscard]] double momentum(std::size_t = 0) const override { return 0; }
  void set_momentum(double momentum, std::size_t group = 0, Here here = {}) override;  ///< takes 0 alone
  [[nodiscard]] std::vector<std::pair<std::string, std::string>> settings(std::size_t group = 0) const override;

  [[nodiscard]] std::map<std::string, Tensor> state(Here here = {}) const override;
  void load_state(const std::map<std::string, Tensor>& state, Here here = {}) override;
  [[nodiscard]] std::string state_differences(const std::map<std::string, Tensor>& state) const override;

 private:
  struct Memory {
    Index iterations = 0, evaluations = 0;
    double length = 0;    ///< of the last direction
    double diagonal = 1;  ///< of the inverse curvature that the pairs are applied to
    Tensor direction, gradient;
    std::vector<Tensor> gradient_changes, steps;
    std::vector<double> inverse_products;  ///< 1 / (change of gradient . step)
  };
  struct Point;
  class Run;

  void assign_lr(double lr, std::size_t) override { options_.lr = lr; }
  [[nodiscard]] std::vector<std::string> slot_names(std::size_t) const override { return {}; }
  [[nodiscard]] Index size() const;
  [[nodiscard]] Index most_evaluations() const;
  [[nodiscard]] Dtype dtype() const;
  [[nodiscard]] Memory memory_from(const std::map<std::string, Tensor>& state, std::string& problems) const;

  LBFGSOptions options_;
  Memory memory_;
};

}  // namespace tapestry::nn::optim
