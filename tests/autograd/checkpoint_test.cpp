#include <support/expect.h>

#include <stdexcept>

#include <tapestry/autograd/backward.h>
#include <tapestry/autograd/base/parallel.h>
#include <tapestry/autograd/checkpoint.h>
#include <tapestry/autograd/functional.h>
#include <tapestry/autograd/grad_mode.h>
#include <tapestry/autograd/hooks.h>
#include <tapestry/autograd/memory/allocator.h>
#include <tapestry/autograd/node.h>
#include <tapestry/autograd/random.h>
#include <tapestry/autograd/tape.h>
#include <tapestry/ops/activation.h>
#include <tapestry/ops/autocast.h>
#include <tapestry/ops/binary.h>
#include <tapestry/ops/dropout.h>
#include <tapestry/ops/matmul.h>
#include <tapestry/ops/norm.h>
#include <tapestry/ops/reduce.h>
#include <tapestry/ops/unary.h>

BOOST_AUTO_TEST_SUITE(checkpoint_test)

using namespace tapestry;
using namespace tapestry::test;

namespace {

/// A leaf that is the same each time.
Tensor leaf(const Shape& shape, std::uint64_t seed, Dtype dtype = f32) {
  Generator g(seed);
  return randn(shape, {.dtype = dtype, .requires_grad = true, .generator = &g});
}

/// A piece of a network with all that makes a second call differ: random numbers, running statistics, parameters that
/// it captures.
struct Piece {
  Tensor w = leaf({6, 6}, 1), gamma = ones({6}, {.requires_grad = true}), beta = zeros({6}, {.requires_grad = true});
  Tensor mean = zeros({6}), var = ones({6}), batches = zeros({}, {.dtype = i64});

  Tensor operator()(const Tensor& x) const {
    const Tensor y = dropout(relu(matmul(x, w)), {.p = 0.4, .training = true});
    return batch_norm(y, {.running_mean = mean, .running_var = var, .weight = gamma, .bias = beta},
                      {.training = true, .num_batches_tracked = batches});
  }
};

struct Outcome {
  Tensor y;
  std::vector<Tensor> all;  // gradients, running statistics, and the next random number
};

template <class Call>
Outcome outcome(const Call& call) {
  manual_seed(5);
  const Piece piece;
  const Tensor x = leaf({8, 6}, 2);
  const Tensor y = call(piece, x);
  sum(y * y * y).backward();
  return {y.detach(),
          {x.grad(), piece.w.grad(), piece.gamma.grad(), piece.beta.grad(), piece.mean, piece.var, piece.batches,
           rand({3})}};
}

void check_same(const Outcome& a, const Outcome& b, const std::string& what) {
  BOOST_TEST(same_bits(a.y, b.y), what);
  for (std::size_t i = 0; i < a.all.size(); ++i) BOOST_TEST(same_bits(a.all[i], b.all[i]), what << ", " << i);
}

}  // namespace

BOOST_AUTO_TEST_CASE(values_gradients_statistics_and_random_numbers_are_those_without_it) {
  const auto plain = [](const Piece& piece, const Tensor& x) { return piece(x); };
  const auto kept = [](const Piece& piece, const Tensor& x) {
    return checkpoint([piece](const Tensor& t) { return piece(t); }, x);
  };
  check_same(outcome(kept), outcome(plain), "once");
  const auto nested = [](const Piece& piece, const Tensor& x) {
    return checkpoint(
        [piece](const Tensor& t) {
          const Tensor inner = checkpoint([piece](const Tensor& u) { return piece(u); }, t);
          return dropout(inner, {.p = 0.3, .training = true});
        },
        x);
  };
  const auto twice = [](const Piece& piece, const Tensor& x) {
    return dropout(piece(x), {.p = 0.3, .training = true});
  };
  check_same(outcome(nested), outcome(twice), "nested");
  const Autocast autocast(bf16);
  check_same(outcome(kept), outcome(plain), "autocast");
}

BOOST_AUTO_TEST_CASE(autocast_is_the_one_of_the_first_call_not_of_backward) {
  const auto gradient = [](bool checkpointed) {
    const Tensor x = leaf({4, 6}, 2), w = leaf({6, 6}, 1);
    const auto f = [w](const Tensor& t) { return matmul(t, w); };
    Tensor y;
    {
      const Autocast autocast(bf16);
      y = checkpointed ? checkpoint(f, x) : f(x);
    }
    sum(y).backward();
    return w.grad();
  };
  BOOST_TEST(same_bits(gradient(true), gradient(false)));
}

