#include <support/expect.h>

#include <limits>

#include <tapestry/nn/optim/adamw.h>
#include <tapestry/nn/optim/schedules.h>
#include <tapestry/nn/optim/sgd.h>

using namespace tapestry;
using namespace tapestry::test;
using namespace tapestry::nn::optim;

BOOST_AUTO_TEST_SUITE(schedules_test)

namespace {

using Doubles = std::vector<double>;

std::vector<Tensor> one_parameter() { return {zeros({1}, {.requires_grad = true})}; }

/// The rates at t = 0 ... steps - 1 of a group that was given 1.
template <class S, class... Args>
Doubles rates(Index steps, Args&&... args) {
  SGD sgd(one_parameter(), {.lr = 1, .momentum = .9});
  S schedule(sgd, std::forward<Args>(args)...);
  Doubles out;
  for (Index t = 0; t < steps; ++t) {
    if (t > 0) schedule.step();
    out.push_back(sgd.lr());
  }
  return out;
}

}  // namespace

// Oracle: PyTorch 1.13, to the digits printed.
BOOST_AUTO_TEST_CASE(closed_forms_give_pytorchs_rates) {
  constexpr double tol = 5.1e-7;
  BOOST_TEST(all_close(rates<StepLR>(7, StepLROptions{.step_size = 3}), {1, 1, 1, .1, .1, .1, .01}, 1e-12));
  BOOST_TEST(
      all_close(rates<MultiStepLR>(6, MultiStepLROptions{.milestones = {2, 5}}), {1, 1, .1, .1, .1, .01}, 1e-12));
  BOOST_TEST(all_close(rates<MultiStepLR>(3, MultiStepLROptions{.milestones = {2, 2}}), {1, 1, .01}, 1e-12));
  BOOST_TEST(all_close(rates<ExponentialLR>(3, ExponentialLROptions{.gamma = .5}), {1, .5, .25}, 1e-12));
  BOOST_TEST(all_close(rates<LinearLR>(6, LinearLROptions{.start_factor = .25, .total_iters = 4}),
                       {.25, .4375, .625, .8125, 1, 1}, 1e-12));
  BOOST_TEST(all_close(rates<LinearLR>(1), {1.0 / 3}, 1e-12));
  BOOST_TEST(all_close(rates<ConstantLR>(7), {1. / 3, 1. / 3, 1. / 3, 1. / 3, 1. / 3, 1, 1}, 1e-12));
  BOOST_TEST(all_close(rates<PolynomialLR>(5, PolynomialLROptions{.total_iters = 4, .power = 2}),
                       {1, .5625, .25, .0625, 0}, 1e-12));
  BOOST_TEST(all_close(rates<CosineAnnealingLR>(6, CosineAnnealingLROptions{.T_max = 4, .eta_min = .1}),
                       {1, .868198, .55, .231802, .1, .231802}, 0, tol));
  BOOST_TEST(all_close(rates<CosineAnnealingWarmRestarts>(7, CosineAnnealingWarmRestartsOptions{.T_0 = 2, .T_mult = 2}),
                       {1, .5, 1, .853553, .5, .146447, 1}, 0, tol));
  BOOST_TEST(all_close(rates<CosineAnnealingWarmRestarts>(5, CosineAnnealingWarmRestartsOptions{.T_0 = 2}),
                       {1, .5, 1, .5, 1}, 0, tol));
  BOOST_TEST(all_close(rates<WarmupCosineLR>(7, WarmupCosineLROptions{.warmup = 2, .total = 6, .start_factor = .2}),
                       {.2, .6, 1, .853553, .5, .146447, 0}, 0, tol));
  BOOST_TEST(
      all_close(rates<LambdaLR>(3, [](Index t) { return 1.0 / static_cast<double>(1 + t); }), {1, .5, 1. / 3}, 1e-12));
  BOOST_TEST(all_close(rates<PiecewiseLinearLR>(7, std::vector<std::pair<Index, double>>{{1, 0}, {3, 1}, {5, .5}}),
                       {0, 0, .5, 1, .75, .5, .5}, 1e-12));
}

BOOST_AUTO_TEST_CASE(warmup_cosine_stays_at_its_end) {
  const Doubles r = rates<WarmupCosineLR>(9, WarmupCosineLROptions{.warmup = 2, .total = 6, .eta_min = .1});
  BOOST_TEST(r[6] == .1);
  BOOST_TEST(r[8] == .1);
}

