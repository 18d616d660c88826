#include <support/expect.h>
#include <support/live.h>
#include <support/small_stack.h>

#include <functional>
#include <memory>
#include <stdexcept>

#include <tapestry/autograd/backward.h>
#include <tapestry/autograd/grad_mode.h>
#include <tapestry/autograd/memory/allocator.h>
#include <tapestry/autograd/random.h>
#include <tapestry/autograd/record.h>
#include <tapestry/ops/binary.h>
#include <tapestry/ops/reduce.h>
#include <tapestry/ops/shape_ops.h>
#include <tapestry/ops/unary.h>

BOOST_AUTO_TEST_SUITE(backward_test)

using namespace tapestry;
using namespace tapestry::test;

namespace {

Tensor leaf(std::initializer_list<double> v) { return tensor(v, {.dtype = f64, .requires_grad = true}); }
Tensor leaf(double v) { return scalar(v, {.dtype = f64, .requires_grad = true}); }
std::vector<double> list(std::initializer_list<double> v) { return v; }

/// An op with any rule: y = x.
Tensor identity(const char* name, const Tensor& x, const std::function<Tensor(const Tensor&)>& rule) {
  Tensor y = tensor(x.to_vector<double>(), x.shape(), {.dtype = f64});
  return record(name, std::move(y), wrt(x, rule));
}

}  // namespace

// --- 1: what backward needs, and accumulation

BOOST_AUTO_TEST_CASE(gradients_accumulate_until_they_are_cleared) {
  const Tensor x = leaf(3);
  (x * x).backward();
  BOOST_TEST(x.grad().item() == 6);
  (x * x).backward();
  BOOST_TEST(x.grad().item() == 12);
  x.zero_grad();
  BOOST_TEST(!x.grad().defined());
}

BOOST_AUTO_TEST_CASE(backward_from_several_elements_needs_a_seed_of_equal_shape_and_dtype) {
  const Tensor x = leaf({1, 2});
  const Tensor y = x * x;
  BOOST_TEST(error<std::invalid_argument>([&] { y.backward(); }) ==
             "backward: a tensor of several elements needs a gradient to start from; got shape [2] and none");
  BOOST_TEST(error<std::invalid_argument>([&] { y.backward({.gradient = ones({3}, {.dtype = f64})}); }) ==
             "backward: the gradient must have the shape and dtype of the tensor, f64 [2]; got f64 [3]");
  BOOST_TEST(error<std::invalid_argument>([&] { y.backward({.gradient = ones({2})}); }) ==
             "backward: the gradient must have the shape and dtype of the tensor, f64 [2]; got f32 [2]");
  BOOST_TEST(!x.grad().defined());
  y.backward({.gradient = tensor({1., 10.}, {.dtype = f64})});
  BOOST_TEST(values(x.grad()) == list({2, 40}));
}

BOOST_AUTO_TEST_CASE(backward_of_a_constant_is_an_error) {
  BOOST_TEST(error<std::invalid_argument>([] { ones({}).backward(); }) ==
             "backward: the tensor must require grad; it was computed from none that does, or under no_grad");
}

BOOST_AUTO_TEST_CASE(gradients_of_different_leaves_never_share_storage) {
  const Tensor a = leaf({1, 2});
  const Tensor b = leaf({3, 4});
  sum(a + b).backward();
  Tensor ga = a.grad();
  ga.mutable_data<double>()[0] = 99;
  BOOST_TEST(values(b.grad()) == list({1, 1}));
  const Tensor x = leaf({1, 2});
  const Tensor seed = tensor({5., 6.}, {.dtype = f64});
  (x + x).backward({.gradient = seed});
  BOOST_TEST(values(x.grad()) == list({10, 12}));
  BOOST_TEST(values(seed) == list({5, 6}));
  x.zero_grad();
  x.backward({.gradient = seed});  // the seed reaches a leaf directly
  Tensor gx = x.grad();
  gx.mutable_data<double>()[0] = 99;
  BOOST_TEST(values(seed) == list({5, 6}));
}