BOOST_AUTO_TEST_CASE(nothing_is_kept_but_the_inputs) {
  const Tensor x = leaf({100, 100}, 1);
  const MemoryStats before = memory_stats();
  const Tensor y = checkpoint([](const Tensor& t) { return exp(sin(exp(sin(t)))); }, x);
  const MemoryStats after = memory_stats();
  BOOST_TEST(after.live_storages - before.live_storages == 1);  // y
  BOOST_TEST(after.live_nodes - before.live_nodes == 1);
  sum(y).backward();
  BOOST_TEST(memory_stats().live_nodes - before.live_nodes == 1);  // released, alive as long as y
  BOOST_TEST(all_close(
      x.grad(), value_and_grad(UnaryFunction([](const Tensor& t) { return sum(exp(sin(exp(sin(t))))); }), x).second,
      0));
}

BOOST_AUTO_TEST_CASE(parameters_that_it_captures_get_gradients_although_no_input_wants_one) {
  const Tensor w = leaf({3}, 1);
  const Tensor x = ones({3});
  sum(checkpoint([w](const Tensor& t) { return t * w * w; }, x)).backward();
  BOOST_TEST(all_close(w.grad(), values(2 * w.detach()), 0));
  BOOST_TEST(!x.grad().defined());
}

BOOST_AUTO_TEST_CASE(derivatives_of_every_order_go_through_it) {
  const Tensor x = leaf({4}, 3, f64), u = leaf({4}, 4, f64).detach();
  const UnaryFunction plain = [](const Tensor& t) { return sum(exp(sin(t)) * t); };
  const UnaryFunction kept = [&](const Tensor& t) {
    return sum(checkpoint([](const Tensor& s) { return exp(sin(s)) * s; }, t));
  };
  BOOST_TEST(all_close(hvp(kept, x.detach(), u), hvp(plain, x.detach(), u), 1e-12));
  BOOST_TEST(all_close(jvp(kept, x.detach(), u), jvp(plain, x.detach(), u), 1e-12));
  BOOST_TEST(all_close(hessian(kept, x.detach()), hessian(plain, x.detach()), 1e-12));
  const auto third = [&](const UnaryFunction& f) {
    const UnaryFunction curvature = [&](const Tensor& t) {
      return sum(vjp([&](const Tensor& s) { return vjp(f, s, ones({}, {.dtype = f64}), {.create_graph = true}); }, t, u,
                     {.create_graph = true}));
    };
    return value_and_grad(curvature, x.detach()).second;
  };
  BOOST_TEST(all_close(third(kept), third(plain), 1e-12));
}

BOOST_AUTO_TEST_CASE(a_chain_of_checkpoints_64_deep_within_each_other) {
  const Tensor x = leaf({3}, 1, f64);
  UnaryFunction f = [](const Tensor& t) { return sin(t); };
  UnaryFunction plain = f;
  for (int depth = 0; depth < 64; ++depth) {
    f = [inner = f](const Tensor& t) { return checkpoint([inner](const Tensor& s) { return inner(s) * 1.01; }, t); };
    plain = [inner = plain](const Tensor& t) { return inner(t) * 1.01; };
  }
  sum(f(x)).backward();
  BOOST_TEST(
      same_bits(x.grad(), value_and_grad(UnaryFunction([&](const Tensor& t) { return sum(plain(t)); }), x).second));
}

BOOST_AUTO_TEST_CASE(what_it_throws_passes_through_and_leaves_the_tape_usable) {
  const Tensor x = leaf({3}, 1);
  int calls = 0;
  const auto fails_again = [&calls](const Tensor& t) {
    if (++calls == 2) throw std::runtime_error("out of luck");
    return t * 2;
  };
  const std::int64_t before = memory_stats().live_nodes;
  {
    const Tensor y = sum(checkpoint(fails_again, x));
    BOOST_TEST(error<std::runtime_error>([&] { y.backward(); }) == "out of luck");
  }
  BOOST_TEST(memory_stats().live_nodes == before);
  sum(x * 2).backward();
  BOOST_TEST(all_close(x.grad(), {2, 2, 2}, 0));

  int shapes = 0;
  const Tensor other = sum(checkpoint([&shapes](const Tensor& t) { return ++shapes == 1 ? t * 2 : sum(t); }, x));
  BOOST_TEST(error<std::logic_error>([&] { other.backward(); }) ==
             "checkpoint: the function must return the same when it is called again, f32 [3]; got f32 []");

  Tensor changed = ones({3});  // which is the first version
  const Tensor w = leaf({3}, 2);
  const Tensor z = sum(checkpoint([w](const Tensor& t) { return t * w; }, changed));
  changed.mutable_data<float>()[0] = 5;
  BOOST_TEST(error<std::logic_error>([&] { z.backward(); }) ==
             "checkpoint: an input saved for backward was modified in place (saved at version 1, now 2)");
}

