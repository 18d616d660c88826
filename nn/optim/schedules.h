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
  [[nodiscard]] double lr_at(Index t, double l, std::size_t group = 0) const { return curve_(t, l, group); }

 protected:
  using Curve = Callable<double(Index t, double l)>;
  /// The rate at t of a group that was given l.
  using CurveOfGroup = Callable<double(Index t, double l, std::size_t group)>;
  Schedule(Optimizer& optimizer, Curve curve, Here here = {});
  Schedule(Optimizer& optimizer, CurveOfGroup curve, Here here = {});

  [[nodiscard]] Optimizer& optimizer() const noexcept { return *optimizer_; }
  virtual void apply();

 private:
  Optimizer* optimizer_;
  CurveOfGroup curve_;
  Index t_ = 0;
};

/// l f(t); with a list, each group has the f at its place: there must be as many.
class LambdaLR : public Schedule {
 public:
  LambdaLR(Optimizer& optimizer, Callable<double(Index t)> f, Here here = {});
  LambdaLR(Optimizer& optimizer, std::vector<Callable<double(Index t)>> of_groups, Here here = {});
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

/// Schedules at once: each takes the rate that those before it give for the rate that the group was given, so that
/// factors multiply. Works with the schedules that SequentialLR works with, one at least:
/// `ChainedScheduler(sgd, {ConstantLR(sgd, {.factor = 0.1, .total_iters = 2}), ExponentialLR(sgd, {.gamma = 0.9})})`.
class ChainedScheduler : public Schedule {
 public:
  ChainedScheduler(Optimizer& optimizer, std::vector<Schedule> schedules, Here here = {});
};

/// A schedule of its own for each group, as many as there are groups: `GroupLR(sgd, {StepLR(sgd, {.step_size = 30}),
/// LinearLR(sgd)})`. Works with the schedules that SequentialLR works with.
class GroupLR : public Schedule {
 public:
  GroupLR(Optimizer& optimizer, std::vector<Schedule> of_groups, Here here = {});
};

enum class Anneal { cos, linear };

struct SWALROptions {
  double swa_lr = 0;         ///< where the rates of all groups arrive
  Index anneal_epochs = 10;  ///< steps until it is reached
  Anneal anneal_strategy = Anneal::cos;
};
/// From l to swa_lr in anneal_epochs steps, and swa_lr from then on: for stochastic weight averaging, behind another
/// schedule in a SequentialLR.
class SWALR : public Schedule {
 public:
  SWALR(Optimizer& optimizer, const SWALROptions& options, Here here = {});
};

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

/// Whether smaller or larger metrics are better.
enum class PlateauMode { min, max };
/// Whether a threshold is a part of the best metric or a difference from it.
enum class ThresholdMode { rel, abs };

struct ReduceLROnPlateauOptions {
  PlateauMode mode = PlateauMode::min;  ///< whether small or large metrics are good
  double factor = 0.1;
  Index patience = 10;                                ///< so many bad metrics in a row are put up with
  double threshold = 1e-4;                            ///< by which a metric must beat the best one
  ThresholdMode threshold_mode = ThresholdMode::rel;  ///< a part of the best one, or an amount
  Index cooldown = 0;                                 ///< metrics after a reduction that do not count as bad
  double min_lr = 0;                                  ///< no rate goes below
  double eps = 1e-8;                                  ///< a smaller change of the rate is left
};

/// Multiplies the rates of all groups by factor when a metric has ceased to improve. step(metric) does, in this order:
///
///     better than best      best = metric, bad = 0; else bad += 1
///     cooling down          one metric less to go, bad = 0
///     bad > patience        lr = max(lr factor, min_lr) where that changes it by more than eps; the cooldown begins,
///                           bad = 0
///
/// Better: a < best (1 - threshold) or a < best - threshold, mirrored for PlateauMode::max. The first number is better
/// than none; NaN is never better. It is no closed form, so no Schedule: it changes the rates that are there, and its
/// memory goes into a checkpoint as numbers:
///
///     checkpoint.add("plateau_best", plateau.memory().best).add("plateau_bad", plateau.memory().num_bad_epochs) ...
///
/// Throws std::invalid_argument for a factor outside [0, 1) or a negative option. The optimizer must outlive it.
class ReduceLROnPlateau {
 public:
  explicit ReduceLROnPlateau(Optimizer& optimizer, const ReduceLROnPlateauOptions& options = {}, Here here = {});

  void step(double metric, Here here = {});

  /// What is remembered from one metric to the next.
  struct Memory {
    double best = 0;             ///< infinite before the first number
    Index num_bad_epochs = 0;    ///< metrics since the best one
    Index cooldown_counter = 0;  ///< metrics that do not count yet
    friend bool operator==(const Memory&, const Memory&) = default;
  };
  /// What is remembered, to be kept in a checkpoint.
  [[nodiscard]] const Memory& memory() const noexcept { return memory_; }
  /// The same, to be restored.
  [[nodiscard]] Memory& memory() noexcept { return memory_; }

 private:
  [[nodiscard]] bool is_better(double metric) const;

  Optimizer* optimizer_;
  ReduceLROnPlateauOptions options_;
  Memory memory_;
};

}  // namespace tapestry::nn::optim
