#include <support/expect.h>

#include <limits>

#include <tapestry/autograd/base/parallel.h>
#include <tapestry/autograd/grad_mode.h>
#include <tapestry/autograd/random.h>
#include <tapestry/nn/linear.h>
#include <tapestry/nn/optim/adagrad.h>
#include <tapestry/nn/optim/rmsprop.h>
#include <tapestry/nn/optim/schedules.h>
#include <tapestry/ops/cast.h>

using namespace tapestry;
using namespace tapestry::test;

BOOST_AUTO_TEST_SUITE(optimizers_test)

namespace {

using Doubles = std::vector<double>;
using Invalid = std::invalid_argument;
using optim::Adagrad;
using optim::AdagradOptions;
using optim::RMSprop;
using optim::RMSpropOptions;

/// theta after each step, from theta = 1 with these gradients.
template <class O, class Options>
Doubles trajectory(const Options& options, const Doubles& gradients, Dtype dtype = f64) {
  const Tensor theta = ones({1}, {.dtype = dtype, .requires_grad = true});
  O optimizer({theta}, options);
  Doubles out;
  for (const double g : gradients) {
    theta.set_grad(full({1}, g, {.dtype = dtype}));
    optimizer.step();
    out.push_back(theta.item());
  }
  return out;
}

const Doubles six{1, 2, 3, -1, .5, -2};

}  // namespace

// Oracle: PyTorch 1.13, theta = 1, lr 0.1, gradients 1, 2, 3.
BOOST_AUTO_TEST_CASE(rmsprop_steps_are_pytorchs) {
  const Doubles g{1, 2, 3};
  BOOST_TEST(all_close(trajectory<RMSprop>(RMSpropOptions{.lr = .1}, g), {1e-7, -.895322822, -1.6988272945}, 0, 6e-11));
  BOOST_TEST(all_close(trajectory<RMSprop>(RMSpropOptions{.lr = .1, .momentum = .9}, g),
                       {1e-7, -1.795322732, -4.2146177533}, 0, 6e-11));
  BOOST_TEST(all_close(trajectory<RMSprop>(RMSpropOptions{.lr = .1, .centered = true}, g),
                       {-.0050377142, -.9084903568, -1.7224323705}, 0, 6e-11));
  BOOST_TEST(all_close(trajectory<RMSprop>(RMSpropOptions{.lr = .1, .weight_decay = .1}, g),
                       {9.09e-8, -.8772350428, -1.6661461608}, 0, 6e-11));
  BOOST_TEST(
      all_close(trajectory<RMSprop>(RMSpropOptions{.lr = .1}, g, f32), {1e-7, -.895322822, -1.6988272945}, 1e-6, 2e-7));
}

BOOST_AUTO_TEST_CASE(rmsprop_goes_up_where_it_is_to_maximize) {
  const RMSpropOptions up{.lr = .1, .momentum = .9, .centered = true, .maximize = true};
  const RMSpropOptions down{.lr = .1, .momentum = .9, .centered = true};
  BOOST_TEST(all_close(trajectory<RMSprop>(up, {-1, -2, -3}), trajectory<RMSprop>(down, {1, 2, 3}), 0));
}

// E[g^2] - E[g]^2 of a constant gradient is 0, and by rounding less.
BOOST_AUTO_TEST_CASE(centered_rmsprop_stays_a_number_for_a_gradient_that_does_not_change) {
  for (const Dtype dtype : {f32, f64}) {
    const Doubles path = trajectory<RMSprop>(RMSpropOptions{.lr = 1e-9, .alpha = .5, .eps = 1, .centered = true},
                                             Doubles(200, .1), dtype);
    for (const double theta : path) BOOST_TEST(std::isfinite(theta));
  }
}

// Oracle: LibTorch 1.13, torch::optim::RMSprop and Adagrad with these options on six gradients.
BOOST_AUTO_TEST_CASE(all_options_together_give_pytorchs_steps) {
  BOOST_TEST(
      all_close(trajectory<RMSprop>(RMSpropOptions{.lr = .1, .momentum = .9}, six),
                {9.999999027732e-8, -1.795322731992, -4.214617753266, -6.13205179489, -7.987262669233, -9.195117387039},
                1e-12, 1e-14));
  BOOST_TEST(all_close(
      trajectory<RMSprop>(
          RMSpropOptions{.lr = .1, .alpha = .9, .eps = 1e-3, .weight_decay = .1, .momentum = .9, .centered = true},
          six),
      {.6676737160121, .05839098647354, -.7823875628417, -1.440554656515, -2.067186192632, -2.455861315384}, 1e-12));
  BOOST_TEST(all_close(trajectory<Adagrad>(AdagradOptions{.lr = .1}, six),
                       {.90000000001, .810557280914, .7303789083424, .7561987973165, .7433951093235, .7889793399063},
                       1e-12));
  BOOST_TEST(all_close(
      trajectory<Adagrad>(
          AdagradOptions{.lr = .1, .lr_decay = .1, .weight_decay = .1, .initial_accumulator_value = .5, .eps = 1e-3},
          six),
      {.9159451759113, .8388926667182, .7738328370946, .7913287240519, .7812332791291, .8095421430935}, 1e-12));
}

