#include <support/expect.h>

#include <cmath>
#include <optional>
#include <stdexcept>

#include <tapestry/autograd/anomaly.h>
#include <tapestry/autograd/backward.h>
#include <tapestry/autograd/functional.h>
#include <tapestry/autograd/grad_mode.h>
#include <tapestry/autograd/hooks.h>
#include <tapestry/autograd/memory/allocator.h>
#include <tapestry/autograd/node.h>
#include <tapestry/autograd/random.h>
#include <tapestry/autograd/record.h>
#include <tapestry/ops/binary.h>
#include <tapestry/ops/cast.h>
#include <tapestry/ops/reduce.h>
#include <tapestry/ops/unary.h>

BOOST_AUTO_TEST_SUITE(hooks_test)

using namespace tapestry;
using namespace tapestry::test;

namespace {
Tensor leaf(std::initializer_list<double> v) { return tensor(v, {.dtype = f64, .requires_grad = true}); }
std::vector<double> list(std::initializer_list<double> v) { return v; }
}  // namespace

BOOST_AUTO_TEST_CASE(a_hook_sees_the_whole_gradient_once) {
  const Tensor x = leaf({1, 2});
  const Tensor y = x * x;
  std::vector<std::vector<double>> seen;
  register_hook(y, [&](const Tensor& g) {
    seen.push_back(values(g));
    return Tensor();
  });
  sum(y * 3 + y * y).backward();
  BOOST_TEST(seen.size() == 1U);
  BOOST_TEST(seen.at(0) == list({3 + 2 * 1, 3 + 2 * 4}));
}

BOOST_AUTO_TEST_CASE(hooks_replace_gradients_in_the_order_of_registration) {
  const Tensor x = leaf({1, 2});
  const Tensor y = x * 2;
  register_hook(y, [](const Tensor& g) { return g + 1; });
  HookHandle doubled = register_hook(y, [](const Tensor& g) { return g * 10; });
  sum(y).backward({.retain_graph = true});
  BOOST_TEST(values(x.grad()) == list({40, 40}));
  doubled.remove();
  doubled.remove();
  x.zero_grad();
  sum(y).backward();
  BOOST_TEST(values(x.grad()) == list({4, 4}));
}

BOOST_AUTO_TEST_CASE(a_hook_on_a_leaf_is_called_before_the_gradient_is_added) {
  const Tensor x = leaf({1, 2});
  register_hook(x, [](const Tensor& g) { return -g; });
  sum(x * 5).backward();
  sum(x * 5).backward();
  BOOST_TEST(values(x.grad()) == list({-10, -10}));
  BOOST_TEST(values(grad(sum(x * 5), x)) == list({-5, -5}));
}

BOOST_AUTO_TEST_CASE(a_hook_may_remove_itself_and_outlive_its_tensor) {
  const Tensor x = leaf({1});
  int calls = 0;
  HookHandle handle;
  handle = register_hook(x, [&](const Tensor&) {
    ++calls;
    handle.remove();
    return Tensor();
  });
  sum(x).backward();
  sum(x).backward();
  BOOST_TEST(calls == 1);
  HookHandle gone;
  {
    const Tensor y = x * 2;
    gone = register_hook(y, [](const Tensor& g) { return g; });
  }
  gone.remove();
}

BOOST_AUTO_TEST_CASE(an_exception_from_a_hook_ends_the_sweep_and_leaks_nothing) {
  const Tensor x = leaf({1, 2});
  const std::int64_t before = memory_stats().live_nodes;
  {
    const Tensor y = x * x;
    register_hook(y, [](const Tensor&) -> Tensor { throw std::runtime_error("enough"); });
    BOOST_TEST(error<std::runtime_error>([&] { sum(exp(y)).backward(); }) == "enough");
    BOOST_TEST(!x.grad().defined());
  }
  BOOST_TEST(memory_stats().live_nodes == before);
  sum(x * 3).backward();
  BOOST_TEST(values(x.grad()) == list({3, 3}));
}

BOOST_AUTO_TEST_CASE(what_a_hook_returns_must_be_a_gradient) {
  const Tensor x = leaf({1, 2});
  const Tensor y = x * x;
  HookHandle handle = register_hook(y, [](const Tensor&) { return ones({3}, {.dtype = f64}); });
  BOOST_TEST(error<std::logic_error>([&] { sum(y).backward({.retain_graph = true}); }) ==
             "register_hook: a hook must return a gradient of the tensor's shape and dtype, f64 [2]; got f64 [3]");
  handle.remove();
  register_hook(y, [](const Tensor& g) { return g.detach(); });
  BOOST_TEST(error<std::logic_error>([&] { (void)grad(sum(y), x, {.create_graph = true}); }) ==
             "register_hook: while a graph is created, a hook must return a gradient that was computed from the one it "
             "got");
  BOOST_TEST(error<std::invalid_argument>([&] { register_hook(ones({2}), [](const Tensor& g) { return g; }); }) ==
             "register_hook: the tensor must require grad; it does not");
}

