#include <support/expect.h>

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
  BOOST_TEST(sgd.lr() == 1);
}

BOOST_AUTO_TEST_SUITE_END()