// --- 2: playing twice

BOOST_AUTO_TEST_CASE(a_second_backward_throws_unless_the_graph_was_retained) {
  const Tensor x = leaf({1, 2});
  const Tensor y = sum(x * x);
  y.backward({.retain_graph = true});
  const Tensor first = tensor(x.grad().to_vector<double>(), {2}, {.dtype = f64});
  x.zero_grad();
  y.backward();
  BOOST_TEST(same_bits(x.grad(), first));
  BOOST_TEST(error<std::logic_error>([&] { y.backward(); }) ==
             "backward: what sum recorded has been played and released; pass .retain_graph = true the first time to "
             "play it again");
  const Tensor nothing_saved = x + x;
  nothing_saved.backward({.gradient = ones({2}, {.dtype = f64})});
  BOOST_CHECK_THROW(nothing_saved.backward({.gradient = ones({2}, {.dtype = f64})}), std::logic_error);
  const Tensor z = sum(x * x);
  z.backward({.create_graph = true});
  BOOST_CHECK_NO_THROW(z.backward());
  x.zero_grad();  // the gradient made by create_graph holds its graph, which holds x
}

BOOST_AUTO_TEST_CASE(a_part_that_was_released_through_another_output_cannot_be_played) {
  const Tensor x = leaf(2);
  const Tensor shared = x * x;
  const Tensor a = shared * 3;
  const Tensor b = shared * 4;
  a.backward();
  BOOST_CHECK_THROW(b.backward(), std::logic_error);
}

// --- 3: grad

BOOST_AUTO_TEST_CASE(grad_leaves_the_gradients_of_leaves_alone) {
  const Tensor x = leaf(3);
  const Tensor y = x * x;
  BOOST_TEST(grad(y * y, x).item() == 108);
  BOOST_TEST(!x.grad().defined());
}

BOOST_AUTO_TEST_CASE(grad_reaches_results_as_well_as_leaves) {
  const Tensor x = leaf(3);
  const Tensor y = x * x;
  const Tensor z = y * x;
  const std::vector<Tensor> g = grad({z}, {x, y, z});
  BOOST_TEST(g[0].item() == 27);
  BOOST_TEST(g[1].item() == 3);
  BOOST_TEST(g[2].item() == 1);
  BOOST_TEST(grad(x, x).item() == 1);
}

BOOST_AUTO_TEST_CASE(an_input_that_is_not_reached_is_an_error_or_undefined) {
  const Tensor x = leaf(1);
  const Tensor other = leaf(1);
  BOOST_TEST(error<std::invalid_argument>([&] {
               (void)grad({x * 2}, {x, other});
             }) ==
             "grad: every input must be reached from the outputs; input 1 is not (.allow_unused = true makes its "
             "gradient undefined)");
  const std::vector<Tensor> g = grad({x * 2}, {x, other}, {.allow_unused = true});
  BOOST_TEST(g[0].item() == 2);
  BOOST_TEST(!g[1].defined());
  BOOST_TEST(error<std::invalid_argument>([&] { (void)grad(x * 2, ones({})); }) ==
             "grad: every input must require grad; input 0 does not");
  BOOST_TEST(error<std::invalid_argument>([&] {
               (void)grad({x * 2}, {x}, {.grad_outputs = {x, x}});
             }) == "grad: grad_outputs must be one per output, 1; got 2");
}

BOOST_AUTO_TEST_CASE(grad_of_several_outputs_adds_them_up) {
  const Tensor x = leaf(3);
  const Tensor a = x * x;
  const Tensor b = a * x;
  BOOST_TEST(grad({a, b}, {x}, {.retain_graph = true})[0].item() == 33);
  BOOST_TEST(grad({b, a, ones({}, {.dtype = f64})}, {x})[0].item() == 33);
}

// --- 4: undefined gradients

