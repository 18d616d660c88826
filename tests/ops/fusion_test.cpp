// batch_norm, add and relu that follow each other are one pass, and nobody can tell: same bits, same tape, same errors.
#include <support/expect.h>

#include <functional>
#include <sstream>
#include <thread>
#include <vector>

#include <tapestry/autograd/backward.h>
#include <tapestry/autograd/deferred.h>
#include <tapestry/autograd/gradcheck/gradcheck.h>
#include <tapestry/autograd/memory/allocator.h>
#include <tapestry/autograd/random.h>
#include <tapestry/autograd/tape.h>
#include <tapestry/ops/activation.h>
#include <tapestry/ops/binary.h>
#include <tapestry/ops/cast.h>
#include <tapestry/ops/detail/fusion.h>
#include <tapestry/ops/norm.h>
#include <tapestry/ops/reduce.h>
#include <tapestry/ops/shape_ops.h>

using namespace tapestry;
using namespace tapestry::test;

BOOST_AUTO_TEST_SUITE(fusion_test)

namespace {

struct Inputs {
  Tensor x, weight, bias, residual;

  explicit Inputs(const Shape& shape, Dtype dtype = f32) {
    manual_seed(5);
    const Shape channels{shape[shape.rank() - 1]};
    const Dtype per_channel = dtype == bf16 ? f32 : dtype;
    x = to(randn(shape, {.dtype = per_channel}), dtype).requires_grad(true);
    weight = uniform(channels, -1, 1, {.dtype = per_channel, .requires_grad = true});
    bias = uniform(channels, -1, 1, {.dtype = per_channel, .requires_grad = true});
    residual = to(randn(shape, {.dtype = per_channel}), dtype).requires_grad(true);
  }
  [[nodiscard]] std::vector<Tensor> all() const { return {x, weight, bias, residual}; }
  [[nodiscard]] Tensor norm() const { return batch_norm(x, weight, bias, {}, {}, {.training = true}); }
};

bool waits(const Tensor& x) { return x.impl().storage->is_pending(); }

/// x with its elements computed: whatever follows is not fused with what made it.
Tensor looked_at(const Tensor& x) {
  static_cast<void>(x.impl().bytes());
  return x;
}

using Join = std::function<Tensor(const Tensor& norm, const Inputs& in)>;
const std::vector<std::pair<const char*, Join>> kJoins = {
    {"relu", [](const Tensor& norm, const Inputs&) { return norm; }},
    {"norm + residual", [](const Tensor& norm, const Inputs& in) { return norm + in.residual; }},
    {"residual + norm", [](const Tensor& norm, const Inputs& in) { return in.residual + norm; }},
    {"norm + norm", [](const Tensor& norm, const Inputs& in) {
       return norm + batch_norm(in.residual, in.bias, in.weight, {}, {}, {.training = true});
     }}};

std::vector<Tensor> values_and_gradients(const Inputs& in, const Join& join, bool fused) {
  Tensor sum = join(fused ? in.norm() : looked_at(in.norm()), in);
  if (!fused) sum = looked_at(sum);
  const Tensor y = relu(sum);
  const Tensor dy = to(randn(y.shape(), {.dtype = y.dtype() == bf16 ? f32 : y.dtype()}), y.dtype());
  std::vector<Tensor> out{y.detach()};
  for (const Tensor& g : grad({y}, in.all(), {.grad_outputs = {dy}, .allow_unused = true})) out.push_back(g);
  return out;
}

}  // namespace

BOOST_AUTO_TEST_CASE(values_and_gradients_have_the_bits_of_the_ops_one_by_one) {
  for (const Dtype dtype : {f32, f64, bf16}) {
    for (const Shape& shape :
         {Shape{2, 1}, Shape{7, 3}, Shape{2, 5, 5, 16}, Shape{3, 33, 31, 20}, Shape{8, 16, 16, 64}}) {
      for (const auto& [name, join] : kJoins) {
        const Inputs in(shape, dtype);
        manual_seed(9);
        const std::vector<Tensor> expected = values_and_gradients(in, join, false);
        manual_seed(9);
        const std::vector<Tensor> got = values_and_gradients(in, join, true);
        for (std::size_t i = 0; i < got.size(); ++i) {
          BOOST_TEST_CONTEXT(name << ", " << to_string(shape) << ", result " << i) {
            BOOST_TEST(got[i].defined() == expected[i].defined());
            if (got[i].defined()) BOOST_TEST(same_bits(got[i], expected[i]));
          }
        }
      }
    }
  }
}

BOOST_AUTO_TEST_CASE(a_norm_waits_for_what_follows_and_relu_does_not_make_it_compute) {
  const Inputs in({4, 3, 3, 2});
  const Tensor norm = in.norm();
  BOOST_TEST(waits(norm));
  const Tensor y = relu(norm);
  BOOST_TEST(waits(norm));
  BOOST_TEST(!waits(y));
  const Tensor sum = norm + in.residual;
  BOOST_TEST(waits(sum));
  BOOST_TEST(!waits(looked_at(sum)));
  BOOST_TEST(waits(norm));
}

BOOST_AUTO_TEST_CASE(gradients_of_both_orders_pass_through) {
  const Inputs in({3, 2, 2, 3}, f64);
  check_grads(
      [](const std::vector<Tensor>& x) {
        return relu(batch_norm(x[0], x[1], x[2], {}, {}, {.training = true}) + x[3]);
      },
      in.all(), {.order = 2});
  check_grads(
      [](const std::vector<Tensor>& x) { return relu(batch_norm(x[0], x[1], x[2], {}, {}, {.training = true})); },
      {in.x, in.weight, in.bias}, {.order = 2});
}