BOOST_AUTO_TEST_CASE(adagrad_goes_up_where_it_is_to_maximize) {
  BOOST_TEST(all_close(trajectory<Adagrad>(AdagradOptions{.lr = .1, .maximize = true}, {-1, -2, -3}),
                       trajectory<Adagrad>(AdagradOptions{.lr = .1}, {1, 2, 3}), 0));
}

BOOST_AUTO_TEST_CASE(senseless_options_are_refused) {
  const Tensor x = zeros({2}, {.requires_grad = true});
  const auto rms = [&](const RMSpropOptions& o) { return error<Invalid>([&] { RMSprop({x}, o); }); };
  BOOST_TEST(rms({.lr = -1}) == "RMSprop: lr must be at least 0; got -1");
  BOOST_TEST(rms({.alpha = 1}) == "RMSprop: alpha must be in [0, 1); got 1");
  BOOST_TEST(rms({.eps = -1}) == "RMSprop: eps must be at least 0; got -1");
  BOOST_TEST(rms({.weight_decay = -1}) == "RMSprop: weight_decay must be at least 0; got -1");
  BOOST_TEST(rms({.momentum = std::nan("")}) == "RMSprop: momentum must be at least 0; got nan");
  const auto ada = [&](const AdagradOptions& o) { return error<Invalid>([&] { Adagrad({x}, o); }); };
  BOOST_TEST(ada({.lr = -1}) == "Adagrad: lr must be at least 0; got -1");
  BOOST_TEST(ada({.lr_decay = -1}) == "Adagrad: lr_decay must be at least 0; got -1");
  BOOST_TEST(ada({.weight_decay = -1}) == "Adagrad: weight_decay must be at least 0; got -1");
  BOOST_TEST(ada({.initial_accumulator_value = -1}) == "Adagrad: initial_accumulator_value must be at least 0; got -1");
  BOOST_TEST(ada({.eps = -1}) == "Adagrad: eps must be at least 0; got -1");
  Adagrad adagrad({x});
  adagrad.set_momentum(0);
  BOOST_TEST(error<Invalid>([&] { adagrad.set_momentum(.9); }) == "Adagrad: there is no momentum to set; got 0.9");
  BOOST_TEST(error<Invalid>([&] { optim::OneCycleLR(adagrad, {.max_lr = 1, .total_steps = 9}); }) ==
             "Adagrad: there is no momentum to set; got 0.95");
  BOOST_TEST(error<Invalid>([&] { RMSprop({x, x}); }) == "RMSprop: a parameter must be given once; 1 [2] comes again");
}

BOOST_AUTO_TEST_CASE(settings_tell_what_an_optimizer_was_made_with) {
  using Settings = std::vector<std::pair<std::string, std::string>>;
  const Tensor x = zeros({2}, {.requires_grad = true});
  const RMSprop rms({x}, {.alpha = .9, .centered = true});
  const Settings of_rms{{"optimizer", "RMSprop"}, {"alpha", "0.9"},    {"eps", "1e-08"},
                        {"weight_decay", "0"},    {"centered", "yes"}, {"maximize", "no"}};
  BOOST_TEST((rms.settings() == of_rms));
  const Adagrad ada({x}, {.lr_decay = .5});
  const Settings of_ada{{"optimizer", "Adagrad"},           {"lr_decay", "0.5"}, {"weight_decay", "0"},
                        {"initial_accumulator_value", "0"}, {"eps", "1e-10"},    {"maximize", "no"}};
  BOOST_TEST((ada.settings() == of_ada));
}

BOOST_AUTO_TEST_CASE(groups_have_options_of_their_own) {
  const Tensor a = zeros({1}, {.dtype = f64, .requires_grad = true});
  const Tensor b = zeros({1}, {.dtype = f64, .requires_grad = true});
  RMSprop rms({{.parameters = {a}, .options = {.lr = 1, .eps = 0}},
               {.parameters = {b}, .options = {.lr = 10, .alpha = 0, .eps = 0}}});
  a.set_grad(ones({1}, {.dtype = f64}));
  b.set_grad(ones({1}, {.dtype = f64}));
  rms.step();
  BOOST_TEST(std::abs(a.item() + 10) < 1e-12);  // 1 / sqrt(0.01)
  BOOST_TEST(b.item() == -10);
  BOOST_TEST(rms.lr(1) == 10);
}

