#include <support/expect.h>

#include <limits>

#include <tapestry/autograd/backward.h>
#include <tapestry/autograd/random.h>
#include <tapestry/nn/linear.h>
#include <tapestry/nn/optim/adamw.h>
#include <tapestry/nn/optim/lookahead.h>
#include <tapestry/nn/optim/sam.h>
#include <tapestry/nn/optim/schedules.h>
#include <tapestry/nn/optim/sgd.h>
#include <tapestry/ops/binary.h>
#include <tapestry/ops/reduce.h>

using namespace tapestry;
using namespace tapestry::test;

/// Optimizers around another one: Lookahead, SAM.
BOOST_AUTO_TEST_SUITE(wrapped_optimizers_test)

namespace {

using Doubles = std::vector<double>;
using Invalid = std::invalid_argument;
using optim::Lookahead;
using optim::LookaheadOptions;
using optim::SAM;
using optim::SGD;

Tensor one(double value = 1) { return full({1}, value, {.dtype = f64, .requires_grad = true}); }

}  // namespace

// --- lookahead

// Computed: SGD, lr 0.1, gradients 1, 2, 3, k = 2: 0.9, 0.85, 0.55.
BOOST_AUTO_TEST_CASE(lookahead_steps_back_half_way_every_k_steps) {
  const Tensor theta = one();
  SGD sgd({theta}, {.lr = .1});
  Lookahead optimizer(sgd, {.k = 2});
  Doubles path;
  for (const double g : {1.0, 2.0, 3.0}) {
    theta.set_grad(full({1}, g, {.dtype = f64}));
    optimizer.step();
    path.push_back(theta.item());
  }
  BOOST_TEST(all_close(path, {.9, .85, .55}, 1e-14));
}

BOOST_AUTO_TEST_CASE(alpha_may_change_and_at_its_ends_lookahead_stands_still_or_is_not_there) {
  const auto path = [](double alpha) {
    const Tensor theta = one();
    SGD sgd({theta}, {.lr = .1});
    Lookahead optimizer(sgd, {.k = 1});
    optimizer.set_alpha(alpha);
    for (const double g : {1.0, 2.0}) {
      theta.set_grad(full({1}, g, {.dtype = f64}));
      optimizer.step();
    }
    return theta.item();
  };
  BOOST_TEST(path(0) == 1);
  BOOST_TEST(path(1) == 1 - .1 - .2);
  BOOST_TEST(std::abs(path(.25) - (1 - .25 * .3)) < 1e-15);
}

BOOST_AUTO_TEST_CASE(lookahead_counts_from_a_parameters_first_gradient) {
  const Tensor a = one(), b = one(5);
  SGD sgd({a, b}, {.lr = 1});
  Lookahead optimizer(sgd, {.k = 2, .alpha = .5});
  a.set_grad(full({1}, 1, {.dtype = f64}));
  optimizer.step();  // a: 0
  BOOST_TEST(optimizer.state().count("lookahead:1.slow") == 0U);
  b.set_grad(full({1}, 1, {.dtype = f64}));
  optimizer.step();  // a: -1, back to 0; b: 4
  BOOST_TEST(a.item() == 0);
  BOOST_TEST(b.item() == 4);
  optimizer.step();  // a: -1; b: 3, back to 4
  BOOST_TEST(a.item() == -1);
  BOOST_TEST(b.item() == 4);
}

BOOST_AUTO_TEST_CASE(schedules_and_settings_reach_the_optimizer_within) {
  const Tensor theta = one();
  SGD sgd({theta}, {.lr = 1, .momentum = .9});
  Lookahead optimizer(sgd, {.k = 3});
  optim::StepLR schedule(optimizer, {.step_size = 1});
  schedule.step();
  BOOST_TEST(sgd.lr() == .1);
  BOOST_TEST(optimizer.initial_lr() == 1);
  optimizer.set_momentum(.5);
  BOOST_TEST(sgd.momentum() == .5);
  const auto settings = optimizer.settings();
  BOOST_TEST(settings.front().second == "SGD");
  BOOST_TEST(settings[settings.size() - 2].second == "3");
  BOOST_TEST(settings.back().first == "lookahead alpha");
}