BOOST_AUTO_TEST_CASE(sequential_gives_each_schedule_its_own_time) {
  SGD sgd(one_parameter(), {.lr = 1});
  SequentialLR schedule(sgd,
                        {LinearLR(sgd, {.start_factor = .5, .total_iters = 2}), StepLR(sgd, {.step_size = 2}),
                         ConstantLR(sgd, {.factor = 7})},
                        {2, 5});
  Doubles out{sgd.lr()};
  for (int i = 0; i < 6; ++i) {
    schedule.step();
    out.push_back(sgd.lr());
  }
  BOOST_TEST(all_close(out, {.5, .75, 1, 1, .1, 7, 7}, 1e-12));
  BOOST_TEST(error<std::invalid_argument>([&] { SequentialLR(sgd, {LinearLR(sgd)}, {1}); }) ==
             "SequentialLR: there must be one milestone less than schedules, in order; got 1 and 1");
}

BOOST_AUTO_TEST_CASE(each_group_keeps_its_proportion_and_any_position_can_be_taken) {
  const Tensor a = zeros({1}, {.requires_grad = true}), b = zeros({1}, {.requires_grad = true});
  SGD sgd({{.parameters = {a}, .options = {.lr = 1}}, {.parameters = {b}, .options = {.lr = .01}}});
  StepLR schedule(sgd, {.step_size = 10, .gamma = .5});
  schedule.set_t(25);
  BOOST_TEST(sgd.lr(0) == .25);
  BOOST_TEST(sgd.lr(1) == .0025);
  BOOST_TEST(schedule.t() == 25);
  BOOST_TEST(error<std::invalid_argument>([&] { schedule.set_t(-1); }) == "schedule: t must be at least 0; got -1");
  BOOST_TEST(schedule.lr_at(0, 3) == 3);
}

BOOST_AUTO_TEST_CASE(one_cycle_moves_rate_and_momentum_as_pytorch_does) {
  constexpr double tol = 5.1e-7;
  SGD sgd(one_parameter(), {.lr = 7, .momentum = .9});
  OneCycleLR schedule(sgd, {.max_lr = 1, .total_steps = 10});
  Doubles lr{sgd.lr()}, momentum{sgd.momentum()};
  for (int i = 1; i <= 10; ++i) {
    schedule.step();
    lr.push_back(sgd.lr());
    momentum.push_back(sgd.momentum());
  }
  BOOST_TEST(all_close(lr, {.04, .52, 1, .950485, .811746, .611262, .388742, .188258, .049519, 4e-6, 4e-6}, 0, tol));
  BOOST_TEST(all_close({momentum.begin(), momentum.begin() + 4}, {.95, .9, .85, .854952}, 0, tol));
  BOOST_TEST(std::abs(momentum[9] - .95) < 1e-12);
  BOOST_TEST(error<std::logic_error>([&] { schedule.step(); }) ==
             "OneCycleLR: there must be at most total_steps = 10 steps; this is step 11");
  BOOST_TEST(schedule.t() == 10);
  BOOST_TEST(all_close(
      rates<OneCycleLR>(4, OneCycleLROptions{.max_lr = 1, .total_steps = 10, .anneal_strategy = Anneal::linear}),
      {.04, .52, 1, .857143}, 0, tol));
  BOOST_TEST(all_close(rates<OneCycleLR>(10, OneCycleLROptions{.max_lr = 1, .total_steps = 10, .three_phase = true}),
                       {.04, .52, 1, .52, .04, .036181, .026182, .013822, .003823, 4e-6}, 0, tol));
  Adam adam(one_parameter());
  const OneCycleLR beta(adam, {.max_lr = 1, .total_steps = 10});
  BOOST_TEST(adam.momentum() == .95);
}

// As PyTorch documents it for rate 1: 0.1, 0.09, 0.81, 0.729, 0.6561.
BOOST_AUTO_TEST_CASE(chained_schedules_multiply) {
  SGD sgd(one_parameter(), {.lr = 1});
  ChainedScheduler schedule(sgd,
                            {ConstantLR(sgd, {.factor = .1, .total_iters = 2}), ExponentialLR(sgd, {.gamma = .9})});
  Doubles out{sgd.lr()};
  for (int i = 0; i < 4; ++i) {
    schedule.step();
    out.push_back(sgd.lr());
  }
  BOOST_TEST(all_close(out, {.1, .09, .81, .729, .6561}, 1e-12));
  BOOST_TEST(error<std::invalid_argument>([&] { ChainedScheduler(sgd, {}); }) ==
             "ChainedScheduler: there must be at least one schedule; got none");
}

