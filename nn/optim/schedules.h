#pragma once

#include <utility>
#include <vector>

#include <tapestry/autograd/base/callable.h>
#include <tapestry/nn/optim/optimizer.h>

/// Learning rates over time. A schedule sets the rates of all groups when it is made and after every step():
///
///     optim::CosineAnnealingLR schedule(sgd, {.T_max = epochs});
///     for (...) { train one epoch; schedule.step(); }
///
/// Each is a closed form in t, the number of step() calls, and l, the rate its group was given at first; nothing adds
/// up rounding errors. Whether a step is an epoch or a batch is the caller's choice. Names and defaults are PyTorch's.
/// All throw std::invalid_argument for options that make no sense. The optimizer must outlive the schedule.
namespace tapestry::nn::optim {

/// What schedules share. Copies have positions of their own on the same optimizer.
class Schedule {
 public:
  virtual ~Schedule() = default;
  Schedule(const Schedule&) = default;
  Schedule& operator=(const Schedule&) = default;

  /// One step on; sets the rates.
  void step(Here here = {}) { set_t(t_ + 1, here); }
  [[nodiscard]] Index t() const noexcept { return t_; }
  /// Goes to any position, as after loading a checkpoint. Throws std::invalid_argument for a negative one.
  void set_t(Index t, Here here = {});

  /// The rate at t for a group that was given l.
  [[nodiscard]] double lr_at(Index t, double l) const { return curve_(t, l); }

 protected:
  using Curve = Callable<double(Index t, double l)>;
  Schedule(Optimizer& optimizer, Curve curve, Here here = {});

  [[nodiscard]] Optimizer& optimizer() const noexcept { return *optimizer_; }
  virtual void apply();

 private:
  Optimizer* optimizer_;
  Curve curve_;
  Index t_ = 0;
};

/// l f(t).
class LambdaLR : public Schedule {
 public:
  LambdaLR(Optimizer& optimizer, Callable<double(Index t)> f, Here here = {});
};

struct StepLROptions {
  Index step_size = 1;
  double gamma = 0.1;
};
/// l gamma^floor(t / step_size).
class StepLR : public Schedule {
 public:
  StepLR(Optimizer& optimizer, const StepLROptions& options, Here here = {});
};

struct MultiStepLROptions {
  std::vector<Index> milestones = {};  ///< one that is named twice counts twice
  double gamma = 0.1;
};
/// l gamma^(number of milestones <= t).
class MultiStepLR : public Schedule {
 public:
  MultiStepLR(Optimizer& optimizer, const MultiStepLROptions& options, Here here = {});
};

struct ExponentialLROptions {
  double gamma = 1;
};
/// l gamma^t.
class ExponentialLR : public Schedule {
 public:
  ExponentialLR(Optimizer& optimizer, const ExponentialLROptions& options, Here here = {});
};

struct LinearLROptions {
  double start_factor = 1.0 / 3;
  double end_factor = 1;
  Index total_iters = 5;
};
/// l (start + (end - start) min(t, total) / total): a warm-up.
class LinearLR : public Schedule {
 public:
  explicit LinearLR(Optimizer& optimizer, const LinearLROptions& options = {}, Here here = {});
};

struct ConstantLROptions {
  double factor = 1.0 / 3;
  Index total_iters = 5;
};
/// l factor while t < total, then l.
class ConstantLR : public Schedule {
 public:
  explicit ConstantLR(Optimizer& optimizer, const ConstantLROptions& options = {}, Here here = {});
};

struct PolynomialLROptions {
  Index total_iters = 5;
  double power = 1;
};
/// l (1 - min(t, total) / total)^power.
class PolynomialLR : public Schedule {
 public:
  explicit PolynomialLR(Optimizer& optimizer, const PolynomialLROptions& options = {}, Here here = {});
};

struct CosineAnnealingLROptions {
  Index T_max = 1;
  double eta_min = 0;
};
/// eta_min + (l - eta_min) (1 + cos(pi t / T_max)) / 2; rises again after T_max.
class CosineAnnealingLR : public Schedule {
 public:
  CosineAnnealingLR(Optimizer& optimizer, const CosineAnnealingLROptions& options, Here here = {});
};

struct CosineAnnealingWarmRestartsOptions {
  Index T_0 = 1;     ///< length of the first period
  Index T_mult = 1;  ///< each further one is so many times longer
  double eta_min = 0;
};
/// The falling half of the cosine, again and again (Loshchilov and Hutter, 2017).
class CosineAnnealingWarmRestarts : public Schedule {
 public:
  CosineAnnealingWarmRestarts(Optimizer& optimizer, const CosineAnnealingWarmRestartsOptions& options, Here here = {});
};

struct WarmupCosineLROptions {
  Index warmup = 0;  ///< steps from start_factor l up to l
  Index total = 1;   ///< steps in all; the rate stays at eta_min from then on
  double start_factor = 0;
  double eta_min = 0;
};
/// LinearLR, then the falling half of a cosine over total - warmup steps.
class WarmupCosineLR : public Schedule {
 public:
  WarmupCosineLR(Optimizer& optimizer, const WarmupCosineLROptions& options, Here here = {});
};

/// l times the straight lines between points {t, factor}; constant before the first and after the last. Points are in
/// order of t.
class PiecewiseLinearLR : public Schedule {
 public:
  PiecewiseLinearLR(Optimizer& optimizer, std::vector<std::pair<Index, double>> points, Here here = {});
};

/// One schedule after another: the next takes over at each milestone and begins with its own t = 0. There is one
/// milestone less than there are schedules. Works with any schedule here whose rate is all it sets:
/// `SequentialLR(sgd, {LinearLR(sgd), CosineAnnealingLR(sgd, {.T_max = 95})}, {5})`.
class SequentialLR : public Schedule {
 public:
  SequentialLR(Optimizer& optimizer, std::vector<Schedule> schedules, std::vector<Index> milestones, Here here = {});
};

enum class Anneal { cos, linear };

struct OneCycleLROptions {
  double max_lr = 0;  ///< of all groups, whatever they were given
  Index total_steps = 0;
  double pct_start = 0.3;  ///< part of the steps that the rate rises
  Anneal anneal_strategy = Anneal::cos;
  bool cycle_momentum = true;  ///< momentum, or the first beta, moves against the rate
  double base_momentum = 0.85;
  double max_momentum = 0.95;
  double div_factor = 25;         ///< initial rate max_lr / div_factor
  double final_div_factor = 1e4;  ///< last rate: the initial one divided by this
  bool three_phase = false;       ///< up, down the same way, then down to the last rate
};
/// One rise and one fall (Smith and Topin, 2018). The position total_steps keeps the last value; going beyond throws
/// std::logic_error.
class OneCycleLR : public Schedule {
 public:
  OneCycleLR(Optimizer& optimizer, const OneCycleLROptions& options, Here here = {});

 protected:
  void apply() override;

 private:
  OneCycleLROptions options_;
};

}  // namespace tapestry::nn::optim
