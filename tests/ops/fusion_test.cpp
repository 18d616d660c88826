// An op has read its inputs when it returns, and batch_norm does what mostly follows it in the same pass: the numbers
// are those of the ops one by one.
#include <support/expect.h>
#include <support/op_table.h>

#include <array>
#include <limits>
#include <sstream>
#include <stdexcept>
#include <vector>

#include <tapestry/autograd/backward.h>
#include <tapestry/autograd/grad_mode.h>
#include <tapestry/autograd/memory/allocator.h>
#include <tapestry/autograd/node.h>
#include <tapestry/autograd/random.h>
#include <tapestry/autograd/tape.h>
#include <tapestry/ops/activation.h>
#include <tapestry/ops/binary.h>
#include <tapestry/ops/cast.h>
#include <tapestry/ops/norm.h>
#include <tapestry/ops/reduce.h>
#include <tapestry/ops/unary.h>

using namespace tapestry;
using namespace tapestry::test;

namespace {

/// batch_norm with relu, a residual or both: fused, or as the ops one by one.
struct Ending {
  const char* name;
  bool relu, residual;

  /// x: input, weight, bias and, where the ending has one, a residual.
  [[nodiscard]] Tensor fused(const std::vector<Tensor>& x, bool training) const {
    return norm(x, training, {.relu = relu, .residual = residual ? x[3] : Tensor()});
  }
  [[nodiscard]] Tensor composed(const std::vector<Tensor>& x, bool training) const {
    Tensor y = norm(x, training, {});
    if (residual) y = y + x[3];
    return relu ? tapestry::relu(y) : y;
  }

 private:
  static Tensor norm(const std::vector<Tensor>& x, bool training, BatchNormOptions options) {
    options.training = training;
    if (training) return batch_norm(x[0], {.weight = x[1], .bias = x[2]}, options);
    const Index channels = x[0].size(-1);
    const Tensor mean = full({channels}, .2, {.dtype = x[1].dtype()}),
                 var = full({channels}, 1.5, {.dtype = x[1].dtype()});
    return batch_norm(x[0], {.running_mean = mean, .running_var = var, .weight = x[1], .bias = x[2]}, options);
  }
};

constexpr std::array<Ending, 3> kEndings{
    {{"relu", true, false}, {"residual", false, true}, {"residual, relu", true, true}}};

OpSpec row(const Ending& ending, bool training) {
  return {.op = "batch_norm",
          .variant = std::string(ending.name) + (training ? ", training" : ", running statistics"),
          .inputs =
              [ending](Generator& g) {
                std::vector<Tensor> x{sample(g, {3, 2, 2, 3}, -2, 2), sample(g, {3}, 0.5, 1.5), sample(g, {3})};
                if (ending.residual) x.push_back(sample(g, {3, 2, 2, 3}));
                return x;
              },
          .f = [ending, training](const std::vector<Tensor>& x) { return ending.fused(x, training); }};
}

const OpRows rows{row(kEndings[0], true),  row(kEndings[0], false), row(kEndings[1], true),
                  row(kEndings[1], false), row(kEndings[2], true),  row(kEndings[2], false)};

std::vector<Tensor> inputs(const Shape& shape, Dtype dtype = f32) {
  manual_seed(5);
  const Shape channels{shape[shape.rank() - 1]};
  const Dtype per_channel = dtype == bf16 ? f32 : dtype;
  std::vector<Tensor> x{
      to(randn(shape, {.dtype = per_channel}), dtype), uniform(channels, -1, 1, {.dtype = per_channel}),
      uniform(channels, -1, 1, {.dtype = per_channel}), to(randn(shape, {.dtype = per_channel}), dtype)};
  for (Tensor& t : x) t.requires_grad(true);
  return x;
}

Tensor seed_of(const Tensor& y) {
  Generator generator(9);
  return to(randn(y.shape(), {.dtype = y.dtype() == bf16 ? f32 : y.dtype(), .generator = &generator}), y.dtype());
}

Tensor f64_tensor(const std::vector<double>& values, const Shape& shape) {
  return tensor(values, shape, {.dtype = f64});
}

}  // namespace