BOOST_AUTO_TEST_CASE(a_hook_takes_part_in_derivatives_of_gradients) {
  // d/dx of (3 g) where g = d(x^3)/dx: 3 * 6 x.
  const Tensor x = leaf({1, 2});
  register_hook(x, [](const Tensor& g) { return g * 3; });
  const Tensor g = grad(sum(x * x * x), x, {.create_graph = true});
  BOOST_TEST(values(g) == list({9, 36}));
  BOOST_TEST(values(grad(sum(g), x)) == list({3 * 18, 3 * 36}));  // through the hook again
}

BOOST_AUTO_TEST_CASE(results_keep_their_gradient_if_asked_to) {
  const Tensor x = leaf({1, 2});
  const Tensor y = x * x;
  const Tensor z = sum(y * 3);
  BOOST_TEST(!y.grad().defined());
  retain_grad(y);
  retain_grad(x);  // a leaf does anyway
  z.backward({.retain_graph = true});
  BOOST_TEST(values(y.grad()) == list({3, 3}));
  z.backward();
  BOOST_TEST(values(y.grad()) == list({6, 6}));
  BOOST_TEST(values(x.grad()) == list({12, 24}));
  y.zero_grad();
  BOOST_TEST(!y.grad().defined());
  BOOST_TEST(error<std::invalid_argument>([] { retain_grad(ones({2})); }) ==
             "retain_grad: the tensor must require grad; it does not");
}

BOOST_AUTO_TEST_CASE(what_is_kept_can_be_packed_and_comes_back) {
  const Tensor x = leaf({1, 2});
  int packed = 0, unpacked = 0;
  Tensor y;
  {
    const PackSaved scope([&](const Tensor& kept) -> Unpack {
      ++packed;
      const std::vector<double> elements = values(kept);  // anywhere: a file, another type
      return [&unpacked, elements] {
        ++unpacked;
        return tensor(elements, {static_cast<Index>(elements.size())}, {.dtype = f64});
      };
    });
    y = sum(exp(x) * sin(x));
  }
  BOOST_TEST(packed == 4);  // exp keeps its result, sin its input, mul both
  BOOST_TEST(unpacked == 0);
  y.backward();
  BOOST_TEST(unpacked == 4);
  const std::vector<double> got = values(x.grad());
  for (std::size_t i = 0; i < 2; ++i) {
    const double v = values(x)[i];
    BOOST_TEST(std::abs(got[i] - std::exp(v) * (std::sin(v) + std::cos(v))) < 1e-12);
  }
}