BOOST_AUTO_TEST_CASE(a_rule_may_return_nothing_and_what_it_reaches_has_zeros) {
  const auto stop = [](const Tensor& x) { return identity("stop", x, [](const Tensor&) { return Tensor(); }); };
  const Tensor x = leaf(3), y = leaf(4);
  stop(x * x * y).backward();
  BOOST_TEST(x.grad().item() == 0);
  BOOST_TEST(y.grad().item() == 0);
  BOOST_TEST(grad(stop(x * 2), x).item() == 0);
  BOOST_TEST(grad(stop(x * 2), x, {.create_graph = true}).item() == 0);
  // Beside a way with a gradient it adds nothing, whichever is played first.
  BOOST_TEST(grad(stop(x * 2) + 5 * x, x).item() == 5);
  BOOST_TEST(grad(5 * x + stop(x * 2), x).item() == 5);
  // Zeros are not played through the rules behind: an infinite factor does not make NaN of them.
  BOOST_TEST(grad(stop(sqrt(x - 3)), x).item() == 0);
  // What is not behind it at all is still not reached.
  BOOST_TEST(error<std::invalid_argument>([&] {
               (void)grad({stop(x)}, {x, y});
             }) ==
             "grad: every input must be reached from the outputs; input 1 is not (.allow_unused = true makes its "
             "gradient undefined)");
}

// --- 5: order

BOOST_AUTO_TEST_CASE(a_node_plays_once_with_all_contributions) {
  const Tensor x = leaf(3);
  int calls = 0;
  const Tensor a = identity("counted", x * 2, [&](const Tensor& dy) {
    ++calls;
    return dy;
  });
  const Tensor y = a * a + a;
  BOOST_TEST(grad(y, x).item() == 26);
  BOOST_TEST(calls == 1);
}

BOOST_AUTO_TEST_CASE(doubling_a_tensor_thirty_times_takes_thirty_nodes) {
  const Tensor x = leaf(1);
  Tensor y = x;
  for (int i = 0; i < 30; ++i) y = y + y;
  y.backward();
  BOOST_TEST(x.grad().item() == std::ldexp(1.0, 30));
}

BOOST_AUTO_TEST_CASE(a_random_graph_has_the_gradient_of_forward_accumulation) {
  Generator generator(5);
  const Tensor x = leaf(1);
  std::vector<Tensor> nodes{x};
  std::vector<double> slopes{1};  // every node is its slope times x
  for (int i = 0; i < 2000; ++i) {
    const auto pick = [&] {
      const auto low = static_cast<std::int64_t>(nodes.size() > 20 ? nodes.size() - 20 : 0);
      return static_cast<std::size_t>(generator.randint(low, static_cast<std::int64_t>(nodes.size())));
    };
    const std::size_t a = pick();
    const std::size_t b = pick();
    nodes.push_back((nodes[a] + nodes[b]) * 0.5);
    slopes.push_back((slopes[a] + slopes[b]) * 0.5);
  }
  Tensor y = nodes.back() + nodes[100] + nodes[1000];
  y.backward();
  BOOST_TEST(x.grad().item() == slopes.back() + slopes[100] + slopes[1000], boost::test_tools::tolerance(1e-12));
}

