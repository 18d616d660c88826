#include <support/expect.h>

#include <limits>

#include <tapestry/autograd/backward.h>
#include <tapestry/autograd/grad_mode.h>
#include <tapestry/autograd/random.h>
#include <tapestry/nn/linear.h>
#include <tapestry/nn/optim/lbfgs.h>
#include <tapestry/ops/binary.h>
#include <tapestry/ops/loss.h>
#include <tapestry/ops/matmul.h>
#include <tapestry/ops/reduce.h>
#include <tapestry/ops/shape_ops.h>
#include <tapestry/ops/unary.h>

using namespace tapestry;
using namespace tapestry::test;

BOOST_AUTO_TEST_SUITE(lbfgs_test)

namespace {

using Doubles = std::vector<double>;
using Invalid = std::invalid_argument;
using optim::LBFGS;
using optim::LBFGSOptions;
using optim::LineSearch;

/// A valley that bends, coupled with two more numbers.
struct Problem {
  explicit Problem(double scale = 1, Dtype dtype = f64)
      : x(tensor({-1.2 * scale, 1.0 * scale, .5 * scale, .8 * scale}, {.dtype = dtype, .requires_grad = true})),
        y(tensor({{.3, -.2}}, {.dtype = dtype, .requires_grad = true})) {}

  [[nodiscard]] Tensor loss() const {
    const Tensor a = slice(x, {.end = 3}), b = slice(x, {.begin = 1});
    const Tensor valley = sum(100 * square(b - a * a) + square(1 - a));
    return valley + sum(square(y - 1)) * 3 + square(sum(y) * sum(x)) * .1;
  }

  Tensor step(LBFGS& optimizer) {
    return optimizer.step([&] {
      ++calls;
      optimizer.zero_grad();
      const Tensor l = loss();
      l.backward();
      return l;
    });
  }

  [[nodiscard]] Doubles all() const {
    Doubles out = values(x);
    for (const double v : values(y)) out.push_back(v);
    return out;
  }

  Tensor x, y;
  int calls = 0;
};

}  // namespace

// Oracle: LibTorch 1.13, torch::optim::LBFGS(options).step(closure) on the same problem in f64: the loss that each
// step returned, how often all of them called the closure, and where the last one ended.
BOOST_AUTO_TEST_CASE(steps_are_pytorchs_with_and_without_a_line_search) {
  struct Case {
    LBFGSOptions options;
    double scale;
    Doubles losses;
    int calls;
    Doubles end;
  };
  const std::vector<Case> cases{
      {{.lr = .1, .max_iter = 5},
       1,
       {85.49121, 31.39736118688, 16.13453341696, 11.32840218599, 9.481986351528, 8.604213771209},
       30,
       {-.9676045178178, .9457195419226, .8984648943036, .8072361105122, .4117657941236, -.005697043770083}},
      {{.lr = .05, .max_iter = 4, .history_size = 2},
       1,
       {85.49121, 56.30027156481, 36.23002345317, 25.06784150983, 18.61221497756, 14.58931910312},
       24,
       {-1.073089429607, 1.045371207267, .9809048985437, 1.03153580489, .3661603113792, -.08515292416777}},
      {{.max_iter = 4, .line_search_fn = LineSearch::strong_wolfe},
       1,
       {85.49121, 9.20887518143, 5.255827796028, 4.329975723566, 4.01004810949, 3.859495525066, 3.751903230852,
        3.717267618757},
       40,
       {-.669110399432, .4596628908837, .2178833474466, .04675612746232, 1.000477533603, 1.006219105999}},
      {{.line_search_fn = LineSearch::strong_wolfe},
       1,
       {85.49121, 3.790719506517, 3.593401533754, 1.696661930188},
       79,
       {.7054154083429, .4987498826171, .2494326014548, .05766368568266, .8678574151291, .8678610569738}},
      {{.lr = .5, .max_iter = 6, .history_size = 3, .line_search_fn = LineSearch::strong_wolfe},
       3,
       {15578.62089, 356.5107251524, 11.66036203442, 9.914634887962, 8.376145753458, 8.245789274664},
       42,
       {-1.097105104717, 1.212169934267, 1.477103063398, 2.187025246583, .5612496825698, .8079292630754}}};
  for (const Case& c : cases) {
    Problem p(c.scale);
    LBFGS optimizer({p.x, p.y}, c.options);
    Doubles losses;
    for (std::size_t i = 0; i < c.losses.size(); ++i) losses.push_back(p.step(optimizer).item());
    BOOST_TEST(all_close(losses, c.losses, 1e-9));
    BOOST_TEST(p.calls == c.calls);
    BOOST_TEST(all_close(p.all(), c.end, 1e-8, 1e-9));
  }
}

