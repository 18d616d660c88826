#include <support/expect.h>

#include <limits>

#include <tapestry/autograd/backward.h>
#include <tapestry/autograd/base/parallel.h>
#include <tapestry/autograd/grad_mode.h>
#include <tapestry/autograd/random.h>
#include <tapestry/nn/activation.h>
#include <tapestry/nn/functional_call.h>
#include <tapestry/nn/linear.h>
#include <tapestry/nn/optim/adamw.h>
#include <tapestry/nn/optim/clip.h>
#include <tapestry/nn/optim/sgd.h>
#include <tapestry/nn/optim/split.h>
#include <tapestry/nn/sequential.h>
#include <tapestry/ops/binary.h>
#include <tapestry/ops/cross_entropy.h>
#include <tapestry/ops/shape_ops.h>

using namespace tapestry;
using namespace tapestry::test;

BOOST_AUTO_TEST_SUITE(optim_test)

namespace {

using Doubles = std::vector<double>;

/// theta after each step, from theta = 1 with these gradients.
template <class O, class Options>
Doubles trajectory(const Options& options, const Doubles& gradients = {1, 2, 3}, Dtype dtype = f64) {
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

Tensor leaf(const Shape& shape, Dtype dtype = f32) { return zeros(shape, {.dtype = dtype, .requires_grad = true}); }

}  // namespace

// Oracle: PyTorch 1.13, theta = 1, lr 0.1, gradients 1, 2, 3 (amsgrad: 3, 2, 0.1).
BOOST_AUTO_TEST_CASE(sgd_steps_are_pytorchs) {
  using optim::SGD;
  using optim::SGDOptions;
  BOOST_TEST(all_close(trajectory<SGD>(SGDOptions{.lr = .1}), {.9, .7, .4}, 1e-14));
  BOOST_TEST(all_close(trajectory<SGD>(SGDOptions{.lr = .1, .momentum = .9}), {.9, .61, .049}, 1e-13));
  BOOST_TEST(all_close(trajectory<SGD>(SGDOptions{.lr = .1, .momentum = .9, .dampening = .5}), {.9, .71, .389}, 1e-13));
  BOOST_TEST(all_close(trajectory<SGD>(SGDOptions{.lr = .1, .momentum = .9, .weight_decay = .01, .nesterov = true}),
                       {.8081, .34475461, -.4621839848}, 1e-10));
  BOOST_TEST(all_close(trajectory<SGD>(SGDOptions{.lr = .1, .maximize = true}), {1.1, 1.3, 1.6}, 1e-14));
  BOOST_TEST(all_close(trajectory<SGD>(SGDOptions{.lr = .1, .momentum = .9}, {1, 2, 3}, f32), {.9, .61, .049}, 3e-6));
}

BOOST_AUTO_TEST_CASE(adam_steps_are_pytorchs) {
  using optim::Adam;
  using optim::AdamOptions;
  using optim::AdamW;
  using optim::AdamWOptions;
  BOOST_TEST(all_close(trajectory<Adam>(AdamOptions{.lr = .1}), {.900000001, .803481799, .7076816771}, 0, 6e-10));
  BOOST_TEST(all_close(trajectory<Adam>(AdamOptions{.lr = .1, .weight_decay = .1}),
                       {.9000000009, .8029473347, .7066099948}, 0, 6e-11));
  BOOST_TEST(all_close(trajectory<Adam>(AdamOptions{.lr = .1, .amsgrad = true}, {3, 2, .1}),
                       {.9000000003, .8029647879, .7262214374}, 0, 6e-11));
  BOOST_TEST(all_close(trajectory<AdamW>(AdamWOptions{.lr = .1}), {.899000001, .801582799, .7049810943}, 0, 6e-10));
  BOOST_TEST(
      all_close(trajectory<AdamW>(AdamWOptions{.lr = .1}, {1, 2, 3}, f32), {.899, .801582799, .7049810943}, 1e-6));
  BOOST_TEST(all_close(trajectory<Adam>(AdamOptions{.lr = .1, .maximize = true}, {-1, -2, -3}),
                       trajectory<Adam>(AdamOptions{.lr = .1}), 0));
}

BOOST_AUTO_TEST_CASE(parameters_without_a_gradient_are_left_alone) {
  const Tensor a = ones({2}, {.requires_grad = true});
  const Tensor b = ones({2}, {.requires_grad = true});
  optim::SGD sgd({a, b}, {.lr = .1, .momentum = .9, .weight_decay = .5});
  optim::AdamW adam({a, b}, {.weight_decay = .5});
  a.set_grad(zeros({2}));
  sgd.step();
  adam.step();
  BOOST_TEST(values(b) == (Doubles{1, 1}), boost::test_tools::per_element());
  BOOST_TEST(a.to_vector<float>()[0] < 1);  // decay alone
  BOOST_TEST(sgd.state().count("0.momentum_buffer") == 1U);
  BOOST_TEST(sgd.state().count("1.momentum_buffer") == 0U);
  sgd.zero_grad();
  BOOST_TEST(!a.grad().defined());
}

BOOST_AUTO_TEST_CASE(groups_have_options_of_their_own) {
  const Tensor a = leaf({1}), b = leaf({1});
  optim::SGD sgd(
      {{.parameters = {a}, .options = {.lr = 1}}, {.parameters = {b}, .options = {.lr = 10, .weight_decay = 1}}});
  BOOST_TEST(sgd.groups() == 2U);
  a.set_grad(ones({1}));
  b.set_grad(ones({1}));
  sgd.set_lr(2, 0);
  sgd.step();
  BOOST_TEST(a.item() == -2);
  BOOST_TEST(b.item() == -10);
  BOOST_TEST(sgd.lr(0) == 2);
  BOOST_TEST(sgd.initial_lr(0) == 1);
  sgd.step();
  BOOST_TEST(b.item() == -10 - 10 * (1 - 10));
  const Tensor c = leaf({1});
  sgd.add_group({c}, {.lr = 3});
  BOOST_TEST(sgd.lr(2) == 3);
}

BOOST_AUTO_TEST_CASE(senseless_options_and_parameters_are_refused) {
  using Invalid = std::invalid_argument;
  const Tensor x = leaf({2});
  const auto sgd = [&](const optim::SGDOptions& o) { return error<Invalid>([&] { optim::SGD({x}, o); }); };
  BOOST_TEST(sgd({}) == "SGD: lr must be given");
  BOOST_TEST(sgd({.lr = -1}) == "SGD: lr must be at least 0; got -1");
  BOOST_TEST(sgd({.lr = 1, .momentum = -.1}) == "SGD: momentum must be at least 0; got -0.1");
  BOOST_TEST(sgd({.lr = 1, .weight_decay = -1}) == "SGD: weight_decay must be at least 0; got -1");
  BOOST_TEST(sgd({.lr = 1, .nesterov = true}) ==
             "SGD: nesterov needs momentum and no dampening; got momentum 0, dampening 0");
  BOOST_TEST(sgd({.lr = 1, .momentum = .9, .dampening = .1, .nesterov = true}) ==
             "SGD: nesterov needs momentum and no dampening; got momentum 0.9, dampening 0.1");
  const auto adam = [&](const optim::AdamOptions& o) { return error<Invalid>([&] { optim::Adam({x}, o); }); };
  BOOST_TEST(adam({.lr = -1}) == "Adam: lr must be at least 0; got -1");
  BOOST_TEST(adam({.betas = {1, .9}}) == "Adam: the first beta must be in [0, 1); got 1");
  BOOST_TEST(adam({.betas = {.9, -.1}}) == "Adam: the second beta must be in [0, 1); got -0.1");
  BOOST_TEST(adam({.eps = -1}) == "Adam: eps must be at least 0; got -1");
  BOOST_TEST(error<Invalid>([&] { optim::AdamW({x}, {.weight_decay = -1}); }) ==
             "AdamW: weight_decay must be at least 0; got -1");
  BOOST_TEST(error<Invalid>([&] {
               optim::SGD({x, x}, {.lr = 1});
             }) == "SGD: a parameter must be given once; 1 [2] comes again");
  optim::SGD one({x}, {.lr = 1});
  BOOST_TEST(error<Invalid>([&] { one.add_group({x}, {.lr = 1}); }) ==
             "SGD: a parameter must be given once; 0 [2] comes again");
  BOOST_TEST(one.groups() == 1U);
  BOOST_TEST(error<Invalid>([&] { optim::SGD({Tensor()}, {.lr = 1}); }) == "SGD: parameter 0 must be defined");
  BOOST_TEST(error<Invalid>([&] { optim::SGD({x * 2}, {.lr = 1}); }) ==
             "SGD: parameter 0 must be a leaf, not the result of an op; its shape is [2]");
  BOOST_TEST(error<Invalid>([&] { optim::SGD({zeros({2}, {.dtype = i64})}, {.lr = 1}); }) ==
             "SGD: parameter 0 must be f32 or f64; got i64");
  BOOST_TEST(error<Invalid>([&] { one.set_lr(std::nan("")); }) == "set_lr: lr must be at least 0; got nan");
  BOOST_TEST(error<Invalid>([&] { one.set_lr(-1); }) == "set_lr: lr must be at least 0; got -1");
  BOOST_TEST(one.lr() == 1);
}

// One pass per tensor is cut into chunks above 16,384 elements: sizes around that and around vector lengths.
BOOST_AUTO_TEST_CASE(steps_give_the_same_bits_on_any_number_of_threads_and_agree_with_a_plain_loop) {
  const int threads = num_threads();
  for (const Index n : {1, 7, 8, 9, 17, 16'383, 16'384, 16'385, 50'001}) {
    std::vector<Tensor> results;
    for (const int count : {1, 2, 3, 7}) {
      set_num_threads(count);
      Generator generator(5);
      const Tensor p = randn({n}, {.dtype = f32, .requires_grad = true, .generator = &generator});
      const Tensor q = randn({n}, {.dtype = f64, .requires_grad = true, .generator = &generator});
      const std::vector<double> p0 = values(p), q0 = values(q);
      optim::SGD sgd({p}, {.lr = .1, .momentum = .9, .weight_decay = .01, .nesterov = true});
      optim::AdamW adam({q}, {.lr = .01, .weight_decay = .1});
      const Tensor g = randn({n}, {.generator = &generator});
      const Tensor h = randn({n}, {.dtype = f64, .generator = &generator});
      p.set_grad(g);
      q.set_grad(h);
      sgd.step();
      adam.step();
      const std::vector<double> p1 = values(p), q1 = values(q), gs = values(g), hs = values(h);
      for (std::size_t i = 0; i < p1.size(); ++i) {
        const double d = gs[i] + .01 * p0[i];
        if (!(std::abs(p1[i] - (p0[i] - .1 * 1.9 * d)) < 1e-6)) BOOST_FAIL("sgd, element " << i << " of " << n);
        const double m = .1 * hs[i], v = .001 * hs[i] * hs[i];
        const double expected = q0[i] * (1 - .001) - .01 / .1 * m / (std::sqrt(v) / std::sqrt(1 - .999) + 1e-8);
        if (!(std::abs(q1[i] - expected) < 1e-12)) BOOST_FAIL("adamw, element " << i << " of " << n);
      }
      results.push_back(p.detach());
      results.push_back(q.detach());
    }
    for (std::size_t i = 2; i < results.size(); ++i) BOOST_TEST(same_bits(results[i], results[i - 2]));
  }
  set_num_threads(threads);
}

BOOST_AUTO_TEST_CASE(a_step_is_seen_by_values_saved_for_backward) {
  const Tensor x = ones({2}, {.requires_grad = true});
  const Tensor y = x * x;
  optim::SGD sgd({x}, {.lr = .1});
  x.set_grad(ones({2}));
  sgd.step();
  BOOST_TEST(error<std::logic_error>([&] { y.backward({.gradient = ones({2})}); }).find("modified in place") !=
             std::string::npos);
}

// --- state

BOOST_AUTO_TEST_CASE(state_is_keyed_by_name_and_resumes_bit_for_bit) {
  manual_seed(4);
  const auto run = [](const nn::Linear& model, optim::Optimizer& optimizer, int from, int to) {
    for (int i = from; i < to; ++i) {
      Generator generator(static_cast<std::uint64_t>(i));
      for (const Tensor& p : model.parameters()) p.set_grad(randn(p.shape(), {.generator = &generator}));
      optimizer.step();
    }
  };
  const auto check = [&]<class O>(const auto& options) {
    const nn::Linear a{3, 2}, b{3, 2};
    NoGradGuard guard;
    for (std::size_t i = 0; i < 2; ++i) b.parameters()[i].set_data(a.parameters()[i].detach() * 1);
    O straight(a.named_parameters(), options), first(b.named_parameters(), options),
        second(b.named_parameters(), options);
    run(a, straight, 0, 6);
    run(b, first, 0, 3);
    const auto state = first.state();
    BOOST_TEST(state.count("weight.step") == 1U);
    BOOST_TEST(state.at("bias.step").template item<Index>() == 3);
    second.load_state(state);
    run(b, second, 3, 6);
    for (std::size_t i = 0; i < 2; ++i) BOOST_TEST(same_bits(a.parameters()[i], b.parameters()[i]));
  };
  check.operator()<optim::SGD>(optim::SGDOptions{.lr = .1, .momentum = .9, .nesterov = true});
  check.operator()<optim::AdamW>(optim::AdamWOptions{.lr = .1, .amsgrad = true});
}

BOOST_AUTO_TEST_CASE(a_state_that_does_not_fit_is_refused_with_a_list_and_changes_nothing) {
  const nn::Linear model{3, 2};
  optim::Adam adam(model.named_parameters());
  for (const Tensor& p : model.parameters()) p.set_grad(ones(p.shape()));
  adam.step();
  auto state = adam.state();
  state.erase("bias.exp_avg");
  state["weight.exp_avg_sq"] = zeros({7});
  state["other.step"] = full({}, 1, {.dtype = i64});
  BOOST_TEST(error<std::invalid_argument>([&] { adam.load_state(state); }) ==
             "load_state: the state must be this optimizer's\n"
             "  weight.exp_avg_sq: must be f32 [2, 3]; got f32 [7]\n"
             "  missing: bias.exp_avg\n"
             "  unexpected: other.step");
  BOOST_TEST(adam.state().at("weight.step").item<Index>() == 1);
  adam.load_state({});
  BOOST_TEST(adam.state().empty());
}

// --- clipping

BOOST_AUTO_TEST_CASE(clip_grad_norm_returns_the_norm_and_scales_only_what_is_longer) {
  const Tensor a = leaf({1}, f64), b = leaf({1}, f64), none = leaf({1}, f64);
  a.set_grad(full({1}, 3, {.dtype = f64}));
  b.set_grad(full({1}, 4, {.dtype = f64}));
  BOOST_TEST(optim::clip_grad_norm({a, b, none}, 10) == 5);
  BOOST_TEST(a.grad().item() == 3);
  BOOST_TEST(optim::clip_grad_norm({a, b, none}, 1) == 5);
  BOOST_TEST(all_close({a.grad().item(), b.grad().item()}, {.5999999, .7999998}, 0, 5e-8));
  BOOST_TEST(error<std::invalid_argument>([&] { optim::clip_grad_norm({a}, -1); }) ==
             "clip_grad_norm: max_norm must be at least 0; got -1");
  BOOST_TEST(optim::clip_grad_norm({none}, 1) == 0);
}

BOOST_AUTO_TEST_CASE(clip_grad_norm_refuses_a_norm_that_is_not_finite_and_changes_nothing) {
  const Tensor a = leaf({2});
  a.set_grad(tensor({1.0, std::numeric_limits<double>::infinity()}));
  BOOST_TEST(error<std::runtime_error>([&] { optim::clip_grad_norm({a}, 1); }) ==
             "clip_grad_norm: the norm of all gradients must be finite; got inf");
  BOOST_TEST(a.grad().to_vector<float>()[0] == 1);
  BOOST_TEST(std::isinf(optim::clip_grad_norm({a}, 1, {.error_if_nonfinite = false})));
  BOOST_TEST(a.grad().to_vector<float>()[0] == 0);
}

BOOST_AUTO_TEST_CASE(the_norm_has_the_same_bits_on_any_number_of_threads) {
  const int threads = num_threads();
  const Tensor a = leaf({200'003});
  Generator generator(6);
  a.set_grad(randn({200'003}, {.generator = &generator}));
  std::vector<double> norms;
  for (const int count : {1, 2, 3, 7}) {
    set_num_threads(count);
    norms.push_back(optim::clip_grad_norm({a}, 1e9));
  }
  set_num_threads(threads);
  for (const double norm : norms) BOOST_TEST(norm == norms[0]);
  double sum = 0;
  for (const double g : values(a.grad())) sum += g * g;
  BOOST_TEST(std::abs(norms[0] / std::sqrt(sum) - 1) < 1e-12);
}

BOOST_AUTO_TEST_CASE(clip_grad_value_clamps) {
  const Tensor a = leaf({3});
  a.set_grad(tensor({-5.0, .5, 2.0}));
  optim::clip_grad_value({a}, 1);
  BOOST_TEST(values(a.grad()) == (Doubles{-1, .5, 1}), boost::test_tools::per_element());
  BOOST_TEST(error<std::invalid_argument>([&] { optim::clip_grad_value({a}, -1); }) ==
             "clip_grad_value: limit must be at least 0; got -1");
}

// A filter is long beside its weights or it is not; each has a row of its own.
BOOST_AUTO_TEST_CASE(clip_grad_adaptive_shortens_the_rows_that_are_too_long_for_their_weights) {
  const Tensor w = tensor({{3.0, 4.0}, {0.0, 0.0}, {30.0, 40.0}}, {.dtype = f64, .requires_grad = true});
  const Tensor b = tensor({6.0, 8.0}, {.dtype = f64, .requires_grad = true}), none = leaf({2});
  w.set_grad(tensor({{6.0, 8.0}, {1.0, 0.0}, {0.3, 0.4}}, {.dtype = f64}));
  b.set_grad(tensor({1.0, 0.0}, {.dtype = f64}));
  optim::clip_grad_adaptive({w, b, none}, {.clip_factor = .1, .eps = .01});
  BOOST_TEST(all_close(w.grad(), Doubles{.3, .4, .001, 0, .3, .4}, 1e-14));
  BOOST_TEST(values(b.grad()) == (Doubles{1, 0}), boost::test_tools::per_element());

  const Tensor filters = ones({2, 3, 3, 2}, {.requires_grad = true});  // each of length sqrt(18)
  filters.set_grad(full({2, 3, 3, 2}, 5.0));
  optim::clip_grad_adaptive({filters});
  BOOST_TEST(all_close(filters.grad(), Doubles(36, .01), 1e-6));

  w.set_grad(full({3, 2}, std::numeric_limits<double>::quiet_NaN(), {.dtype = f64}));
  filters.set_grad(full({2, 3, 3, 2}, 5.0));
  BOOST_TEST(error<std::runtime_error>([&] {
               optim::clip_grad_adaptive({filters, w});
             }) == "clip_grad_adaptive: the norm of all gradients must be finite; got nan");
  BOOST_TEST(filters.grad().to_vector<float>()[0] == 5);
  BOOST_TEST(error<std::invalid_argument>([&] { optim::clip_grad_adaptive({w}, {.clip_factor = -1}); }) ==
             "clip_grad_adaptive: clip_factor must be at least 0; got -1");
  BOOST_TEST(error<std::invalid_argument>([&] { optim::clip_grad_adaptive({w}, {.eps = -1}); }) ==
             "clip_grad_adaptive: eps must be at least 0; got -1");
}

// --- groups and batches

BOOST_AUTO_TEST_CASE(parameters_are_split_by_what_they_are) {
  const nn::Linear model{3, 2};
  const auto [weights, others] = optim::split_parameters(model.named_parameters(), optim::is_weight);
  BOOST_TEST(weights.size() == 1U);
  BOOST_TEST(weights[0].name == "weight");
  BOOST_TEST(others[0].name == "bias");
  optim::SGD sgd({{weights, {.lr = 1, .weight_decay = 1}}, {others, {.lr = 1}}});
  const Doubles bias = values(model.bias());
  for (const Tensor& p : model.parameters()) p.set_grad(zeros(p.shape()));
  sgd.step();
  BOOST_TEST(values(model.weight()) == Doubles(6, 0), boost::test_tools::per_element());
  BOOST_TEST(values(model.bias()) == bias, boost::test_tools::per_element());
  BOOST_TEST(sgd.parameters(1).list()[0].name == "bias");
  const auto by_name = optim::split_parameters(model.named_parameters(),
                                               [](const nn::NamedTensor& x) { return x.name.ends_with("bias"); });
  BOOST_TEST(by_name.chosen.size() == 1U);
}

// The loss of each part is a mean: divided by the number of parts, their gradients add up to that of the whole batch.
BOOST_AUTO_TEST_CASE(gradients_of_parts_of_a_batch_add_up_to_those_of_the_batch) {
  manual_seed(2);
  const nn::Sequential whole{nn::Linear{4, 8}, nn::ReLU{}, nn::Linear{8, 3}}, parts = nn::clone(whole);
  const Tensor x = randn({12, 4}), labels = randint(0, 3, {12});
  optim::SGD sgd_whole(whole.parameters(), {.lr = .1, .momentum = .9}),
      sgd_parts(parts.parameters(), {.lr = .1, .momentum = .9});
  for (int step = 0; step < 3; ++step) {
    sgd_whole.zero_grad();
    cross_entropy(whole(x), labels).backward();
    sgd_whole.step();

    sgd_parts.zero_grad();
    for (Index k = 0; k < 4; ++k) {
      const SliceOptions part{.begin = 3 * k, .end = 3 * (k + 1)};
      (cross_entropy(parts(slice(x, part)), slice(labels, part)) / 4).backward();
    }
    sgd_parts.step();
    for (std::size_t i = 0; i < whole.parameters().size(); ++i) {
      BOOST_TEST(all_close(parts.parameters()[i], whole.parameters()[i], 1e-5, 1e-6));
    }
  }
}

BOOST_AUTO_TEST_SUITE_END()