BOOST_AUTO_TEST_SUITE(fusion_test)

// --- an op has read its inputs when it returns

BOOST_AUTO_TEST_CASE(a_write_through_an_earlier_pointer_does_not_reach_a_result) {
  Tensor x = f64_tensor({1, 2, 3, 4}, {4, 1});
  double* p = x.mutable_data<double>();
  const Tensor mean = zeros({1}, {.dtype = f64}), var = ones({1}, {.dtype = f64});
  const Tensor y = batch_norm(x, {.running_mean = mean, .running_var = var}, {.eps = 0});
  const Tensor sum = y + x, positive = relu(y);
  p[0] = 100;
  BOOST_TEST(all_close(y, {1, 2, 3, 4}, 0));
  BOOST_TEST(all_close(sum, {2, 4, 6, 8}, 0));
  BOOST_TEST(all_close(positive, {1, 2, 3, 4}, 0));
}

BOOST_AUTO_TEST_CASE(central_differences_through_one_pointer_give_the_gradient) {
  Tensor x = f64_tensor({1, 2, 3, 5}, {4, 1});
  const Tensor factors = f64_tensor({1, 2, 3, 4}, {4, 1});
  const auto normed = [&] { return batch_norm(x, {}, {.training = true}); };
  double* p = x.mutable_data<double>();
  for (const Index at : {0, 1, 2, 3}) {
    constexpr double h = 1e-5;
    const double middle = p[at];
    p[at] = middle + h;
    const Tensor above = normed();
    p[at] = middle - h;
    const Tensor below = normed();
    p[at] = middle;
    const double difference = (sum(above * factors).item() - sum(below * factors).item()) / (2 * h);
    x.requires_grad(true);
    const Tensor slope = grad(sum(normed() * factors), x);
    x.requires_grad(false);
    BOOST_TEST(std::abs(difference - slope.data<double>()[at]) < 1e-8, "element " << at << ": " << difference);
  }
}

BOOST_AUTO_TEST_CASE(a_buffer_that_is_used_again_for_every_frame_keeps_the_outputs_apart) {
  Tensor frame = zeros({2, 1});
  float* p = frame.mutable_data<float>();
  const Tensor mean = zeros({1}), var = ones({1});
  std::vector<Tensor> outputs;
  for (const float value : {1.0F, 2.0F, 3.0F}) {
    p[0] = p[1] = value;
    outputs.push_back(batch_norm(frame, {.running_mean = mean, .running_var = var}, {.eps = 0}));
  }
  for (std::size_t i = 0; i < 3; ++i) {
    BOOST_TEST(all_close(outputs[i], {static_cast<double>(i + 1), static_cast<double>(i + 1)}, 0));
  }
}

// --- the numbers of the ops one by one

BOOST_AUTO_TEST_CASE(values_and_gradients_have_the_bits_of_the_ops_one_by_one) {
  for (const Dtype dtype : {f32, f64, bf16}) {
    for (const Shape& shape :
         {Shape{2, 1}, Shape{7, 3}, Shape{2, 5, 5, 16}, Shape{3, 33, 31, 20}, Shape{8, 16, 16, 64}}) {
      for (const Ending& ending : kEndings) {
        for (const bool training : {true, false}) {
          const std::vector<Tensor> x = inputs(shape, dtype);
          const Tensor y = ending.fused(x, training), expected = ending.composed(x, training);
          const auto where = std::string(ending.name) + ", " + to_string(shape) + ", " + name_of(dtype) +
                             (training ? ", training" : "");
          BOOST_TEST(same_bits(y, expected), where);
          const GradOptions options{.grad_outputs = {seed_of(y)}, .allow_unused = true};
          const std::vector<Tensor> got = grad({y}, x, options), wanted = grad({expected}, x, options);
          for (std::size_t i = 0; i < x.size(); ++i) {
            BOOST_TEST(got[i].defined() == wanted[i].defined(), where << ", gradient " << i);
            if (wanted[i].defined()) BOOST_TEST(same_bits(got[i], wanted[i]), where << ", gradient " << i);
          }
        }
      }
    }
  }
}

