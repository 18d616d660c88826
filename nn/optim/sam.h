#pragma once

#include <tapestry/autograd/base/callable.h>
#include <tapestry/nn/optim/optimizer.h>

namespace tapestry::nn::optim {

struct SAMOptions {
  double rho = 0.05;      ///< how far up is looked from the parameters
  bool adaptive = false;  ///< ASAM (Kwon et al., 2021): each parameter moves in proportion to its size
};

/// Sharpness-aware minimisation (Foret et al., 2021) around another optimizer: its step is taken with the gradient at
/// the worst point near by,
///
///     e = rho g / |g|                        adaptive: e = rho p^2 g / |p g|
///     p <- p + e, gradient there, p <- p - e, step of the inner optimizer
///
/// with |.| over all parameters of the inner optimizer that have a gradient. Each step computes the loss twice:
///
///     sam.step([&] { return cross_entropy(model(images), labels); });
///
/// or, where more is done between the two,
///
///     loss().backward();
///     sam.first_step();     // up; the gradients are cleared
///     loss().backward();
///     sam.second_step();    // back, bit for bit, and on with the inner optimizer
///
/// Keeps nothing between steps: checkpoints and schedules are the inner optimizer's, which must outlive this. Batch
/// normalisation moves its running statistics in both computations. Throws std::invalid_argument for a negative rho.
class SAM {
 public:
  explicit SAM(Optimizer& inner, const SAMOptions& options = {}, Here here = {});

  /// Throws std::logic_error when it has been called already, and where no parameter has a gradient;
  /// std::runtime_error for gradients that are not finite, and nothing has changed then.
  void first_step(Here here = {});
  /// Throws std::logic_error unless first_step() came before.
  void second_step(Here here = {});
  /// Both, with gradients of what the closure returns, a loss; returns the first one. What the closure throws finds the
  /// parameters where they were.
  Tensor step(const Callable<Tensor()>& closure, Here here = {});

  /// Parameters back to where they were before first_step(), if they are not.
  void restore(Here here = {});

 private:
  struct Moved {
    Tensor parameter, before;
  };

  Optimizer& inner_;
  SAMOptions options_;
  std::vector<Moved> moved_;
  bool is_up_ = false;
};

}  // namespace tapestry::nn::optim