BOOST_AUTO_TEST_CASE(the_tape_lists_every_op) {
  const Inputs in({4, 2});
  std::ostringstream list;
  list << Tape::of(relu(in.norm() + in.residual));
  for (const char* op : {"batch_norm", "add", "relu"}) BOOST_TEST(list.str().find(op) != std::string::npos);
}

BOOST_AUTO_TEST_CASE(the_gradient_of_what_lies_between_can_be_asked_for) {
  const Inputs in({6, 3});
  const Tensor norm = in.norm(), sum = norm + in.residual, y = relu(sum);
  const Tensor dy = randn(y.shape());
  const std::vector<Tensor> got = grad({y}, {norm, sum, in.x, in.residual}, {.grad_outputs = {dy}});
  Tensor expected = zeros(y.shape());
  for (Index i = 0; i < y.numel(); ++i) {
    expected.mutable_data<float>()[i] = y.data<float>()[i] > 0 ? dy.data<float>()[i] : 0;
  }
  BOOST_TEST(same_bits(got[0], expected));
  BOOST_TEST(same_bits(got[1], expected));
  BOOST_TEST(same_bits(got[3], expected));
}

BOOST_AUTO_TEST_CASE(running_statistics_are_updated_at_once) {
  Tensor mean = zeros({2}), var = ones({2});
  const Tensor x = tensor({{1.0F, 5.0F}, {3.0F, 9.0F}});
  const Tensor y = batch_norm(x, {}, {}, mean, var, {.training = true, .momentum = 1});
  BOOST_TEST(waits(y));
  BOOST_TEST(all_close(mean, {2, 7}, 0));
  BOOST_TEST(all_close(var, {2, 8}, 0));
}

BOOST_AUTO_TEST_CASE(writing_to_the_input_afterwards_changes_nothing) {
  Tensor x = tensor({{1.0F, 5.0F}, {3.0F, 9.0F}});
  const Tensor y = batch_norm(x, {}, {}, {}, {}, {.training = true, .eps = 0});
  Tensor other = ones({2, 2});
  const Tensor sum = y + other;
  x.mutable_data<float>()[0] = 100;
  other.mutable_data<float>()[3] = 100;
  BOOST_TEST(all_close(y, {-1, -1, 1, 1}, 0));
  BOOST_TEST(all_close(sum, {0, 0, 2, 2}, 0));
  Tensor moved = tensor({{1.0F, 5.0F}, {3.0F, 9.0F}});
  const Tensor z = batch_norm(moved, {}, {}, {}, {}, {.training = true, .eps = 0});
  moved.set_data(zeros({2, 2}));
  BOOST_TEST(all_close(z, {-1, -1, 1, 1}, 0));
}

BOOST_AUTO_TEST_CASE(writing_to_a_result_that_waits_keeps_the_rest_of_it) {
  const Tensor x = tensor({{1.0F, 5.0F}, {3.0F, 9.0F}});
  Tensor y = batch_norm(x, {}, {}, {}, {}, {.training = true, .eps = 0});
  y.mutable_data<float>()[0] = 7;
  BOOST_TEST(all_close(y, {7, -1, 1, 1}, 0));
  BOOST_TEST(all_close(relu(y), {7, 0, 1, 1}, 0));
}

BOOST_AUTO_TEST_CASE(another_shape_of_a_result_that_waits_is_the_same_result) {
  const Inputs in({4, 3, 3, 2});
  const Tensor norm = in.norm();
  const Tensor flat = reshape(norm, {4, 18});
  BOOST_TEST(waits(flat));
  const Tensor y = relu(flat);
  BOOST_TEST(y.shape() == (Shape{4, 18}));
  BOOST_TEST(same_bits(reshape(y, norm.shape()), relu(looked_at(in.norm()))));
  const Tensor row = relu(slice(norm, {.dim = 0, .begin = 1, .end = 2}));
  BOOST_TEST(same_bits(row, slice(relu(looked_at(in.norm())), {.dim = 0, .begin = 1, .end = 2})));
  sum(y).backward();
  BOOST_TEST(in.x.grad().defined());
}

BOOST_AUTO_TEST_CASE(threads_may_look_at_the_same_result) {
  const Inputs in({16, 16, 16, 8});
  const Tensor expected = looked_at(in.norm());
  for (int round = 0; round < 20; ++round) {
    const Tensor norm = in.norm();
    std::vector<int> same(4);
    {
      std::vector<std::jthread> threads;
      for (std::size_t i = 0; i < same.size(); ++i) {
        threads.emplace_back([&, i] {
          const Tensor sum = i % 2 == 0 ? norm : relu(norm);
          same[i] = i % 2 == 0 ? same_bits(sum, expected) : same_bits(sum, relu(expected));
        });
      }
    }
    for (const int s : same) BOOST_TEST(s == 1);
  }
}

BOOST_AUTO_TEST_CASE(what_nobody_looks_at_leaves_nothing_behind) {
  const Inputs in({64, 8, 8, 16});
  const auto live = [] { return std::pair(memory_stats().live_storages, memory_stats().live_nodes); };
  const auto before = live();
  { const Tensor norm = in.norm(), sum = norm + in.residual; }
  BOOST_TEST((live() == before));
  for (int i = 0; i < 3; ++i) sum(relu(in.norm() + in.residual)).backward();
  for (const Tensor& x : in.all()) x.zero_grad();
  BOOST_TEST((live() == before));
}

BOOST_AUTO_TEST_SUITE_END()