BOOST_AUTO_TEST_CASE(each_input_alone_and_each_pair_get_the_gradients_that_all_together_get) {
  for (const Ending& ending : kEndings) {
    for (const bool training : {true, false}) {
      const std::size_t count = ending.residual ? 4 : 3;
      const std::vector<Tensor> all = inputs({5, 3, 3, 20});
      const Tensor y = ending.fused(all, training);
      const std::vector<Tensor> expected =
          grad({y}, {all.begin(), all.begin() + static_cast<std::ptrdiff_t>(count)}, {.grad_outputs = {seed_of(y)}});
      for (std::size_t i = 0; i < count; ++i) {
        for (std::size_t j = i; j < count; ++j) {
          const std::vector<Tensor> x = inputs({5, 3, 3, 20});
          for (std::size_t k = 0; k < x.size(); ++k) Tensor(x[k]).requires_grad(k == i || k == j);
          const Tensor out = ending.fused(x, training);
          const std::vector<Tensor> got = grad({out}, {x[i], x[j]}, {.grad_outputs = {seed_of(out)}});
          BOOST_TEST(same_bits(got[0], expected[i]), ending.name << ": " << i << " of " << i << " and " << j);
          BOOST_TEST(same_bits(got[1], expected[j]), ending.name << ": " << j << " of " << i << " and " << j);
        }
      }
    }
  }
}

BOOST_AUTO_TEST_CASE(second_derivatives_are_those_of_the_ops_one_by_one) {
  // Not bit for bit: sums meet in another order.
  for (const Ending& ending : kEndings) {
    for (const bool training : {true, false}) {
      const auto second = [&](bool fused) {
        std::vector<Tensor> x = inputs({4, 3, 2, 3}, f64);
        if (!ending.residual) x.pop_back();
        const Tensor y = fused ? ending.fused(x, training) : ending.composed(x, training);
        const std::vector<Tensor> first = grad({y}, x, {.grad_outputs = {seed_of(y)}, .create_graph = true});
        Tensor penalty = sum(square(first[0]));
        for (std::size_t i = 1; i < first.size(); ++i) penalty = penalty + sum(square(first[i]));
        return grad({penalty}, x, {.allow_unused = true});
      };
      const std::vector<Tensor> got = second(true), expected = second(false);
      for (std::size_t i = 0; i < expected.size(); ++i) {
        BOOST_TEST(got[i].defined() == expected[i].defined());
        if (expected[i].defined()) BOOST_TEST(all_close(got[i], expected[i], 1e-10, 1e-10), ending.name << ", " << i);
      }
    }
  }
}

BOOST_AUTO_TEST_CASE(gradients_beside_bf16_have_their_inputs_dtypes_with_a_graph_and_without) {
  for (const Ending& ending : kEndings) {
    for (const bool training : {true, false}) {
      std::vector<Tensor> x = inputs({4, 5, 3, 8}, bf16);
      if (!ending.residual) x.pop_back();
      const Tensor y = ending.fused(x, training);
      const auto in_one_pass = grad({y}, x, {.grad_outputs = {seed_of(y)}, .retain_graph = true});
      const auto with_graph = grad({y}, x, {.grad_outputs = {seed_of(y)}, .create_graph = true});
      for (std::size_t i = 0; i < x.size(); ++i) {
        BOOST_TEST(in_one_pass[i].dtype() == x[i].dtype());
        BOOST_TEST(with_graph[i].dtype() == x[i].dtype());
        // Both compute in f32 and round once.
        BOOST_TEST(all_close(values(in_one_pass[i]), values(with_graph[i]), 1.0 / 128, 1e-4), ending.name << ", " << i);
      }
    }
  }
}