BOOST_AUTO_TEST_CASE(the_state_of_both_resumes_bit_for_bit) {
  const auto run = [](const nn::Linear& model, optim::Optimizer& optimizer, int from, int to) {
    for (int i = from; i < to; ++i) {
      Generator generator(static_cast<std::uint64_t>(i));
      for (const Tensor& p : model.parameters()) p.set_grad(randn(p.shape(), {.generator = &generator}));
      optimizer.step();
    }
  };
  manual_seed(7);
  const nn::Linear a{3, 2};
  manual_seed(7);
  const nn::Linear b{3, 2};
  optim::AdamW adam(a.named_parameters(), {.lr = .1}), adam_1(b.named_parameters(), {.lr = .1}),
      adam_2(b.named_parameters(), {.lr = .1});
  Lookahead straight(adam, {.k = 3}), first(adam_1, {.k = 3}), second(adam_2, {.k = 3});
  run(a, straight, 0, 10);
  run(b, first, 0, 4);
  auto state = first.state();
  BOOST_TEST(state.count("weight.exp_avg") == 1U);
  BOOST_TEST(state.count("lookahead:weight.slow") == 1U);
  BOOST_TEST(state.at("lookahead:bias.step").item<Index>() == 4);
  second.load_state(state);
  run(b, second, 4, 10);
  for (std::size_t i = 0; i < 2; ++i) BOOST_TEST(same_bits(a.parameters()[i], b.parameters()[i]));

  state.erase("lookahead:weight.slow");
  state.erase("bias.exp_avg");
  state["other.step"] = full({}, 1, {.dtype = i64});
  BOOST_TEST(error<Invalid>([&] { second.load_state(state); }) ==
             "load_state: the state must be this optimizer's\n"
             "  missing: bias.exp_avg\n"
             "  unexpected: other.step\n"
             "  missing: weight.slow");
  BOOST_TEST(second.state().at("lookahead:bias.step").item<Index>() == 10);
}

BOOST_AUTO_TEST_CASE(lookahead_refuses_senseless_options_and_groups_that_come_later) {
  const Tensor theta = one(), later = one();
  SGD sgd({theta}, {.lr = .1});
  const auto refused = [&](const LookaheadOptions& o) { return error<Invalid>([&] { Lookahead(sgd, o); }); };
  BOOST_TEST(refused({.k = 0}) == "Lookahead: k must be at least 1; got 0");
  BOOST_TEST(refused({.alpha = 1.5}) == "Lookahead: alpha must be in [0, 1]; got 1.5");
  Lookahead optimizer(sgd);
  BOOST_TEST(error<Invalid>([&] { optimizer.set_alpha(-1); }) == "Lookahead: alpha must be in [0, 1]; got -1");
  BOOST_TEST(optimizer.alpha() == .5);
  sgd.add_group({later}, {.lr = .1});
  theta.set_grad(full({1}, 1, {.dtype = f64}));
  BOOST_TEST(error<std::logic_error>([&] { optimizer.step(); }) ==
             "Lookahead: the inner optimizer must have the groups that it had at first, 1; got 2");
  BOOST_TEST(theta.item() == 1);
}

// --- sharpness-aware minimisation

namespace {

/// x0^4 + x1^2 x0, whose gradient at [1, 2] is [8, 4].
Tensor loss_of(const Tensor& x, const Tensor& y) { return sum(x * x * x * x + y * y * x); }

struct Twisted {
  Tensor x = one(), y = one(2);
};

}  // namespace