BOOST_AUTO_TEST_CASE(a_quadratic_is_solved_to_the_last_digits) {
  const Tensor x = full({5}, 3, {.dtype = f64, .requires_grad = true});
  const Tensor curvature = tensor({1.0, 10.0, 100.0, 3.0, .5}, {.dtype = f64});
  const Tensor goal = tensor({1.0, -2.0, .25, 4.0, 7.0}, {.dtype = f64});
  LBFGS optimizer(
      {x},
      {.max_iter = 100, .tolerance_grad = 1e-12, .tolerance_change = 0, .line_search_fn = LineSearch::strong_wolfe});
  optimizer.step([&] {
    optimizer.zero_grad();
    const Tensor l = sum(curvature * square(x - goal));
    l.backward();
    return l;
  });
  BOOST_TEST(all_close(x, goal, 1e-10));
}

BOOST_AUTO_TEST_CASE(the_state_resumes_bit_for_bit) {
  for (const LineSearch search : {LineSearch::none, LineSearch::strong_wolfe}) {
    const LBFGSOptions options{
        .lr = search == LineSearch::none ? .05 : 1, .max_iter = 4, .history_size = 3, .line_search_fn = search};
    Problem a, b;
    LBFGS straight({a.x, a.y}, options), first({b.x, b.y}, options), second({b.x, b.y}, options);
    for (int i = 0; i < 5; ++i) a.step(straight);
    BOOST_TEST(first.state().empty());
    for (int i = 0; i < 2; ++i) b.step(first);
    const auto state = first.state();
    BOOST_TEST(state.at("0.n_iter").item<Index>() == 8);
    BOOST_TEST(state.at("0.func_evals").item<Index>() == b.calls);
    BOOST_TEST(state.at("0.old_dirs").shape() == (Shape{3, 6}));
    second.load_state(state);
    for (int i = 0; i < 3; ++i) b.step(second);
    BOOST_TEST(same_bits(a.x, b.x));
    BOOST_TEST(same_bits(a.y, b.y));
  }
}

BOOST_AUTO_TEST_CASE(a_state_that_does_not_fit_is_refused_with_a_list_and_changes_nothing) {
  Problem p;
  const LBFGSOptions options{.lr = .05, .max_iter = 4, .history_size = 2};
  LBFGS optimizer({p.x, p.y}, options);
  p.step(optimizer);
  auto state = optimizer.state();
  state.erase("0.d");
  state["0.t"] = zeros({2});
  state["0.ro"] = ones({3}, {.dtype = f64});
  state["1.step"] = full({}, 1, {.dtype = i64});
  BOOST_TEST(error<Invalid>([&] { optimizer.load_state(state); }) ==
             "load_state: the state must be this optimizer's\n"
             "  0.t: must be f64 []; got f32 [2]\n"
             "  missing: 0.d\n"
             "  0.old_dirs: must be at most history_size = 2 changes; got 3\n"
             "  0.old_dirs: must be f64 [3, 6]; got f64 [2, 6]\n"
             "  0.old_stps: must be f64 [3, 6]; got f64 [2, 6]\n"
             "  unexpected: 1.step");
  BOOST_TEST(optimizer.state().at("0.n_iter").item<Index>() == 4);
  optimizer.load_state({});
  BOOST_TEST(optimizer.state().empty());
}