BOOST_AUTO_TEST_CASE(a_nan_passes_the_relu_and_so_does_its_gradient_and_zero_stops_both) {
  const double nan = std::numeric_limits<double>::quiet_NaN();
  for (const bool create_graph : {false, true}) {
    for (const bool has_residual : {false, true}) {
      Tensor x = f64_tensor({nan, 0, -1, 1}, {4, 1}).requires_grad(true);
      Tensor r = f64_tensor({0, 0, 0, 0}, {4, 1}).requires_grad(true);
      const Tensor mean = zeros({1}, {.dtype = f64}), var = ones({1}, {.dtype = f64});
      const Tensor y = batch_norm(x, {.running_mean = mean, .running_var = var},
                                  {.eps = 0, .relu = true, .residual = has_residual ? r : Tensor()});
      BOOST_TEST(all_close(y, {nan, 0, 0, 1}, 0));
      const auto g = grad({sum(y)}, {x, r}, {.create_graph = create_graph, .allow_unused = true});
      BOOST_TEST(all_close(g[0].detach(), {1, 0, 0, 1}, 0));
      if (has_residual) BOOST_TEST(all_close(g[1].detach(), {1, 0, 0, 1}, 0));
    }
  }
}

BOOST_AUTO_TEST_CASE(the_input_may_be_its_own_residual) {
  std::vector<Tensor> x = inputs({6, 4}, f64);
  x[3] = x[0];
  for (const Ending& ending : kEndings) {
    const Tensor y = ending.fused(x, true), expected = ending.composed(x, true);
    BOOST_TEST(same_bits(y, expected));
    const GradOptions options{.grad_outputs = {seed_of(y)}};
    BOOST_TEST(all_close(grad(y, x[0], options), grad(expected, x[0], options), 1e-13, 1e-14));
  }
}

BOOST_AUTO_TEST_CASE(running_statistics_are_those_of_the_norm_alone) {
  const std::vector<Tensor> x = inputs({4, 3, 3, 5});
  const auto moved = [&](bool relu, const Tensor& residual) {
    const Tensor mean = zeros({5}), var = ones({5}), batches = scalar(0, {.dtype = i64});
    (void)batch_norm(x[0], {.running_mean = mean, .running_var = var, .weight = x[1], .bias = x[2]},
                     {.training = true, .num_batches_tracked = batches, .relu = relu, .residual = residual});
    return std::vector{mean, var, batches};
  };
  const std::vector<Tensor> expected = moved(false, {}), got = moved(true, x[3]);
  for (std::size_t i = 0; i < 3; ++i) BOOST_TEST(same_bits(got[i], expected[i]));
}

BOOST_AUTO_TEST_CASE(an_empty_batch_has_empty_gradients) {
  for (const Ending& ending : kEndings) {
    for (const bool training : {true, false}) {
      const std::vector<Tensor> x = inputs({0, 2, 2, 3});
      const Tensor y = ending.fused(x, training);
      BOOST_TEST(y.shape() == x[0].shape());
      const auto g = grad({y}, x, {.grad_outputs = {empty(y.shape())}, .allow_unused = true});
      BOOST_TEST(g[0].shape() == y.shape());
      BOOST_TEST(all_close(g[1], {0, 0, 0}, 0));
      BOOST_TEST(all_close(g[2], {0, 0, 0}, 0));
      if (ending.residual) BOOST_TEST(g[3].shape() == y.shape());
    }
  }
}

// --- what is kept