BOOST_AUTO_TEST_CASE(packing_to_bf16_halves_what_is_kept_and_rounds) {
  const Tensor x = rand({100'000}, {.requires_grad = true});
  const auto kept_bytes = [&](bool pack) {
    const std::int64_t before = memory_stats().live_bytes;
    std::optional<PackSaved> scope;
    if (pack) {
      scope.emplace([](const Tensor& t) -> Unpack {
        if ((t.is_leaf() && t.requires_grad()) || t.dtype() != f32) return {};
        return [small = to(t.detach(), bf16)] { return to(small, f32); };
      });
    }
    const Tensor y = sum(exp(sin(x)));  // exp keeps its result
    const std::int64_t bytes = memory_stats().live_bytes - before;
    x.zero_grad();
    y.backward();
    return bytes;
  };
  const std::int64_t plain = kept_bytes(false);
  const Tensor exact = x.grad();
  const std::int64_t packed = kept_bytes(true);
  BOOST_TEST(static_cast<double>(packed) < 0.52 * static_cast<double>(plain), packed << " of " << plain);
  BOOST_TEST(all_close(x.grad(), exact, 0.01));
  BOOST_TEST(!same_bits(x.grad(), exact));
}

BOOST_AUTO_TEST_CASE(derivatives_of_gradients_go_through_what_was_packed) {
  const Tensor x = leaf({1, 2});
  const PackSaved scope([](const Tensor& kept) -> Unpack { return [copy = clone(kept.detach())] { return copy; }; });
  const Tensor g = grad(sum(exp(x) * x * x), x, {.create_graph = true});
  const std::vector<double> second = values(grad(sum(g), x));
  for (std::size_t i = 0; i < 2; ++i) {
    const double v = values(x)[i];
    BOOST_TEST(std::abs(second[i] - std::exp(v) * (v * v + 4 * v + 2)) < 1e-10);
  }
}

BOOST_AUTO_TEST_CASE(what_comes_back_must_be_what_was_packed) {
  const Tensor x = leaf({1, 2});
  const PackSaved scope([](const Tensor&) -> Unpack { return [] { return ones({3}, {.dtype = f64}); }; });
  const Tensor y = sum(x * x);
  BOOST_TEST(error<std::logic_error>([&] { y.backward(); }) ==
             "PackSaved: unpacking must give back what was packed, f64 [2]; got f64 [3]");
}

BOOST_AUTO_TEST_CASE(tools_see_every_op_and_every_node_that_is_played) {
  std::vector<std::string> computed, begun, ended;
  int inner = 0, sent = 0;
  const Tensor x = leaf({1, 2});
  {
    const OpHooks outside({.computed = [&](const ComputedOp& op) { computed.emplace_back(op.name); },
                           .before_backward =
                               [&](const Node& node, const Tensor& dy) {
                                 begun.emplace_back(node.name);
                                 BOOST_TEST(dy.shape() == node.shape);
                               },
                           .sent = [&](const Node&, const Tensor&) { ++sent; },
                           .after_backward = [&](const Node& node) { ended.emplace_back(node.name); }});
    const Tensor y = sum(exp(x) * x);
    {
      const OpHooks inside({.computed = [&](const ComputedOp& op) {
        ++inner;
        BOOST_TEST(op.inputs.size() == 1U);
        BOOST_TEST(op.where.line > 0);
        BOOST_TEST(values(op.y) == list({-1, -2}));
      }});
      (void)-x;
    }
    y.backward();
  }
  (void)-x;
  BOOST_TEST(inner == 1);
  BOOST_TEST((std::vector<std::string>(computed.begin(), computed.begin() + 4) ==
              std::vector<std::string>{"exp", "mul", "sum", "neg"}));
  BOOST_TEST((begun == std::vector<std::string>{"sum", "mul", "exp"}));
  BOOST_TEST(begun == ended);
  BOOST_TEST(sent == 5);  // y itself, to the product, and to exp, x and x again
}

BOOST_AUTO_TEST_CASE(what_a_tool_throws_ends_the_op_or_the_sweep_and_others_stay_in_step) {
  const Tensor x = leaf({1, 2});
  const Tensor y = sum(exp(x));
  const auto thrower = [](const Node&, const Tensor&) { throw std::runtime_error("a tool's own"); };
  for (const bool inside : {false, true}) {
    const OpHooks first(inside ? OpHooks::Functions{} : OpHooks::Functions{.before_backward = thrower});
    const AnomalyMode anomalies;
    const OpHooks last(inside ? OpHooks::Functions{.before_backward = thrower} : OpHooks::Functions{});
    BOOST_TEST(error<std::runtime_error>([&] { y.backward({.retain_graph = true}); }) == "a tool's own");
  }
  {
    // A sweep within a rule, that a tool further out ends: what is being played is the outer rule again.
    const OpHooks tool({.before_backward = [&](const Node& node, const Tensor& dy) {
      if (node.name == std::string("exp")) thrower(node, dy);
    }});
    const Tensor nan = scalar(std::nan(""), {.dtype = f64});
    const AnomalyMode anomalies;
    const Tensor outer = record("outer", scalar(1, {.dtype = f64}), wrt(sum(x * x), [&](const Tensor&) {
                                  const EnableGradGuard guard;
                                  BOOST_CHECK_THROW(sum(exp(x)).backward(), std::runtime_error);
                                  return nan;
                                }));
    BOOST_TEST(error<AnomalyError>([&] { outer.backward(); }).starts_with("outer: its gradient rule has made 1 NaN"));
  }
  {
    const OpHooks hooks({.computed = [](const ComputedOp&) { throw std::runtime_error("a tool's own"); }});
    BOOST_TEST(error<std::runtime_error>([&] { (void)exp(x); }) == "a tool's own");
  }
  sum(exp(x)).backward();
  BOOST_TEST(all_close(x.grad(), values(exp(x)), 1e-15));
}

BOOST_AUTO_TEST_SUITE_END()
