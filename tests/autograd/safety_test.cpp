// What research does to a tape: a million ops in forward mode and with create_graph, in as little stack as a thread may
// have, and modes that threads do not share.
#include <support/expect.h>
#include <support/live.h>
#include <support/small_stack.h>

#include <algorithm>
#include <atomic>
#include <cmath>
#include <thread>

#include <tapestry/autograd/anomaly.h>
#include <tapestry/autograd/backward.h>
#include <tapestry/autograd/checkpoint.h>
#include <tapestry/autograd/functional.h>
#include <tapestry/autograd/grad_mode.h>
#include <tapestry/autograd/hooks.h>
#include <tapestry/autograd/profile.h>
#include <tapestry/autograd/random.h>
#include <tapestry/ops/autocast.h>
#include <tapestry/ops/binary.h>
#include <tapestry/ops/matmul.h>
#include <tapestry/ops/reduce.h>
#include <tapestry/ops/unary.h>

BOOST_AUTO_TEST_SUITE(safety_test)

using namespace tapestry;
using namespace tapestry::test;

namespace {

constexpr int kMany = 1'000'000;

/// y = kMany + 1 times x, one after another; kMany nodes.
Tensor sum_of_many(const Tensor& x) {
  Tensor y = x;
  for (int i = 0; i < kMany; ++i) y = y + x;
  return y;
}

/// A graph in which every op adds two of the twenty before it: y is `slope` times x. The same each time.
Tensor lattice(const Tensor& x, double& slope) {
  constexpr std::size_t kNear = 20;
  Generator generator(3);
  std::vector<Tensor> nodes{x};
  std::vector<double> slopes{1};
  for (int i = 0; i < kMany; ++i) {
    const std::size_t near = std::min(nodes.size(), kNear);
    const auto pick = [&] {
      return nodes.size() - 1 - static_cast<std::size_t>(generator.randint(0, static_cast<std::int64_t>(near)));
    };
    const std::size_t a = pick(), b = pick();
    nodes.push_back((nodes[a] + nodes[b]) * 0.5);
    slopes.push_back((slopes[a] + slopes[b]) * 0.5);
    if (nodes.size() == 2 * kNear) {  // what cannot be picked any more lives on in the graph alone
      nodes.erase(nodes.begin(), nodes.begin() + kNear);
      slopes.erase(slopes.begin(), slopes.begin() + kNear);
    }
  }
  slope = slopes.back();
  return nodes.back();
}

Tensor one() { return scalar(1, {.dtype = f64}); }

}  // namespace

BOOST_AUTO_TEST_CASE(a_million_ops_in_forward_mode_on_a_small_stack) {
  const Live before;
  double chain = 0, graph = 0, slope = 0;
  on_a_small_stack([&] {
    chain = jvp(sum_of_many, scalar(2, {.dtype = f64}), one()).item();
    graph = jvp([&](const Tensor& x) { return lattice(x, slope); }, one(), one()).item();
  });
  BOOST_TEST(chain == kMany + 1);
  BOOST_TEST(graph == slope, boost::test_tools::tolerance(1e-12));
  BOOST_TEST(Live() == before);
}

BOOST_AUTO_TEST_CASE(a_million_ops_with_create_graph_on_a_small_stack) {
  const Live before;
  constexpr double kTimes = kMany + 1;
  double first = 0, second = 0, dropped = 0;
  on_a_small_stack([&] {
    const Tensor x = scalar(2, {.dtype = f64, .requires_grad = true});
    const Tensor y = sum_of_many(x);
    const Tensor slope = grad(y * y, x, {.create_graph = true});
    first = slope.item();
    second = grad(slope, x).item();
  });
  BOOST_TEST(first == 2 * kTimes * kTimes * 2);
  BOOST_TEST(second == 2 * kTimes * kTimes);
  on_a_small_stack([&] {  // dropped, with the graph of the gradient, without having been played again
    double slope = 0;
    const Tensor x = scalar(2, {.dtype = f64, .requires_grad = true});
    const Tensor y = lattice(x, slope);
    dropped = grad(y * y, x, {.create_graph = true}).item() - 2 * slope * slope * 2;
  });
  BOOST_TEST(std::abs(dropped) < 1e-9);
  BOOST_TEST(Live() == before);
}