BOOST_AUTO_TEST_CASE(one_op_is_recorded_and_keeps_what_its_header_says) {
  const std::vector<Tensor> x = inputs({4, 8, 8, 16});
  const Index image = 4 * 8 * 8 * 16 * 4, channels = 16 * 4;
  const auto kept = [](const Tensor& y) { return y.impl().node->bytes_kept(); };
  const Tensor plain = batch_norm(x[0], {.weight = x[1], .bias = x[2]}, {.training = true});
  BOOST_TEST(kept(plain) == image + 3 * channels);  // x; weight, mean, 1 / deviation
  const Tensor relu_alone = kEndings[0].fused(x, true), residual = kEndings[1].fused(x, true);
  BOOST_TEST(kept(relu_alone) == image + 5 * channels);  // and scale, shift
  BOOST_TEST(kept(residual) == image + 3 * channels);
  const Tensor y = kEndings[2].fused(x, true);
  BOOST_TEST(kept(y) == 2 * image + 3 * channels);  // and y
  std::ostringstream list;
  list << Tape::of(y);
  BOOST_TEST(list.str().find("batch_norm") != std::string::npos);
  for (const char* op : {"add", "relu"}) BOOST_TEST(list.str().find(op) == std::string::npos);
}

BOOST_AUTO_TEST_CASE(a_result_that_is_dropped_leaves_nothing_behind) {
  const std::vector<Tensor> x = inputs({64, 8, 8, 16});
  const auto live = [] { return std::pair(memory_stats().live_storages, memory_stats().live_nodes); };
  const auto before = live();
  for (const Ending& ending : kEndings) {
    { const Tensor y = ending.fused(x, true); }
    BOOST_TEST((live() == before), ending.name);
    sum(ending.fused(x, true)).backward();
    for (const Tensor& t : x) t.zero_grad();
    BOOST_TEST((live() == before), ending.name << ", played");
  }
}

BOOST_AUTO_TEST_CASE(what_was_kept_must_not_be_written_and_the_residual_may) {
  const auto after_writing = [](const auto& of) {
    const std::vector<Tensor> x = inputs({6, 4});
    const Tensor y = kEndings[2].fused(x, true);
    Tensor written = of(x, y).detach();
    written.mutable_data<float>()[0] += 1;
    return error<std::logic_error>([&] { (void)grad({y}, x, {.grad_outputs = {seed_of(y)}}); });
  };
  const std::string refused = "batch_norm: an input saved for backward was modified in place";
  BOOST_TEST(after_writing([](const auto& x, const Tensor&) { return x[0]; }).starts_with(refused));
  BOOST_TEST(after_writing([](const auto& x, const Tensor&) { return x[1]; }).starts_with(refused));
  BOOST_TEST(after_writing([](const auto&, const Tensor& y) { return y; }).starts_with(refused));
  BOOST_TEST(after_writing([](const auto& x, const Tensor&) { return x[3]; }) == "no error");
}

// --- what is refused

BOOST_AUTO_TEST_CASE(a_residual_is_as_the_input_or_refused_before_anything_has_changed) {
  const Tensor x = ones({2, 2, 3}), mean = zeros({3}), var = ones({3});
  const auto with = [&](const Tensor& residual) {
    return error<std::invalid_argument>([&] {
      (void)batch_norm(x, {.running_mean = mean, .running_var = var}, {.training = true, .residual = residual});
    });
  };
  BOOST_TEST(with(ones({2, 2, 4})) == "batch_norm: the residual must be [2, 2, 3]; got [2, 2, 4]");
  BOOST_TEST(with(ones({3})) == "batch_norm: the residual must be [2, 2, 3]; got [3]");
  BOOST_TEST(with(ones({2, 2, 3}, {.dtype = f64})) ==
             "batch_norm: the residual's dtype must be the input's, f32; got f64, convert it with to(x, f32)");
  BOOST_TEST(all_close(mean, {0, 0, 0}, 0));
  BOOST_TEST(all_close(var, {1, 1, 1}, 0));
}

BOOST_AUTO_TEST_SUITE_END()