BOOST_AUTO_TEST_CASE(a_schedule_may_begin_to_ask_for_momentum_and_cease_to) {
  const Tensor x = zeros({3}, {.requires_grad = true});
  RMSprop rms({x});
  const auto step = [&] {
    x.set_grad(ones({3}));
    rms.step();
  };
  step();
  BOOST_TEST(rms.state().count("0.momentum_buffer") == 0U);
  rms.set_momentum(.9);
  step();
  BOOST_TEST(rms.state().count("0.momentum_buffer") == 1U);
  BOOST_TEST(rms.state().count("0.square_avg") == 1U);
  rms.set_momentum(0);
  step();
  BOOST_TEST(rms.state().count("0.momentum_buffer") == 0U);
  BOOST_TEST(rms.state().at("0.step").item<Index>() == 3);
}

BOOST_AUTO_TEST_CASE(state_is_keyed_by_name_and_resumes_bit_for_bit) {
  manual_seed(4);
  const auto run = [](const nn::Linear& model, optim::Optimizer& optimizer, int from, int to) {
    for (int i = from; i < to; ++i) {
      Generator generator(static_cast<std::uint64_t>(i));
      for (const Tensor& p : model.parameters()) p.set_grad(randn(p.shape(), {.generator = &generator}));
      optimizer.step();
    }
  };
  const auto check = [&]<class O>(const auto& options, const std::vector<std::string>& keys) {
    const nn::Linear a{3, 2}, b{3, 2};
    NoGradGuard guard;
    for (std::size_t i = 0; i < 2; ++i) b.parameters()[i].set_data(clone(a.parameters()[i].detach()));
    O straight(a.named_parameters(), options), first(b.named_parameters(), options),
        second(b.named_parameters(), options);
    run(a, straight, 0, 6);
    run(b, first, 0, 3);
    const auto state = first.state();
    for (const std::string& key : keys) BOOST_TEST(state.count(key) == 1U, key);
    BOOST_TEST(state.at("bias.step").template item<Index>() == 3);
    second.load_state(state);
    run(b, second, 3, 6);
    for (std::size_t i = 0; i < 2; ++i) BOOST_TEST(same_bits(a.parameters()[i], b.parameters()[i]));
  };
  check.operator()<RMSprop>(RMSpropOptions{.momentum = .9, .centered = true},
                            {"weight.square_avg", "weight.grad_avg", "bias.momentum_buffer"});
  check.operator()<Adagrad>(AdagradOptions{.lr_decay = .1, .initial_accumulator_value = .5}, {"weight.sum"});
}

BOOST_AUTO_TEST_CASE(steps_give_the_same_bits_on_any_number_of_threads_and_agree_with_a_plain_loop) {
  const int threads = num_threads();
  for (const Index n : {1, 7, 9, 16'383, 16'385, 50'001}) {
    std::vector<Tensor> results;
    for (const int count : {1, 3}) {
      set_num_threads(count);
      Generator generator(5);
      const Tensor p = randn({n}, {.dtype = f32, .requires_grad = true, .generator = &generator});
      const Tensor q = randn({n}, {.dtype = f64, .requires_grad = true, .generator = &generator});
      const Doubles p0 = values(p), q0 = values(q);
      RMSprop rms({q}, {.lr = .1, .momentum = .5, .centered = true});
      Adagrad ada({p}, {.lr = .1, .weight_decay = .01});
      const Tensor g = randn({n}, {.generator = &generator});
      const Tensor h = randn({n}, {.dtype = f64, .generator = &generator});
      p.set_grad(g);
      q.set_grad(h);
      ada.step();
      rms.step();
      const Doubles p1 = values(p), q1 = values(q), gs = values(g), hs = values(h);
      for (std::size_t i = 0; i < p1.size(); ++i) {
        const double d = gs[i] + .01 * p0[i];
        if (!(std::abs(p1[i] - (p0[i] - .1 * d / (std::abs(d) + 1e-10))) < 2e-6)) {
          BOOST_FAIL("adagrad, element " << i << " of " << n);
        }
        const double deviation = std::sqrt(.01 * hs[i] * hs[i] - .01 * hs[i] * .01 * hs[i]);
        if (!(std::abs(q1[i] - (q0[i] - .1 * hs[i] / (deviation + 1e-8))) < 1e-11)) {
          BOOST_FAIL("rmsprop, element " << i << " of " << n);
        }
      }
      results.push_back(p.detach());
      results.push_back(q.detach());
    }
    for (std::size_t i = 2; i < results.size(); ++i) BOOST_TEST(same_bits(results[i], results[i - 2]));
  }
  set_num_threads(threads);
}

BOOST_AUTO_TEST_SUITE_END()