BOOST_AUTO_TEST_CASE(without_recording_it_is_a_call) {
  const Tensor x = leaf({3}, 1);
  const NoGradGuard guard;
  const Tensor y = checkpoint([](const Tensor& t) { return t * 2; }, x);
  BOOST_TEST(!y.requires_grad());
}

BOOST_AUTO_TEST_CASE(what_is_kept_is_not_computed_again_and_gives_the_same_bits) {
  const Outcome plain = outcome([](const Piece& piece, const Tensor& x) { return piece(x); });
  const auto with = [](const CheckpointOptions& options) {
    return outcome([&](const Piece& piece, const Tensor& x) {
      return checkpoint([piece](const Tensor& at) { return piece(at); }, x, options);
    });
  };
  for (const CheckpointOptions& options :
       {CheckpointOptions{.keep_ops = {"matmul"}}, CheckpointOptions{.keep_ops = {"matmul", "linear", "conv2d"}},
        CheckpointOptions{.keep_ops = {"conv2d"}}, CheckpointOptions{.keep_names = {"nobody"}}}) {
    const Outcome kept = with(options);
    BOOST_TEST(same_bits(kept.y, plain.y));
    BOOST_REQUIRE(kept.all.size() == plain.all.size());
    for (std::size_t i = 0; i < kept.all.size(); ++i) BOOST_TEST(same_bits(kept.all[i], plain.all[i]));
  }
}

BOOST_AUTO_TEST_CASE(the_kernels_of_what_is_kept_run_once) {
  // Where nothing was computed, the elements are those of the first call.
  const Tensor w = leaf({4, 4}, 1), x = leaf({3, 4}, 2);
  for (const bool keeps : {false, true}) {
    std::vector<Tensor> products;
    const auto f = [&](const Tensor& at) {
      const Tensor first = matmul(at, w), second = matmul(sin(first), w);
      products.push_back(first.detach());
      products.push_back(keep("second", second).detach());
      return cos(second);
    };
    const Tensor y = checkpoint(f, x, {.keep_names = {keeps ? "second" : "none"}});
    sum(y).backward();
    BOOST_REQUIRE(products.size() == 4U);
    BOOST_TEST(!(products[0].impl().storage == products[2].impl().storage));
    BOOST_TEST((products[1].impl().storage == products[3].impl().storage) == keeps);
  }
}

BOOST_AUTO_TEST_CASE(what_is_kept_counts_as_kept_and_is_let_go) {
  const Tensor w = leaf({64, 64}, 1), x = leaf({64, 64}, 2);
  const auto f = [&](const Tensor& at) { return sin(matmul(cos(matmul(at, w)), w)); };
  constexpr std::int64_t kMatrix = 64 * 64 * 4;
  const std::int64_t before = memory_stats().live_bytes;
  std::int64_t one = 0;  // matrix, with the room that the allocator gives it
  {
    const Tensor y = checkpoint(f, x);
    one = memory_stats().live_bytes - before;
  }
  {
    const Tensor y = checkpoint(f, x, {.keep_ops = {"matmul"}});
    BOOST_TEST(memory_stats().live_bytes - before == 3 * one);
    BOOST_TEST(y.impl().node->bytes_kept() == 3 * kMatrix);  // x and two products
    sum(y).backward();
    x.zero_grad(), w.zero_grad();
    BOOST_TEST(memory_stats().live_bytes - before == one);
  }
  BOOST_TEST(memory_stats().live_bytes == before);
}

BOOST_AUTO_TEST_CASE(checkpoints_that_keep_stand_within_each_other_and_are_differentiated_again) {
  const Tensor w = leaf({4, 4}, 1, f64), x = leaf({3, 4}, 2, f64);
  const auto derivatives = [&](const CheckpointOptions& outer, const CheckpointOptions& inner, bool plain) {
    const auto inside = [&](const Tensor& at) { return sin(matmul(cos(matmul(at, w)), w)); };
    const auto f = [&](const Tensor& at) {
      const Tensor y = matmul(at, w);
      return matmul(plain ? inside(y) : checkpoint(inside, y, inner), w);
    };
    const Tensor y = plain ? f(x) : checkpoint(f, x, outer);
    const Tensor first = grad(sum(y * y), x, {.create_graph = true});
    const Tensor second = grad(sum(first * first), x, {.create_graph = true});
    return std::vector<Tensor>{y.detach(), first.detach(), second.detach(), grad(sum(second * first), w)};
  };
  const std::vector<Tensor> right = derivatives({}, {}, true);
  const CheckpointOptions all{.keep_ops = {"matmul"}}, none;
  for (const auto& [outer, inner] : {std::pair(all, all), std::pair(all, none), std::pair(none, all)}) {
    const std::vector<Tensor> got = derivatives(outer, inner, false);
    for (std::size_t i = 0; i < right.size(); ++i) BOOST_TEST(all_close(got[i], values(right[i]), 1e-12));
  }
}