BOOST_AUTO_TEST_CASE(sam_steps_by_the_gradient_of_the_worst_point_near_by) {
  for (const bool adaptive : {false, true}) {
    const Twisted at;
    SGD sgd({at.x, at.y}, {.lr = .1, .momentum = .9});
    SAM sam(sgd, {.rho = .5, .adaptive = adaptive});
    double x = 1, y = 2, bx = 0, by = 0;
    for (int step = 0; step < 3; ++step) {
      const double before = x * x * x * x + y * y * x;
      const Tensor loss = sam.step([&] { return loss_of(at.x, at.y); });
      BOOST_TEST(std::abs(loss.item() - before) < 1e-11 * std::abs(before));
      const double gx = 4 * x * x * x + y * y, gy = 2 * y * x;
      const double sx = adaptive ? x * x : 1, sy = adaptive ? y * y : 1;
      const double norm = std::sqrt(gx * gx * sx + gy * gy * sy);
      const double ux = x + .5 * gx * sx / norm, uy = y + .5 * gy * sy / norm;
      bx = .9 * bx + 4 * ux * ux * ux + uy * uy;
      by = .9 * by + 2 * uy * ux;
      x -= .1 * bx;
      y -= .1 * by;
      BOOST_TEST(std::abs(at.x.item() - x) < 1e-10 * std::abs(x));
      BOOST_TEST(std::abs(at.y.item() - y) < 1e-10 * std::abs(y));
    }
  }
}

BOOST_AUTO_TEST_CASE(sam_in_two_calls_is_sam_in_one) {
  const Twisted a, b;
  SGD sgd_a({a.x, a.y}, {.lr = .1}), sgd_b({b.x, b.y}, {.lr = .1});
  SAM sam_a(sgd_a), sam_b(sgd_b);
  sam_a.step([&] { return loss_of(a.x, a.y); });
  loss_of(b.x, b.y).backward();
  sam_b.first_step();
  BOOST_TEST(!b.x.grad().defined());
  BOOST_TEST(b.x.item() > 1);
  loss_of(b.x, b.y).backward();
  sam_b.second_step();
  BOOST_TEST(same_bits(a.x, b.x));
  BOOST_TEST(same_bits(a.y, b.y));
}

BOOST_AUTO_TEST_CASE(sam_with_rho_zero_is_the_optimizer_within) {
  const Twisted a, b;
  SGD sgd_a({a.x, a.y}, {.lr = .1}), sgd_b({b.x, b.y}, {.lr = .1});
  SAM sam(sgd_a, {.rho = 0});
  sam.step([&] { return loss_of(a.x, a.y); });
  loss_of(b.x, b.y).backward();
  sgd_b.step();
  BOOST_TEST(same_bits(a.x, b.x));
}

BOOST_AUTO_TEST_CASE(sam_names_what_is_out_of_order_and_leaves_parameters_where_they_were) {
  const Twisted at;
  SGD sgd({at.x, at.y}, {.lr = .1});
  BOOST_TEST(error<Invalid>([&] { SAM(sgd, {.rho = -1}); }) == "SAM: rho must be at least 0; got -1");
  SAM sam(sgd);
  BOOST_TEST(error<std::logic_error>([&] { sam.second_step(); }) == "SAM: first_step() must come before second_step()");
  BOOST_TEST(error<std::logic_error>([&] { sam.first_step(); }) ==
             "SAM: backward() must come before first_step(); no parameter has a gradient");
  loss_of(at.x, at.y).backward();
  sam.first_step();
  BOOST_TEST(error<std::logic_error>([&] { sam.first_step(); }) ==
             "SAM: second_step() must come between two calls of first_step()");
  sam.restore();
  BOOST_TEST(at.x.item() == 1);
  BOOST_TEST(at.y.item() == 2);
  int calls = 0;
  BOOST_TEST(error<std::runtime_error>([&] {
               sam.step([&]() -> Tensor {
                 if (++calls == 2) throw std::runtime_error("no more");
                 return loss_of(at.x, at.y);
               });
             }) == "no more");
  BOOST_TEST(at.x.item() == 1);
  BOOST_TEST(at.y.item() == 2);
  at.x.set_grad(full({1}, std::numeric_limits<double>::infinity(), {.dtype = f64}));
  BOOST_TEST(error<std::runtime_error>([&] { sam.first_step(); }) ==
             "SAM: the norm of all gradients must be finite; got inf");
  BOOST_TEST(at.x.item() == 1);
}

BOOST_AUTO_TEST_SUITE_END()