BOOST_AUTO_TEST_CASE(a_million_ops_are_built_played_and_dropped_on_a_stack_of_256_kib) {
  const Live before;
  double gradient = 0;
  on_a_small_stack([&] {
    const Tensor x = leaf(1);
    Tensor y = x;
    for (int i = 0; i < 1'000'000; ++i) y = y + x;
    y.backward();
    gradient = x.grad().item();
  });
  BOOST_TEST(gradient == 1'000'001);
  on_a_small_stack([&] {  // dropped without having been played
    Tensor y = leaf(1);
    for (int i = 0; i < 1'000'000; ++i) y = -y;
  });
  on_a_small_stack([&] {  // dropped by an exception while it is being built
    try {
      Tensor y = leaf({1, 2});
      for (int i = 0; i < 300'000; ++i) y = y * 0.5;
      y = y + ones({3}, {.dtype = f64});
      BOOST_ERROR("no error");
    } catch (const std::invalid_argument&) {
    }
  });
  BOOST_TEST(Live() == before);
}

// --- 6: grad mode

BOOST_AUTO_TEST_CASE(guards_nest_and_exceptions_restore_them) {
  BOOST_TEST(is_grad_enabled());
  {
    const NoGradGuard off;
    BOOST_TEST(!is_grad_enabled());
    try {
      const EnableGradGuard on;
      BOOST_TEST(is_grad_enabled());
      throw std::runtime_error("out");
    } catch (const std::runtime_error&) {
    }
    BOOST_TEST(!is_grad_enabled());
  }
  BOOST_TEST(is_grad_enabled());
}

BOOST_AUTO_TEST_CASE(an_unrecorded_result_is_a_constant) {
  const Tensor x = leaf(2);
  const Tensor product = no_grad([&] { return x * x; });
  BOOST_TEST(!product.requires_grad());
  BOOST_TEST(grad(x * product, x).item() == 4);
}

BOOST_AUTO_TEST_CASE(nothing_is_kept_while_nothing_is_recorded) {
  const Tensor x = leaf({1, 2});
  const std::int64_t nodes = memory_stats().live_nodes;
  const NoGradGuard off;
  const Tensor y = exp(x * x);
  BOOST_TEST(memory_stats().live_nodes == nodes);
}

// --- 8: exceptions in rules

BOOST_AUTO_TEST_CASE(an_exception_in_a_rule_passes_unchanged_and_leaves_all_else_usable) {
  struct Mine : std::exception {};
  const Live before;
  {
    const Tensor x = leaf(2);
    const Tensor early = leaf(3);
    const Tensor bad = identity("bad", x, [](const Tensor&) -> Tensor { throw Mine(); });
    const Tensor y = bad + early * 5;
    BOOST_CHECK_THROW(y.backward(), Mine);
    BOOST_TEST(is_grad_enabled());
    BOOST_TEST(!CallSite::current().file);
    BOOST_TEST(!x.grad().defined());
    BOOST_CHECK_THROW(y.backward(), std::logic_error);
    BOOST_TEST(grad(x * x, x).item() == 4);
  }
  BOOST_TEST(Live() == before);
}

BOOST_AUTO_TEST_CASE(leaves_played_before_an_exception_keep_what_they_received) {
  const Tensor x = leaf(2);
  const Tensor bad = identity("bad", x, [](const Tensor&) -> Tensor { throw std::runtime_error("no"); });
  const Tensor late = leaf(3);  // later on the tape than `bad`: played first
  const Tensor y = late * 5 + bad;
  BOOST_CHECK_THROW(y.backward(), std::runtime_error);
  BOOST_TEST(late.grad().item() == 5);
}

// --- 9: backward inside a rule

BOOST_AUTO_TEST_CASE(a_rule_may_play_another_graph) {
  const Tensor x = leaf(3);
  const Tensor w = leaf(2);
  const Tensor y = identity("nested", x, [&](const Tensor& dy) {
    const EnableGradGuard on;
    (w * w * w).backward();
    return dy;
  });
  (y * y).backward();
  BOOST_TEST(w.grad().item() == 12);
  BOOST_TEST(x.grad().item() == 6);
}

BOOST_AUTO_TEST_CASE(a_rule_cannot_play_the_node_it_belongs_to) {
  const Tensor x = leaf(3);
  Tensor y;
  y = identity("again", x, [&](const Tensor& dy) {
    y.backward({.gradient = dy});
    return dy;
  });
  BOOST_TEST(error<std::logic_error>([&] { y.backward(); }) ==
             "backward: again is being played already, by a sweep that called this one");
}

// --- 10: saved tensors

BOOST_AUTO_TEST_CASE(a_saved_tensor_that_was_written_since_is_refused_by_name_and_version) {
  const std::string text = "mul: an input saved for backward was modified in place (saved at version 1, now 2)";
  const auto modified_through = [&](const std::function<Tensor(const Tensor&)>& handle_of) {
    const Tensor x = leaf({1, 2, 3, 4});
    const Tensor y = sum(x * x);
    Tensor handle = handle_of(x);
    {
      const NoGradGuard off;
      handle.mutable_data<double>()[0] = 7;
    }
    return error<std::logic_error>([&] { y.backward(); });
  };
  BOOST_TEST(modified_through([](const Tensor& x) { return x; }) == text);
  BOOST_TEST(modified_through([](const Tensor& x) { return x.detach(); }) == text);
  BOOST_TEST(modified_through([](const Tensor& x) { return no_grad([&] { return reshape(x, {2, 2}); }); }) == text);
  BOOST_TEST(modified_through([](const Tensor& x) { return detail::alias(x, {2}, 8); }) == text);
}

BOOST_AUTO_TEST_CASE(a_saved_output_that_was_written_since_is_refused) {
  const Tensor x = leaf({1, 2});
  const Tensor y = exp(x);
  Tensor handle = y.detach();
  handle.mutable_data<double>()[0] = 7;
  BOOST_CHECK_THROW(sum(y).backward(), std::logic_error);
}

BOOST_AUTO_TEST_CASE(what_the_rules_do_not_need_may_be_written) {
  const Tensor x = leaf({1, 2});
  const Tensor y = sum(x + x);
  {
    const NoGradGuard off;
    Tensor handle = x;
    handle.mutable_data<double>()[0] = 7;
  }
  BOOST_CHECK_NO_THROW(y.backward());
}

// --- 11: shapes of gradients

BOOST_AUTO_TEST_CASE(a_rule_must_return_the_shape_and_dtype_of_its_input) {
  const Tensor x = leaf({1, 2});
  const auto message = [&](const Tensor& gradient) {
    const Tensor y = identity("mine", x, [&](const Tensor&) { return gradient; });
    return error<std::logic_error>([&] { y.backward({.gradient = ones({2}, {.dtype = f64})}); });
  };
  BOOST_TEST(message(ones({3}, {.dtype = f64})) ==
             "mine: its rule must return a gradient of the input's shape and dtype, f64 [2]; got f64 [3]");
  BOOST_TEST(message(ones({2})) ==
             "mine: its rule must return a gradient of the input's shape and dtype, f64 [2]; got f32 [2]");
}

BOOST_AUTO_TEST_CASE(an_error_in_a_rule_names_the_line_where_the_op_was_recorded_and_the_one_that_plays) {
  const Tensor x = leaf({1, 2});
  const int line = __LINE__ + 1;
  const Tensor y = record("here", ones({2}, {.dtype = f64}), wrt(x, [](const Tensor&) { return ones({5}); }));
  const int playing = __LINE__ + 2;
  try {
    y.backward({.gradient = ones({2}, {.dtype = f64})});
    BOOST_ERROR("no error");
  } catch (const std::logic_error& e) {
    const std::string text = e.what();
    BOOST_TEST(text.substr(text.find('\n')) ==
               "\n  at backward_test.cpp:" + std::to_string(line) +
                   "\n  in the backward pass of backward_test.cpp:" + std::to_string(playing));
  }
}

// --- 12, 13: gradients of gradients

BOOST_AUTO_TEST_CASE(a_rule_that_leaves_the_graph_is_refused_while_one_is_created) {
  const Tensor x = leaf({1, 2});
  const auto f = [&] {
    return identity("outside", x, [](const Tensor& dy) { return tensor(dy.to_vector<double>(), {2}, {.dtype = f64}); });
  };
  BOOST_CHECK_NO_THROW((void)grad(sum(f()), x));
  BOOST_TEST(error<std::logic_error>([&] { (void)grad(sum(f()), x, {.create_graph = true}); }) ==
             "outside: its gradient is not differentiable: the rule returned a tensor that does not depend on dy");
}

BOOST_AUTO_TEST_CASE(a_cube_has_three_derivatives) {
  const Tensor x = leaf(2);
  const Tensor first = grad(x * x * x, x, {.create_graph = true});
  const Tensor second = grad(first, x, {.create_graph = true});
  const Tensor third = grad(second, x);
  BOOST_TEST(first.item() == 12);
  BOOST_TEST(second.item() == 12);
  BOOST_TEST(third.item() == 6);
}

BOOST_AUTO_TEST_CASE(the_second_derivative_of_a_linear_function_is_not_reached) {
  const Tensor x = leaf(2);
  const Tensor first = grad(x * 3, x, {.create_graph = true});
  BOOST_CHECK_THROW((void)grad(first, x), std::invalid_argument);
}

BOOST_AUTO_TEST_CASE(a_rule_that_uses_its_output_is_differentiated_through_it) {
  const Tensor x = leaf(0.5);
  const Tensor y = record("my_exp", scalar(std::exp(0.5), {.dtype = f64}),
                          wrt(x, [](const Tensor& dy, const Tensor& out) { return dy * out; }));
  const Tensor first = grad(y, x, {.create_graph = true});
  BOOST_TEST(grad(first, x).item() == std::exp(0.5), boost::test_tools::tolerance(1e-15));
}

BOOST_AUTO_TEST_CASE(a_penalty_on_a_gradient_is_trained_through) {
  const Tensor x = leaf({1, 2});
  const Tensor g = grad(sum(x * x * x), x, {.create_graph = true});  // 3 x^2
  sum(g * g).backward();                                             // d 9 x^4
  BOOST_TEST(values(x.grad()) == list({36, 288}));
}

// --- 17: nothing stays

BOOST_AUTO_TEST_CASE(after_a_sweep_only_leaves_and_gradients_live) {
  const Tensor x = rand({64, 64}, {.dtype = f64, .requires_grad = true});
  const Live leaf_only;
  const Tensor y = sum(exp(x * x) * x);
  BOOST_TEST(memory_stats().live_bytes > leaf_only.bytes);
  y.backward();
  const Live after;
  BOOST_TEST(after.bytes - leaf_only.bytes <= 64 * 64 * 8 * 9 / 8);  // the gradient, by size class
  BOOST_TEST(after.storages == leaf_only.storages + 2);              // the gradient and y
}

BOOST_AUTO_TEST_CASE(a_forward_without_backward_leaks_nothing) {
  const Tensor x = leaf({1, 2, 3});
  const auto forward = [&] { return sum(exp(x * x) / (x + 1)); };
  (void)forward();
  const Live before;
  for (int i = 0; i < 10'000; ++i) (void)forward();
  BOOST_TEST(Live() == before);
}

BOOST_AUTO_TEST_CASE(steps_keep_the_counters_where_they_are) {
  const Tensor x = rand({300}, {.dtype = f64, .requires_grad = true});
  const auto step = [&] {
    const Tensor loss = sum(tanh(x) * x);
    x.zero_grad();
    loss.backward();
  };
  step();
  const Live before;
  for (int i = 0; i < 1000; ++i) step();
  BOOST_TEST(Live() == before);
}

BOOST_AUTO_TEST_CASE(a_frozen_input_saves_nothing) {
  const Tensor x = leaf({1, 2});
  const Tensor w = tensor({3., 4.}, {.dtype = f64});
  BOOST_TEST((x * w).impl().node->bytes_kept() == 16);  // w, for x; not x, for w
  BOOST_TEST((x * leaf({3, 4})).impl().node->bytes_kept() == 32);
}

// --- records

BOOST_AUTO_TEST_CASE(a_joint_rule_serves_the_inputs_that_are_wanted) {
  const Tensor a = leaf({1, 2});
  const Tensor frozen = ones({2}, {.dtype = f64});
  const Tensor b = leaf({3, 4});
  std::vector<bool> seen;
  const Tensor y = record_joint("joint", zeros({2}, {.dtype = f64}), {a, frozen, Tensor(), b},
                                [&](const Tensor& dy, const std::vector<bool>& wanted) {
                                  seen = wanted;
                                  return std::vector<Tensor>{dy * 2, dy, dy, dy * 3};
                                });
  y.backward({.gradient = ones({2}, {.dtype = f64})});
  BOOST_TEST((seen == std::vector<bool>{true, false, false, true}));
  BOOST_TEST(values(a.grad()) == list({2, 2}));
  BOOST_TEST(values(b.grad()) == list({3, 3}));
}

BOOST_AUTO_TEST_CASE(recording_never_gives_somebody_elses_tensor_a_history) {
  const Tensor x = leaf({1, 2});
  const Tensor result = ones({2}, {.dtype = f64});
  const Tensor y = record("alias", result, wrt(x, [](const Tensor& dy) { return dy; }));
  BOOST_TEST(y.requires_grad());
  BOOST_TEST(!result.requires_grad());
}

// --- nested and cyclic

namespace {

/// A graph whose rule plays another of its kind, and so on.
Tensor nested(const Tensor& x, int levels) {
  return identity("nested", x, [=](const Tensor& dy) {
    if (levels > 1) {
      const EnableGradGuard on;
      const Tensor inner = leaf(1);
      nested(inner, levels - 1).backward();
    }
    return dy;
  });
}

}  // namespace

BOOST_AUTO_TEST_CASE(sweeps_within_sweeps_have_room_and_end_before_the_stack_does) {
  const Live before;
  on_a_small_stack([] {
    const Tensor x = leaf(3);
    nested(x, 100).backward();
    BOOST_TEST(x.grad().item() == 1);
  });
  const Tensor x = leaf(3);
  BOOST_TEST(error<std::logic_error>([&] { nested(x, 20'000).backward(); }) ==
             "backward: sweeps may be 100 deep within one another; a rule that calls backward() or grad() goes on for "
             "more");
  BOOST_TEST(!x.grad().defined());
  nested(x, 100).backward();
  BOOST_TEST(x.grad().item() == 1);
  x.zero_grad();
  BOOST_TEST(memory_stats().live_nodes == before.nodes + 1);
}

BOOST_AUTO_TEST_CASE(a_rule_that_captures_its_output_is_no_cycle) {
  const Live before;
  {
    const Tensor x = leaf(3);
    Tensor y = scalar(9, {.dtype = f64});
    y = record("square", y, wrt(x, [x = saved(x), y](const Tensor& dy) { return 2 * dy * x() + 0 * y; }));
    BOOST_TEST(y.requires_grad());
  }
  BOOST_TEST(Live() == before);
}

BOOST_AUTO_TEST_CASE(a_rule_that_gets_hold_of_its_output_later_is_a_cycle_that_playing_ends) {
  const Live before;
  const auto make = [](const Tensor& x) {
    const auto output = std::make_shared<Tensor>();
    Tensor y = identity("cyclic", x, [output](const Tensor& dy) { return dy; });
    *output = y;
    return y;
  };
  make(leaf(3)).backward();
  BOOST_TEST(Live() == before);
}

BOOST_AUTO_TEST_CASE(a_gradient_with_a_graph_in_grad_is_a_cycle_that_zero_grad_ends_and_grad_never_makes) {
  const Live before;
  {
    const Tensor x = leaf(3);
    (x * x * x).backward({.create_graph = true});
    BOOST_TEST(grad(x.grad(), x).item() == 18);
    x.zero_grad();
  }
  BOOST_TEST(Live() == before);
  {
    const Tensor x = leaf(3);
    const Tensor g = grad(x * x * x, x, {.create_graph = true});
    BOOST_TEST(grad(g, x).item() == 18);
  }
  BOOST_TEST(Live() == before);
}

BOOST_AUTO_TEST_SUITE_END()