// A function that records by itself has the inner checkpoint counted by both, in its first call too.
BOOST_AUTO_TEST_CASE(the_outer_checkpoint_keeps_what_is_marked_within_an_inner_one) {
  const Tensor w = leaf({4, 4}, 1), x = leaf({3, 4}, 2);
  const auto inner = [&](const Tensor& at) { return sin(keep("product", matmul(at, w))); };
  const auto outer = [&](const Tensor& at) {
    const EnableGradGuard guard;
    return checkpoint(inner, at, {.keep_names = {"another"}});
  };
  const Tensor y = checkpoint(outer, x, {.keep_names = {"product"}});
  BOOST_TEST(y.impl().node->bytes_kept() == 2 * 3 * 4 * 4);  // x and the product
  BOOST_TEST(same_bits(grad(sum(y), x), grad(sum(inner(x)), x)));
}

BOOST_AUTO_TEST_CASE(what_cannot_be_kept_or_is_another_op_the_second_time_is_refused) {
  const Tensor w = leaf({4, 4}, 1), x = leaf({4, 4}, 2);
  BOOST_TEST(error<std::invalid_argument>([&] {
               (void)checkpoint([](const Tensor& at) { return at; }, x, {.keep_ops = {"relu"}});
             }) == "checkpoint: keep_ops must be of conv2d, linear and matmul; got 'relu'");
  const auto misused = [&](const Tensor& at) { return keep("a", relu(matmul(at, w))); };
  BOOST_TEST(error<std::invalid_argument>([&] { (void)checkpoint(misused, x, {.keep_names = {"a"}}); }) ==
             "keep: 'a' must be the result of the conv2d, linear or matmul that was called last");
  BOOST_TEST(error<std::invalid_argument>([&] { (void)keep("a", Tensor()); }) == "keep: 'a' must be a defined tensor");
  BOOST_TEST(same_bits(misused(x), relu(matmul(x, w))));  // outside, and where nobody asks for it
  BOOST_TEST(same_bits(checkpoint(misused, x), misused(x)));
  int calls = 0;
  const auto fickle = [&](const Tensor& at) { return ++calls == 1 ? matmul(at, w) : linear(at, w); };
  BOOST_TEST(error<std::logic_error>([&] { sum(checkpoint(fickle, x, {.keep_ops = {"matmul"}})).backward(); }) ==
             "checkpoint: the function must call the same ops when it is called again; matmul became linear");
  // The tape is as good as before.
  BOOST_TEST(same_bits(grad(sum(checkpoint([&](const Tensor& at) { return matmul(at, w); }, x)), x),
                       grad(sum(matmul(x, w)), x)));
}

// Calls are counted, and what others compute meanwhile is none of the function's: a hook that packs by a product, of
// which the first call, unrecorded, has none; and tasks, in whatever order they come.
BOOST_AUTO_TEST_CASE(what_hooks_and_tasks_compute_is_not_taken_for_what_is_kept) {
  const Tensor w = leaf({4, 4}, 1), x = leaf({4, 4}, 2);
  const Tensor a = randn({4, 4}).detach();
  const auto f = [&](const Tensor& at) {
    std::vector<Tensor> parts(8);
    const Tensor first = matmul(at, w);
    parallel_for(8, 1, [&](Index begin, Index end) {
      for (Index i = begin; i < end; ++i) parts[static_cast<std::size_t>(i)] = matmul(a * static_cast<double>(i), a);
    });
    Tensor y = sin(first);
    for (int i = 0; i < 12; ++i) y = sin(matmul(y, w));  // the third of them, say, for the first
    for (const Tensor& part : parts) y = y + part;
    return cos(y);
  };
  const PackSaved by_product([&](const Tensor& kept) -> Unpack {
    (void)matmul(matmul(a, a), a);
    return [kept] { return kept; };
  });
  const Tensor right = grad(sum(f(x)), x);
  for (int round = 0; round < 20; ++round) {
    BOOST_TEST(same_bits(grad(sum(checkpoint(f, x, {.keep_ops = {"matmul"}})), x), right));
  }
}

BOOST_AUTO_TEST_SUITE_END()