BOOST_AUTO_TEST_CASE(each_group_may_have_a_schedule_of_its_own) {
  const Tensor a = zeros({1}, {.requires_grad = true}), b = zeros({1}, {.requires_grad = true});
  SGD sgd({{.parameters = {a}, .options = {.lr = 1}}, {.parameters = {b}, .options = {.lr = .5}}});
  GroupLR schedule(sgd, {StepLR(sgd, {.step_size = 2}), ConstantLR(sgd, {.factor = .5, .total_iters = 1})});
  BOOST_TEST(sgd.lr(0) == 1);
  BOOST_TEST(sgd.lr(1) == .25);
  schedule.set_t(2);
  BOOST_TEST(std::abs(sgd.lr(0) - .1) < 1e-15);
  BOOST_TEST(sgd.lr(1) == .5);
  BOOST_TEST(schedule.lr_at(0, 8, 1) == 4);

  const std::vector<Callable<double(Index)>> factors{[](Index t) { return 1.0 / static_cast<double>(1 + t); },
                                                     [](Index) { return 2.0; }};
  LambdaLR lambdas(sgd, factors);
  lambdas.step();
  BOOST_TEST(sgd.lr(0) == .5);
  BOOST_TEST(sgd.lr(1) == 1);

  // Within others, a group keeps its own.
  SequentialLR after(sgd, {ConstantLR(sgd, {.factor = 1}), ChainedScheduler(sgd, {GroupLR(schedule)})}, {1});
  after.set_t(3);
  BOOST_TEST(std::abs(sgd.lr(0) - .1) < 1e-15);
  BOOST_TEST(sgd.lr(1) == .5);

  BOOST_TEST(error<std::invalid_argument>([&] { GroupLR(sgd, {StepLR(sgd, {})}); }) ==
             "GroupLR: there must be one for each of the optimizer's 2 groups; got 1");
  BOOST_TEST(error<std::invalid_argument>([&] { LambdaLR(sgd, std::vector<Callable<double(Index)>>{}); }) ==
             "LambdaLR: there must be one for each of the optimizer's 2 groups; got 0");
}

BOOST_AUTO_TEST_CASE(swalr_goes_to_its_rate_and_stays) {
  BOOST_TEST(all_close(rates<SWALR>(6, SWALROptions{.swa_lr = .2, .anneal_epochs = 4}),
                       {1, .2 + .8 * (1 + std::sqrt(.5)) / 2, .6, .2 + .8 * (1 - std::sqrt(.5)) / 2, .2, .2}, 1e-12));
  BOOST_TEST(
      all_close(rates<SWALR>(6, SWALROptions{.swa_lr = 5, .anneal_epochs = 4, .anneal_strategy = Anneal::linear}),
                {1, 2, 3, 4, 5, 5}, 1e-12));
}

// --- on a plateau

namespace {

/// The rates before each step with these metrics, from 1.
Doubles plateau(const ReduceLROnPlateauOptions& options, const Doubles& metrics) {
  SGD sgd(one_parameter(), {.lr = 1});
  ReduceLROnPlateau schedule(sgd, options);
  Doubles out;
  for (const double metric : metrics) {
    out.push_back(sgd.lr());
    schedule.step(metric);
  }
  return out;
}

constexpr double nan = std::numeric_limits<double>::quiet_NaN();

}  // namespace

// Oracle: PyTorch 1.13.
BOOST_AUTO_TEST_CASE(rates_fall_on_a_plateau_as_pytorchs_do) {
  BOOST_TEST(
      all_close(plateau({.patience = 1}, {1, .9, .9, .9, .9, .9, .9, .9}), {1, 1, 1, 1, .1, .1, .01, .01}, 1e-12));
  BOOST_TEST(all_close(plateau({.patience = 1, .cooldown = 2}, Doubles(8, 1)), {1, 1, 1, .1, .1, .1, .1, .01}, 1e-12));
  BOOST_TEST(all_close(plateau({.patience = 0}, {nan, nan, 1, 1}), {1, .1, .01, .01}, 1e-12));
}

BOOST_AUTO_TEST_CASE(better_is_what_mode_and_threshold_say) {
  // A step of 0.01 % of 100 is not enough, a little more is.
  BOOST_TEST(plateau({.patience = 0}, {100, 99.99, 0}).back() == .1);
  BOOST_TEST(plateau({.patience = 0}, {100, 99.98, 0}).back() == 1);
  BOOST_TEST(plateau({.mode = PlateauMode::max, .patience = 0}, {100, 100.01, 0}).back() == .1);
  BOOST_TEST(plateau({.mode = PlateauMode::max, .patience = 0}, {100, 100.02, 0}).back() == 1);
  const ReduceLROnPlateauOptions by_one{.patience = 0, .threshold = 1, .threshold_mode = ThresholdMode::abs};
  BOOST_TEST(plateau(by_one, {5, 4, 0}).back() == .1);
  BOOST_TEST(plateau(by_one, {5, 3.5, 0}).back() == 1);
  // Rates do not fall below the least, nor by less than eps.
  BOOST_TEST(all_close(plateau({.patience = 0, .min_lr = .02}, Doubles(5, 1)), {1, 1, .1, .02, .02}, 1e-12));
  BOOST_TEST(plateau({.patience = 0, .eps = .95}, Doubles(4, 1)).back() == 1);
}