BOOST_AUTO_TEST_CASE(a_million_ops_forward_over_reverse_on_a_small_stack) {
  const Live before;
  constexpr double kTimes = kMany + 1;
  double product = 0;
  on_a_small_stack([&] {
    product = hvp([](const Tensor& x) { return square(sum_of_many(x)); }, scalar(2, {.dtype = f64}), one()).item();
  });
  BOOST_TEST(product == 2 * kTimes * kTimes);
  BOOST_TEST(Live() == before);
}

BOOST_AUTO_TEST_CASE(a_thousand_checkpoints_of_a_thousand_ops_on_a_small_stack) {
  const Live before;
  double gradient = 0;
  on_a_small_stack([&] {
    const Tensor x = scalar(1, {.dtype = f64, .requires_grad = true});
    Tensor y = x;
    for (int i = 0; i < 1000; ++i) {
      y = checkpoint(
          [x](const Tensor& at) {
            Tensor sum = at;
            for (int k = 0; k < 1000; ++k) sum = sum + x;
            return sum;
          },
          y);
    }
    y.backward();
    gradient = x.grad().item();
  });
  BOOST_TEST(gradient == kMany + 1);
  BOOST_TEST(Live() == before);
}

BOOST_AUTO_TEST_CASE(ten_thousand_steps_of_everything_leave_the_counters_where_they_are) {
  const Tensor x = rand({6}, {.dtype = f64, .requires_grad = true}), w = rand({6, 6}, {.dtype = f64});
  const Tensor v = rand({6}, {.dtype = f64});
  const UnaryFunction f = [&](const Tensor& at) { return sum(sin(matmul(w, at)) * at); };
  HookHandle handle;
  const auto step = [&] {
    (void)jvp(f, x, v);
    (void)hvp(f, x, v);
    (void)vjp([](const Tensor& at) { return exp(at); }, x, v);
    (void)grad(sum(grad(f(x), x, {.create_graph = true})), x);
    const PackSaved pack([](const Tensor& kept) -> Unpack { return [kept] { return kept; }; });
    const AnomalyMode anomalies;
    Index played = 0;
    const OpHooks hooks({.before_backward = [&](const Node&, const Tensor&) { ++played; }});
    const Tensor y = checkpoint(f, x, {.keep_ops = {"matmul"}});
    retain_grad(y);
    handle = register_hook(y, [](const Tensor& dy) { return dy * 2; });
    y.backward();
    x.zero_grad();
    handle.remove();
    try {
      sum(log(x - 10)).backward();
    } catch (const AnomalyError&) {
    }
  };
  for (int i = 0; i < 10; ++i) step();
  const Live before;
  for (int i = 0; i < 10'000; ++i) step();
  BOOST_TEST(Live() == before);
}

// One thread has every mode on that there is; the other, meanwhile, sees none of them, nor the first what that one
// does.
BOOST_AUTO_TEST_CASE(modes_belong_to_their_thread) {
  std::atomic<int> stage{0};
  const auto wait_for = [&](int wanted) {
    while (stage < wanted) std::this_thread::yield();
  };
  struct Seen {
    Index computed = 0, packed = 0;
  };
  const auto with_all_modes = [&](Seen& seen) {
    const OpHooks hooks({.computed = [&](const ComputedOp&) { ++seen.computed; }});
    const PackSaved pack([&](const Tensor&) -> Unpack { return ++seen.packed, Unpack(); });
    const AnomalyMode anomalies;
    const Profile profile;
    const Autocast autocast(bf16);
    const NoGradGuard no_grad;
    const auto square = [&](const Tensor& at) {
      stage = std::max<int>(stage, 1);
      wait_for(2);
      return at * at;
    };
    (void)jvp(square, scalar(3, {.dtype = f64}), one());
  };
  Seen alone, beside;
  stage = 2;
  with_all_modes(alone);

  stage = 0;
  std::thread other([&] { with_all_modes(beside); });
  wait_for(1);
  const Tensor x = rand({4, 4}, {.requires_grad = true});
  const Tensor y = sum(log(matmul(x, x) - 1000));  // NaN, and no anomaly here
  y.backward();
  const bool recorded = y.requires_grad(), grad_enabled = is_grad_enabled(), lower = is_autocast_enabled();
  stage = 2;
  other.join();
  BOOST_TEST(recorded);
  BOOST_TEST(grad_enabled);
  BOOST_TEST(!lower);
  BOOST_TEST(std::isnan(y.item()));
  BOOST_TEST(alone.computed > 0);
  BOOST_TEST(beside.computed == alone.computed);
  BOOST_TEST(beside.packed == alone.packed);
}

BOOST_AUTO_TEST_SUITE_END()
