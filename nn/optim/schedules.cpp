#include <tapestry/nn/optim/schedules.h>

#include <algorithm>
#include <cmath>
#include <limits>
#include <numbers>

#include <tapestry/autograd/base/check.h>

namespace tapestry::nn::optim {
namespace {

void check_at_least_one(const char* schedule, const char* what, Index value) {
  if (value < 1) throw_invalid("{}: {} must be at least 1; got {}", schedule, what, value);
}

double as_double(Index i) { return static_cast<double>(i); }

/// From `from` to `to` along half a cosine, for part in [0, 1].
double cosine(double from, double to, double part) {
  return to + (from - to) * (1 + std::cos(std::numbers::pi * part)) / 2;
}

double linear_factor(Index t, double start, double end, Index total) {
  return start + (end - start) * as_double(std::min(t, total)) / as_double(total);
}

}  // namespace

Schedule::Schedule(Optimizer& optimizer, Curve curve, Here here)
    : Schedule(optimizer,
               CurveOfGroup([curve = std::move(curve)](Index t, double l, std::size_t) { return curve(t, l); }), here) {
}

Schedule::Schedule(Optimizer& optimizer, CurveOfGroup curve, Here here)
    : optimizer_(&optimizer), curve_(std::move(curve)) {
  const CallSite site(here);
  Schedule::apply();
}

void Schedule::set_t(Index t, Here here) {
  const CallSite site(here);
  if (t < 0) throw_invalid("schedule: t must be at least 0; got {}", t);
  const Index before = std::exchange(t_, t);
  try {
    apply();
  } catch (...) {
    t_ = before;
    throw;
  }
}

void Schedule::apply() {
  std::vector<double> rates;
  for (std::size_t g = 0; g < optimizer_->groups(); ++g) rates.push_back(curve_(t_, optimizer_->initial_lr(g), g));
  for (std::size_t g = 0; g < rates.size(); ++g) optimizer_->set_lr(rates[g], g);
}

LambdaLR::LambdaLR(Optimizer& optimizer, Callable<double(Index)> f, Here here)
    : Schedule(
          optimizer, [f = std::move(f)](Index t, double l) { return l * f(t); }, here) {}

namespace {

/// What a group has of a list with one for each.
template <class T>
std::vector<T> one_per_group(const char* schedule, const Optimizer& optimizer, std::vector<T> of_groups, Here here) {
  const CallSite site(here);
  if (of_groups.size() != optimizer.groups()) {
    throw_invalid("{}: there must be one for each of the optimizer's {} groups; got {}", schedule, optimizer.groups(),
                  of_groups.size());
  }
  return of_groups;
}

}  // namespace

LambdaLR::LambdaLR(Optimizer& optimizer, std::vector<Callable<double(Index)>> of_groups, Here here)
    : Schedule(optimizer,
               CurveOfGroup([fs = one_per_group("LambdaLR", optimizer, std::move(of_groups), here)](
                                Index t, double l, std::size_t group) { return l * fs.at(group)(t); }),
               here) {}

StepLR::StepLR(Optimizer& optimizer, const StepLROptions& options, Here here)
    : Schedule(
          optimizer,
          [options](Index t, double l) {
            check_at_least_one("StepLR", "step_size", options.step_size);
            return l * std::pow(options.gamma, as_double(t / options.step_size));
          },
          here) {}

MultiStepLR::MultiStepLR(Optimizer& optimizer, const MultiStepLROptions& options, Here here)
    : Schedule(
          optimizer,
          [options](Index t, double l) {
            const auto passed =
                std::count_if(options.milestones.begin(), options.milestones.end(), [=](Index m) { return m <= t; });
            return l * std::pow(options.gamma, static_cast<double>(passed));
          },
          here) {}

ExponentialLR::ExponentialLR(Optimizer& optimizer, const ExponentialLROptions& options, Here here)
    : Schedule(
          optimizer, [options](Index t, double l) { return l * std::pow(options.gamma, as_double(t)); }, here) {}

LinearLR::LinearLR(Optimizer& optimizer, const LinearLROptions& options, Here here)
    : Schedule(
          optimizer,
          [options](Index t, double l) {
            check_at_least_one("LinearLR", "total_iters", options.total_iters);
            return l * linear_factor(t, options.start_factor, options.end_factor, options.total_iters);
          },
          here) {}

ConstantLR::ConstantLR(Optimizer& optimizer, const ConstantLROptions& options, Here here)
    : Schedule(
          optimizer, [options](Index t, double l) { return t < options.total_iters ? l * options.factor : l; }, here) {}

PolynomialLR::PolynomialLR(Optimizer& optimizer, const PolynomialLROptions& options, Here here)
    : Schedule(
          optimizer,
          [options](Index t, double l) {
            check_at_least_one("PolynomialLR", "total_iters", options.total_iters);
            const double done = as_double(std::min(t, options.total_iters)) / as_double(options.total_iters);
            return l * std::pow(1 - done, options.power);
          },
          here) {}

CosineAnnealingLR::CosineAnnealingLR(Optimizer& optimizer, const CosineAnnealingLROptions& options, Here here)
    : Schedule(
          optimizer,
          [options](Index t, double l) {
            check_at_least_one("CosineAnnealingLR", "T_max", options.T_max);
            return cosine(l, options.eta_min, as_double(t) / as_double(options.T_max));
          },
          here) {}

CosineAnnealingWarmRestarts::CosineAnnealingWarmRestarts(Optimizer& optimizer,
                                                         const CosineAnnealingWarmRestartsOptions& options, Here here)
    : Schedule(
          optimizer,
          [options](Index t, double l) {
            check_at_least_one("CosineAnnealingWarmRestarts", "T_0", options.T_0);
            check_at_least_one("CosineAnnealingWarmRestarts", "T_mult", options.T_mult);
            Index period = options.T_0;
            if (options.T_mult == 1) t %= period;
            for (; t >= period; period *= options.T_mult) t -= period;
            return cosine(l, options.eta_min, as_double(t) / as_double(period));
          },
          here) {}

WarmupCosineLR::WarmupCosineLR(Optimizer& optimizer, const WarmupCosineLROptions& options, Here here)
    : Schedule(
          optimizer,
          [options](Index t, double l) {
            if (options.warmup < 0 || options.warmup >= options.total) {
              throw_invalid("WarmupCosineLR: warmup must be in [0, total); got warmup {}, total {}", options.warmup,
                            options.total);
            }
            if (t < options.warmup) return l * linear_factor(t, options.start_factor, 1, options.warmup);
            const double part = as_double(t - options.warmup) / as_double(options.total - options.warmup);
            return cosine(l, options.eta_min, std::min(part, 1.0));
          },
          here) {}

PiecewiseLinearLR::PiecewiseLinearLR(Optimizer& optimizer, std::vector<std::pair<Index, double>> points, Here here)
    : Schedule(
          optimizer,
          [points = std::move(points)](Index t, double l) {
            const auto by_time = [](const auto& a, const auto& b) { return a.first < b.first; };
            if (points.empty()) throw_invalid("PiecewiseLinearLR: there must be at least one point; got none");
            if (!std::is_sorted(points.begin(), points.end(), by_time)) {
              throw_invalid("PiecewiseLinearLR: points must be in order of t");
            }
            const auto next = std::upper_bound(points.begin(), points.end(), std::pair(t, 0.0), by_time);
            if (next == points.begin()) return l * points.front().second;
            if (next == points.end()) return l * points.back().second;
            const auto [t0, f0] = *(next - 1);
            const auto [t1, f1] = *next;
            return l * (f0 + (f1 - f0) * as_double(t - t0) / as_double(t1 - t0));
          },
          here) {}

SequentialLR::SequentialLR(Optimizer& optimizer, std::vector<Schedule> schedules, std::vector<Index> milestones,
                           Here here)
    : Schedule(
          optimizer,
          CurveOfGroup([schedules = std::move(schedules), milestones = std::move(milestones)](Index t, double l,
                                                                                              std::size_t group) {
            if (schedules.size() != milestones.size() + 1 || !std::is_sorted(milestones.begin(), milestones.end())) {
              throw_invalid("SequentialLR: there must be one milestone less than schedules, in order; got {} and {}",
                            milestones.size(), schedules.size());
            }
            const auto passed = std::upper_bound(milestones.begin(), milestones.end(), t) - milestones.begin();
            const Index begin = passed == 0 ? 0 : milestones[static_cast<std::size_t>(passed - 1)];
            return schedules[static_cast<std::size_t>(passed)].lr_at(t - begin, l, group);
          }),
          here) {}

ChainedScheduler::ChainedScheduler(Optimizer& optimizer, std::vector<Schedule> schedules, Here here)
    : Schedule(optimizer, CurveOfGroup([schedules = std::move(schedules)](Index t, double l, std::size_t group) {
                 if (schedules.empty())
                   throw_invalid("ChainedScheduler: there must be at least one schedule; got none");
                 for (const Schedule& schedule : schedules) l = schedule.lr_at(t, l, group);
                 return l;
               }),
               here) {}

GroupLR::GroupLR(Optimizer& optimizer, std::vector<Schedule> of_groups, Here here)
    : Schedule(
          optimizer,
          CurveOfGroup([of_groups = one_per_group("GroupLR", optimizer, std::move(of_groups), here)](
                           Index t, double l, std::size_t group) { return of_groups.at(group).lr_at(t, l, group); }),
          here) {}

SWALR::SWALR(Optimizer& optimizer, const SWALROptions& options, Here here)
    : Schedule(
          optimizer,
          [options](Index t, double l) {
            if (!(options.swa_lr >= 0)) throw_invalid("SWALR: swa_lr must be at least 0; got {}", options.swa_lr);
            check_at_least_one("SWALR", "anneal_epochs", options.anneal_epochs);
            const double part = as_double(std::min(t, options.anneal_epochs)) / as_double(options.anneal_epochs);
            if (options.anneal_strategy == Anneal::cos) return cosine(l, options.swa_lr, part);
            return l + (options.swa_lr - l) * part;
          },
          here) {}

// --- one cycle

namespace {

struct Phase {
  double end;  ///< last step of the phase
  double from_lr, to_lr;
  double from_momentum, to_momentum;
};

std::vector<Phase> phases_of(const OneCycleLROptions& o) {
  const double initial = o.max_lr / o.div_factor;
  const double last = initial / o.final_div_factor;
  const double total = as_double(o.total_steps);
  const double top = o.pct_start * total - 1;
  if (o.three_phase) {
    return {{top, initial, o.max_lr, o.max_momentum, o.base_momentum},
            {2 * o.pct_start * total - 2, o.max_lr, initial, o.base_momentum, o.max_momentum},
            {total - 1, initial, last, o.max_momentum, o.max_momentum}};
  }
  return {{top, initial, o.max_lr, o.max_momentum, o.base_momentum},
          {total - 1, o.max_lr, last, o.base_momentum, o.max_momentum}};
}

void check(const OneCycleLROptions& o) {
  if (!(o.max_lr > 0)) throw_invalid("OneCycleLR: max_lr must be above 0; got {}", o.max_lr);
  check_at_least_one("OneCycleLR", "total_steps", o.total_steps);
  if (!(o.pct_start >= 0 && o.pct_start <= 1))
    throw_invalid("OneCycleLR: pct_start must be in [0, 1]; got {}", o.pct_start);
  if (!(o.div_factor > 0 && o.final_div_factor > 0)) {
    throw_invalid("OneCycleLR: div_factor and final_div_factor must be above 0; got {} and {}", o.div_factor,
                  o.final_div_factor);
  }
}

/// {rate, momentum} at t.
std::pair<double, double> one_cycle(const OneCycleLROptions& o, Index t) {
  check(o);
  if (t > o.total_steps) {
    throw_logic("OneCycleLR: there must be at most total_steps = {} steps; this is step {}", o.total_steps, t);
  }
  const double now = as_double(std::min(t, o.total_steps - 1));
  const auto phases = phases_of(o);
  double begin = 0;
  for (const Phase& phase : phases) {
    if (now > phase.end && &phase != &phases.back()) {
      begin = phase.end;
      continue;
    }
    const double length = phase.end - begin;
    const double part = length > 0 ? (now - begin) / length : 1;
    const auto between = [&](double from, double to) {
      return o.anneal_strategy == Anneal::cos ? cosine(from, to, part) : from + (to - from) * part;
    };
    return {between(phase.from_lr, phase.to_lr), between(phase.from_momentum, phase.to_momentum)};
  }
  return {};
}

}  // namespace

OneCycleLR::OneCycleLR(Optimizer& optimizer, const OneCycleLROptions& options, Here here)
    : Schedule(
          optimizer, [options](Index t, double) { return one_cycle(options, t).first; }, here),
      options_(options) {
  const CallSite site(here);
  OneCycleLR::apply();
}

void OneCycleLR::apply() {
  Schedule::apply();
  if (!options_.cycle_momentum) return;
  const double momentum = one_cycle(options_, t()).second;
  for (std::size_t g = 0; g < optimizer().groups(); ++g) optimizer().set_momentum(momentum, g);
}

// --- on a plateau

ReduceLROnPlateau::ReduceLROnPlateau(Optimizer& optimizer, const ReduceLROnPlateauOptions& options, Here here)
    : optimizer_(&optimizer), options_(options) {
  const CallSite site(here);
  if (!(options.factor >= 0 && options.factor < 1)) {
    throw_invalid("ReduceLROnPlateau: factor must be in [0, 1); got {}", options.factor);
  }
  const auto check = [](const char* what, double value) {
    if (!(value >= 0)) throw_invalid("ReduceLROnPlateau: {} must be at least 0; got {}", what, value);
  };
  check("patience", as_double(options.patience));
  check("threshold", options.threshold);
  check("cooldown", as_double(options.cooldown));
  check("min_lr", options.min_lr);
  check("eps", options.eps);
  const double worst = std::numeric_limits<double>::infinity();
  memory_.best = options.mode == PlateauMode::min ? worst : -worst;
}

bool ReduceLROnPlateau::is_better(double metric) const {
  const bool small = options_.mode == PlateauMode::min;
  const double best = memory_.best, margin = small ? -options_.threshold : options_.threshold;
  // An infinite best one is none yet; times a threshold of 1 it would be NaN.
  const double bar = std::isinf(best)                                ? best
                     : options_.threshold_mode == ThresholdMode::rel ? best * (1 + margin)
                                                                     : best + margin;
  return small ? metric < bar : metric > bar;
}

void ReduceLROnPlateau::step(double metric, Here here) {
  const CallSite site(here);
  if (is_better(metric)) {
    memory_.best = metric;
    memory_.num_bad_epochs = 0;
  } else {
    ++memory_.num_bad_epochs;
  }
  if (memory_.cooldown_counter > 0) {
    --memory_.cooldown_counter;
    memory_.num_bad_epochs = 0;
  }
  if (memory_.num_bad_epochs <= options_.patience) return;
  for (std::size_t g = 0; g < optimizer_->groups(); ++g) {
    const double before = optimizer_->lr(g), after = std::max(before * options_.factor, options_.min_lr);
    if (before - after > options_.eps) optimizer_->set_lr(after, g);
  }
  memory_.cooldown_counter = options_.cooldown;
  memory_.num_bad_epochs = 0;
}

}  // namespace tapestry::nn::optim