BOOST_AUTO_TEST_CASE(a_parameter_without_a_gradient_counts_as_zeros_and_stays) {
  Problem p;
  const Tensor other = ones({3}, {.dtype = f64, .requires_grad = true});
  LBFGS optimizer({p.x, other, p.y}, {.lr = .05, .max_iter = 3});
  p.step(optimizer);
  BOOST_TEST(values(other) == (Doubles{1, 1, 1}), boost::test_tools::per_element());
  Problem q;
  LBFGS same({q.x, q.y}, {.lr = .05, .max_iter = 3});
  q.step(same);
  BOOST_TEST(all_close(p.all(), q.all(), 1e-12));
}

BOOST_AUTO_TEST_CASE(f32_ends_where_f64_does) {
  Problem wide(1, f64), narrow(1, f32);
  const LBFGSOptions options{.line_search_fn = LineSearch::strong_wolfe};
  LBFGS a({wide.x, wide.y}, options), b({narrow.x, narrow.y}, options);
  for (int i = 0; i < 8; ++i) {
    wide.step(a);
    narrow.step(b);
  }
  BOOST_TEST(all_close(narrow.all(), wide.all(), 0, 2e-2));
  BOOST_TEST(std::abs(narrow.loss().item() - wide.loss().item()) < 1e-5);
}

BOOST_AUTO_TEST_CASE(the_closure_is_called_with_recording_on_and_the_step_returns_its_first_loss) {
  Problem p;
  const double before = p.loss().item();
  LBFGS optimizer({p.x, p.y}, {.lr = .01, .max_iter = 2});
  const NoGradGuard guard;
  BOOST_TEST(p.step(optimizer).item() == before);
  BOOST_TEST(!is_grad_enabled());
}

BOOST_AUTO_TEST_CASE(what_goes_wrong_within_a_step_leaves_parameters_and_memory_as_they_were) {
  for (const LineSearch search : {LineSearch::none, LineSearch::strong_wolfe}) {
    Problem p;
    LBFGS optimizer({p.x, p.y}, {.lr = .01, .max_iter = 5, .line_search_fn = search});
    p.step(optimizer);
    const Doubles before = p.all();
    const auto memory = optimizer.state();
    int calls = 0;
    const auto faulty = [&](int at, auto fault) {
      calls = 0;
      return [&optimizer, &p, &calls, at, fault]() -> Tensor {
        optimizer.zero_grad();
        Tensor l = p.loss();
        l.backward();
        if (++calls == at) return fault(l);
        return l;
      };
    };
    const auto throws = [](const Tensor&) -> Tensor { throw std::runtime_error("no more"); };
    BOOST_TEST(error<std::runtime_error>([&] { optimizer.step(faulty(3, throws)); }) == "no more");
    BOOST_TEST(p.all() == before, boost::test_tools::per_element());
    const auto nan = [](const Tensor&) { return scalar(std::nan(""), {.dtype = f64}); };
    BOOST_TEST(error<std::runtime_error>([&] {
                 optimizer.step(faulty(1, nan));
               }).starts_with("LBFGS: the loss and its gradient must be finite; got a loss of nan and a largest"));
    BOOST_TEST(p.all() == before, boost::test_tools::per_element());
    const auto two = [](const Tensor&) { return zeros({2}); };
    BOOST_TEST(error<Invalid>([&] { optimizer.step(faulty(2, two)); }) ==
               "LBFGS: the closure must return the loss, one number; got [2]");
    BOOST_TEST(p.all() == before, boost::test_tools::per_element());
    BOOST_TEST(same_bits(optimizer.state().at("0.d"), memory.at("0.d")));
    BOOST_TEST(optimizer.state().at("0.n_iter").item<Index>() == memory.at("0.n_iter").item<Index>());
  }
}