BOOST_AUTO_TEST_CASE(what_a_plateau_remembers_goes_on_in_another_one) {
  SGD sgd(one_parameter(), {.lr = 1}), other(one_parameter(), {.lr = 1});
  const ReduceLROnPlateauOptions options{.patience = 2, .cooldown = 1};
  ReduceLROnPlateau straight(sgd, options), first(other, options);
  const Doubles metrics{3, 2, 2, 2, 2, 2, 2, 2, 2, 1, 1, 1, 1};
  for (std::size_t i = 0; i < 4; ++i) {
    straight.step(metrics[i]);
    first.step(metrics[i]);
  }
  ReduceLROnPlateau second(other, options);
  second.memory() = first.memory();
  for (std::size_t i = 4; i < metrics.size(); ++i) {
    straight.step(metrics[i]);
    second.step(metrics[i]);
    BOOST_TEST(other.lr() == sgd.lr());
  }
  BOOST_TEST((second.memory() == straight.memory()));
  BOOST_TEST(sgd.lr() < 1);
}

BOOST_AUTO_TEST_CASE(a_plateau_lowers_every_group_and_refuses_senseless_options) {
  const Tensor a = zeros({1}, {.requires_grad = true}), b = zeros({1}, {.requires_grad = true});
  SGD sgd({{.parameters = {a}, .options = {.lr = 1}}, {.parameters = {b}, .options = {.lr = .5}}});
  ReduceLROnPlateau schedule(sgd, {.factor = .5, .patience = 0});
  schedule.step(1);
  schedule.step(1);
  BOOST_TEST(sgd.lr(0) == .5);
  BOOST_TEST(sgd.lr(1) == .25);
  const auto refused = [&](const ReduceLROnPlateauOptions& o) {
    return error<std::invalid_argument>([&] { ReduceLROnPlateau(sgd, o); });
  };
  BOOST_TEST(refused({.factor = 1}) == "ReduceLROnPlateau: factor must be in [0, 1); got 1");
  BOOST_TEST(refused({.patience = -1}) == "ReduceLROnPlateau: patience must be at least 0; got -1");
  BOOST_TEST(refused({.threshold = nan}) == "ReduceLROnPlateau: threshold must be at least 0; got nan");
  BOOST_TEST(refused({.cooldown = -1}) == "ReduceLROnPlateau: cooldown must be at least 0; got -1");
  BOOST_TEST(refused({.min_lr = -1}) == "ReduceLROnPlateau: min_lr must be at least 0; got -1");
  BOOST_TEST(refused({.eps = -1}) == "ReduceLROnPlateau: eps must be at least 0; got -1");
}

BOOST_AUTO_TEST_CASE(senseless_options_are_refused_when_the_schedule_is_made) {
  SGD sgd(one_parameter(), {.lr = 1});
  using Invalid = std::invalid_argument;
  BOOST_TEST(error<Invalid>([&] { StepLR(sgd, {.step_size = 0}); }) == "StepLR: step_size must be at least 1; got 0");
  BOOST_TEST(error<Invalid>([&] { LinearLR(sgd, {.total_iters = 0}); }) ==
             "LinearLR: total_iters must be at least 1; got 0");
  BOOST_TEST(error<Invalid>([&] { CosineAnnealingLR(sgd, {.T_max = 0}); }) ==
             "CosineAnnealingLR: T_max must be at least 1; got 0");
  BOOST_TEST(error<Invalid>([&] { WarmupCosineLR(sgd, {.warmup = 5, .total = 5}); }) ==
             "WarmupCosineLR: warmup must be in [0, total); got warmup 5, total 5");
  BOOST_TEST(error<Invalid>([&] {
               PiecewiseLinearLR(sgd, {{2, 1}, {1, 1}});
             }) == "PiecewiseLinearLR: points must be in order of t");
  BOOST_TEST(error<Invalid>([&] { PiecewiseLinearLR(sgd, {}); }) ==
             "PiecewiseLinearLR: there must be at least one point; got none");
  BOOST_TEST(error<Invalid>([&] { OneCycleLR(sgd, {.max_lr = 1}); }) ==
             "OneCycleLR: total_steps must be at least 1; got 0");
  BOOST_TEST(error<Invalid>([&] { OneCycleLR(sgd, {.total_steps = 5}); }) ==
             "OneCycleLR: max_lr must be above 0; got 0");
  BOOST_TEST(error<Invalid>([&] { SWALR(sgd, {.swa_lr = -1}); }) == "SWALR: swa_lr must be at least 0; got -1");
  BOOST_TEST(error<Invalid>([&] { SWALR(sgd, {.anneal_epochs = 0}); }) ==
             "SWALR: anneal_epochs must be at least 1; got 0");
  BOOST_TEST(sgd.lr() == 1);
}

BOOST_AUTO_TEST_SUITE_END()