BOOST_AUTO_TEST_CASE(a_search_steps_back_from_where_the_loss_is_no_number) {
  const Tensor x = full({1}, 1, {.dtype = f64, .requires_grad = true});
  LBFGS optimizer({x}, {.lr = 100, .line_search_fn = LineSearch::strong_wolfe});
  optimizer.step([&] {
    optimizer.zero_grad();
    const Tensor l = sum(x - log(x)) * 5;  // not a number below 0, least at 1
    l.backward();
    return l;
  });
  BOOST_TEST(x.item() == 1);
  {
    const NoGradGuard guard;
    *Tensor(x).mutable_data<double>() = 4;
  }
  for (int i = 0; i < 5; ++i) {
    optimizer.step([&] {
      optimizer.zero_grad();
      const Tensor l = sum(x - log(x)) * 5;
      l.backward();
      return l;
    });
  }
  BOOST_TEST(std::abs(x.item() - 1) < 1e-5);
}

BOOST_AUTO_TEST_CASE(senseless_options_and_calls_are_refused) {
  const Tensor x = zeros({2}, {.requires_grad = true}), wide = zeros({2}, {.dtype = f64, .requires_grad = true});
  const auto refused = [&](const LBFGSOptions& o) { return error<Invalid>([&] { LBFGS({x}, o); }); };
  BOOST_TEST(refused({.lr = -1}) == "LBFGS: lr must be at least 0; got -1");
  BOOST_TEST(refused({.max_iter = 0}) == "LBFGS: max_iter must be at least 1; got 0");
  BOOST_TEST(refused({.max_eval = 0}) == "LBFGS: max_eval must be at least 1; got 0");
  BOOST_TEST(refused({.tolerance_grad = -1}) == "LBFGS: tolerance_grad must be at least 0; got -1");
  BOOST_TEST(refused({.tolerance_change = -1}) == "LBFGS: tolerance_change must be at least 0; got -1");
  BOOST_TEST(refused({.history_size = 0}) == "LBFGS: history_size must be at least 1; got 0");
  BOOST_TEST(error<Invalid>([&] {
               LBFGS({x, wide});
             }) == "LBFGS: all parameters must have the same dtype; 0 is f32, 1 is f64");
  LBFGS optimizer({x});
  BOOST_TEST(error<std::logic_error>([&] { optimizer.step(); }) ==
             "LBFGS: a step must be given a closure, which computes loss and gradients anew; got none");
  BOOST_TEST(error<std::logic_error>([&] { optimizer.step([&] { return sum(x); }); }) ==
             "LBFGS: the closure must call backward(); no parameter has a gradient");
  BOOST_TEST(error<Invalid>([&] { optimizer.set_momentum(.9); }) == "LBFGS: there is no momentum to set; got 0.9");
  const std::vector<std::pair<std::string, std::string>> settings{
      {"optimizer", "LBFGS"},         {"max_iter", "20"},
      {"max_eval", "max_iter 5 / 4"}, {"tolerance_grad", "1e-07"},
      {"tolerance_change", "1e-09"},  {"history_size", "100"},
      {"line_search_fn", "none"}};
  BOOST_TEST((optimizer.settings() == settings));
}

BOOST_AUTO_TEST_CASE(a_small_regression_is_fitted) {
  manual_seed(5);
  const nn::Linear model{3, 1};
  const Tensor x = randn({20, 3}), y = linear(x, tensor({{1.F, -2.F, .5F}}), tensor({.25F}));
  LBFGS optimizer(model.parameters(), {.line_search_fn = LineSearch::strong_wolfe});
  for (int i = 0; i < 3; ++i) {
    optimizer.step([&] {
      optimizer.zero_grad();
      const Tensor loss = mse_loss(model(x), y);
      loss.backward();
      return loss;
    });
  }
  BOOST_TEST(all_close(model.weight(), Doubles{1, -2, .5}, 0, 1e-4));
  BOOST_TEST(all_close(model.bias(), Doubles{.25}, 0, 1e-4));
}

BOOST_AUTO_TEST_SUITE_END()
