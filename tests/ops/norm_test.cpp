// Numbers are PyTorch 1.13's unless a naive loop gives them.
#include <support/expect.h>
#include <support/op_table.h>

#include <limits>
#include <stdexcept>

#include <tapestry/autograd/backward.h>
#include <tapestry/autograd/base/parallel.h>
#include <tapestry/autograd/grad_mode.h>
#include <tapestry/autograd/random.h>
#include <tapestry/ops/binary.h>
#include <tapestry/ops/cast.h>
#include <tapestry/ops/norm.h>
#include <tapestry/ops/reduce.h>
#include <tapestry/ops/unary.h>

using namespace tapestry;
using namespace tapestry::test;

namespace {

Tensor f64_tensor(std::initializer_list<double> values, const Shape& shape, bool requires_grad = false) {
  return tensor(std::vector<double>(values), shape, {.dtype = f64, .requires_grad = requires_grad});
}

/// Training without running statistics.
Tensor train_norm(const Tensor& x, const Tensor& weight = {}, const Tensor& bias = {}) {
  return batch_norm(x, {.weight = weight, .bias = bias}, {.training = true});
}

std::vector<Tensor> batch_inputs(Generator& g) {
  return {sample(g, {3, 2, 2, 3}, -2, 2), sample(g, {3}, 0.5, 1.5), sample(g, {3})};
}
std::vector<Tensor> layer_inputs(Generator& g) {
  return {sample(g, {3, 2, 4}, -2, 2), sample(g, {4}, 0.5, 1.5), sample(g, {4})};
}

const OpRows rows{
    {.op = "batch_norm",
     .variant = "training",
     .inputs = batch_inputs,
     .f = [](const std::vector<Tensor>& x) { return train_norm(x[0], x[1], x[2]); }},
    {.op = "batch_norm",
     .variant = "training, no weight",
     .inputs =
         [](Generator& g) {
           return std::vector{sample(g, {5, 2}, -2, 2)};
         },
     .f = [](const std::vector<Tensor>& x) { return train_norm(x[0]); }},
    {.op = "batch_norm",
     .variant = "running statistics",
     .inputs = batch_inputs,
     .f =
         [](const std::vector<Tensor>& x) {
           const Tensor mean = tensor({.1, .2, .3}, {.dtype = x[0].dtype()}),
                        var = tensor({.5, 1., 2.}, {.dtype = x[0].dtype()});
           return batch_norm(x[0], {.running_mean = mean, .running_var = var, .weight = x[1], .bias = x[2]});
         }},
    {.op = "layer_norm",
     .variant = "last dim",
     .inputs = layer_inputs,
     .f = [](const std::vector<Tensor>& x) { return layer_norm(x[0], {4}, x[1], x[2]); }},
    {.op = "layer_norm",
     .variant = "two dims, no weight",
     .inputs =
         [](Generator& g) {
           return std::vector{sample(g, {3, 2, 3}, -2, 2)};
         },
     .f =
         [](const std::vector<Tensor>& x) {
           return layer_norm(x[0], {2, 3});
         }},
    {.op = "group_norm",
     .variant = "2 groups",
     .inputs =
         [](Generator& g) {
           return std::vector{sample(g, {2, 2, 4}, -2, 2), sample(g, {4}, 0.5, 1.5), sample(g, {4})};
         },
     .f = [](const std::vector<Tensor>& x) { return group_norm(x[0], x[1], x[2], {.groups = 2}); }},
    {.op = "instance_norm",
     .variant = "weight and bias",
     .inputs =
         [](Generator& g) {
           return std::vector{sample(g, {2, 2, 3, 2}, -2, 2), sample(g, {2}, 0.5, 1.5), sample(g, {2})};
         },
     .f = [](const std::vector<Tensor>& x) { return instance_norm(x[0], x[1], x[2]); }},
    {.op = "local_response_norm",
     .variant = "3 of 5 channels",
     .inputs =
         [](Generator& g) {
           return std::vector{sample(g, {2, 3, 5}, -2, 2)};
         },
     .f = [](const std::vector<Tensor>& x) { return local_response_norm(x[0], {.size = 3, .alpha = 0.5, .k = 2}); }},
    {.op = "rms_norm",
     .variant = "with weight",
     .inputs =
         [](Generator& g) {
           return std::vector{sample(g, {3, 4}, -2, 2), sample(g, {4}, 0.5, 1.5)};
         },
     .f = [](const std::vector<Tensor>& x) { return rms_norm(x[0], {4}, x[1]); }},
    {.op = "normalize",
     .variant = "last dim",
     .inputs =
         [](Generator& g) {
           return std::vector{sample_signed(g, {3, 4}, 0.2, 2)};
         },
     .f = [](const std::vector<Tensor>& x) { return normalize(x[0]); }},
    {.op = "cosine_similarity",
     .variant = "last dim",
     .inputs =
         [](Generator& g) {
           return std::vector{sample_signed(g, {3, 4}, 0.2, 2), sample_signed(g, {3, 4}, 0.2, 2)};
         },
     .f = [](const std::vector<Tensor>& x) { return cosine_similarity(x[0], x[1]); }},
};

struct Reference {
  std::vector<double> y, mean, var;  ///< var is the biased one
};

/// Batch norm of [rows, channels] in plain double loops.
Reference naive_batch_norm(const std::vector<double>& x, Index rows_of, Index channels,
                           const std::vector<double>& weight, const std::vector<double>& bias) {
  Reference r{x, std::vector<double>(static_cast<std::size_t>(channels), 0),
              std::vector<double>(static_cast<std::size_t>(channels), 0)};
  for (Index c = 0; c < channels; ++c) {
    const auto k = static_cast<std::size_t>(c);
    const auto at = [&](Index row) { return static_cast<std::size_t>(row * channels + c); };
    for (Index row = 0; row < rows_of; ++row) r.mean[k] += x[at(row)] / static_cast<double>(rows_of);
    for (Index row = 0; row < rows_of; ++row)
      r.var[k] += std::pow(x[at(row)] - r.mean[k], 2) / static_cast<double>(rows_of);
    for (Index row = 0; row < rows_of; ++row) {
      r.y[at(row)] = (x[at(row)] - r.mean[k]) / std::sqrt(r.var[k] + 1e-5) * weight[k] + bias[k];
    }
  }
  return r;
}

Tensor to_f32(const Tensor& x) { return to(x.detach(), f32); }

}  // namespace

BOOST_AUTO_TEST_SUITE(norm_test)

BOOST_AUTO_TEST_CASE(batch_norm_agrees_with_plain_loops_for_any_number_of_channels_and_rows) {
  Generator generator(1);
  for (const Index channels : {1, 2, 3, 5, 16, 31, 32, 33, 64, 65, 130}) {
    for (const Index rows_of : {2, 3, 7, 64, 129, 1500}) {
      const Tensor x = sample(generator, {rows_of, channels}, -3, 5);
      const Tensor w = sample(generator, {channels}, .5, 2), b = sample(generator, {channels});
      const Reference expected = naive_batch_norm(values(x), rows_of, channels, values(w), values(b));
      BOOST_TEST(all_close(train_norm(x, w, b), expected.y, 1e-11, 1e-12));
      const Tensor x32 = to_f32(x), w32 = to_f32(w), b32 = to_f32(b);
      const Reference expected32 = naive_batch_norm(values(x32), rows_of, channels, values(w32), values(b32));
      // f32 rounds x - mean to 5 u; few rows may lie close together, and 1 / std magnifies it
      BOOST_TEST(all_close(train_norm(x32, w32, b32), expected32.y, 2e-5, 2e-5));
    }
  }
}

BOOST_AUTO_TEST_CASE(batch_norm_gradients_in_f32_agree_with_f64) {
  Generator generator(2);
  for (const Index channels : {1, 3, 16, 40, 64}) {
    for (const Index rows_of : {2, 65, 3001}) {
      const std::vector<Tensor> in{sample(generator, {rows_of, channels}, -3, 5), sample(generator, {channels}, .5, 2),
                                   sample(generator, {channels})};
      const Tensor dy = sample(generator, {rows_of, channels});
      const auto gradients = [&](Dtype dtype, bool create_graph) {
        std::vector<Tensor> x;
        for (const Tensor& t : in) x.push_back(to(t, dtype).detach().requires_grad(true));
        return grad(sum(train_norm(x[0], x[1], x[2]) * to(dy, dtype)), x, {.create_graph = create_graph});
      };
      const auto fused = gradients(f64, false), composed = gradients(f64, true), single = gradients(f32, false);
      for (std::size_t i = 0; i < 3; ++i) {
        BOOST_TEST(all_close(fused[i], composed[i].detach(), 1e-9, 1e-10));
        const double largest = max(abs(fused[i])).item();
        BOOST_TEST(all_close(values(single[i]), values(fused[i]), 0, 5e-5 * std::max(1.0, largest)));
      }
    }
  }
}

BOOST_AUTO_TEST_CASE(running_statistics_take_the_unbiased_variance) {
  for (const Dtype dtype : {f32, f64}) {
    const Tensor mean = zeros({1}, {.dtype = dtype}), var = ones({1}, {.dtype = dtype});
    (void)batch_norm(tensor({{0.0}, {2.0}}, {.dtype = dtype}), {.running_mean = mean, .running_var = var},
                     {.training = true});
    BOOST_TEST(all_close(mean, {.1}, 1e-7));
    BOOST_TEST(all_close(var, {1.1}, 1e-7));
  }
}

BOOST_AUTO_TEST_CASE(without_momentum_the_running_statistics_are_averages) {
  const Tensor mean = zeros({1}), var = ones({1}), batches = scalar(0, {.dtype = i64});
  const BatchNormOptions options{.training = true, .momentum = {}, .num_batches_tracked = batches};
  (void)batch_norm(tensor({{0.F}, {2.F}}), {.running_mean = mean, .running_var = var}, options);
  (void)batch_norm(tensor({{4.F}, {4.F}}), {.running_mean = mean, .running_var = var}, options);
  BOOST_TEST(batches.item<std::int64_t>() == 2);
  BOOST_TEST(all_close(mean, {2.5}, 0));
  BOOST_TEST(all_close(var, {1}, 0));
}

BOOST_AUTO_TEST_CASE(statistics_move_under_no_grad_too) {
  const Tensor mean = zeros({1}), var = ones({1});
  no_grad([&] {
    return batch_norm(tensor({{0.F}, {2.F}}), {.running_mean = mean, .running_var = var}, {.training = true});
  });
  BOOST_TEST(all_close(mean, {.1}, 1e-7));
}

BOOST_AUTO_TEST_CASE(one_value_per_channel_is_an_error_and_leaves_the_statistics_alone) {
  const Tensor mean = zeros({3}), var = ones({3}), batches = scalar(0, {.dtype = i64});
  BOOST_TEST(error<std::invalid_argument>([&] {
               (void)batch_norm(ones({1, 1, 1, 3}), {.running_mean = mean, .running_var = var},
                                {.training = true, .num_batches_tracked = batches});
             }) == "batch_norm: training needs more than one value per channel; got input [1, 1, 1, 3]");
  BOOST_TEST(all_close(mean, {0, 0, 0}, 0));
  BOOST_TEST(all_close(var, {1, 1, 1}, 0));
  BOOST_TEST(batches.item<std::int64_t>() == 0);
}

BOOST_AUTO_TEST_CASE(an_empty_batch_leaves_the_statistics_alone) {
  const Tensor mean = zeros({3}), var = ones({3}), batches = scalar(0, {.dtype = i64});
  Tensor x = empty({0, 2, 2, 3}), w = ones({3}), b = zeros({3});
  for (Tensor* t : {&x, &w, &b}) t->requires_grad(true);
  const Tensor y = batch_norm(x, {.running_mean = mean, .running_var = var, .weight = w, .bias = b},
                              {.training = true, .num_batches_tracked = batches});
  BOOST_TEST(y.shape() == x.shape());
  const auto g = grad(sum(y), {x, w, b});
  BOOST_TEST(g[0].shape() == x.shape());
  BOOST_TEST(all_close(g[1], {0, 0, 0}, 0));
  BOOST_TEST(all_close(g[2], {0, 0, 0}, 0));
  BOOST_TEST(all_close(mean, {0, 0, 0}, 0));
  BOOST_TEST(all_close(var, {1, 1, 1}, 0));
  BOOST_TEST(batches.item<std::int64_t>() == 0);
}

BOOST_AUTO_TEST_CASE(without_training_statistics_are_constants) {
  Tensor x = f64_tensor({1, 5}, {2, 1}, true);
  const Tensor mean = f64_tensor({1}, {1}), var = f64_tensor({3}, {1});
  const Tensor y = batch_norm(x, {.running_mean = mean, .running_var = var}, {.eps = 1});
  BOOST_TEST(all_close(y, {0, 2}, 1e-15));
  BOOST_TEST(all_close(grad(sum(y), x), {.5, .5}, 1e-15));
  BOOST_TEST(all_close(mean, {1}, 0));
  BOOST_TEST(all_close(var, {3}, 0));
}

BOOST_AUTO_TEST_CASE(statistics_may_move_between_forward_and_backward) {
  Tensor x = f64_tensor({1, 5}, {2, 1}, true);
  const Tensor mean = f64_tensor({1}, {1}), var = f64_tensor({3}, {1});
  const Tensor y = batch_norm(x, {.running_mean = mean, .running_var = var}, {.eps = 1});
  (void)batch_norm(f64_tensor({7, 9}, {2, 1}), {.running_mean = mean, .running_var = var}, {.training = true});
  BOOST_TEST(all_close(grad(sum(y), x), {.5, .5}, 1e-15));
}

BOOST_AUTO_TEST_CASE(the_gradient_of_two_values_is_what_eps_leaves) {
  for (const bool create_graph : {false, true}) {
    Tensor x = f64_tensor({0, 2}, {2, 1}, true);
    const Tensor loss = sum(train_norm(x) * f64_tensor({1, 2}, {2, 1}));
    BOOST_TEST(all_close(grad(loss, x, {.create_graph = create_graph}), {-4.999925e-6, 4.999925e-6}, 1e-6));
  }
}

BOOST_AUTO_TEST_CASE(a_constant_channel_gives_its_bias_and_a_finite_gradient) {
  for (const Dtype dtype : {f32, f64}) {
    for (const Index channels : {1, 3, 70}) {
      Tensor x = full({1000, channels}, .1, {.dtype = dtype, .requires_grad = true});
      const Tensor bias = full({channels}, .7, {.dtype = dtype});
      const Tensor y = train_norm(x, full({channels}, 3, {.dtype = dtype}), bias);
      const std::vector<double> expected(static_cast<std::size_t>(x.numel()), values(bias)[0]);
      BOOST_TEST(all_close(y, expected, 0));
      for (const double g : values(grad(sum(y * y), x))) BOOST_REQUIRE(std::isfinite(g));
    }
  }
}

BOOST_AUTO_TEST_CASE(a_large_mean_does_not_spoil_the_variance) {
  Generator generator(3);
  const Tensor x = normal({100000, 2}, 1e4, 1, {.generator = &generator});
  const Tensor mean = zeros({2}), var = zeros({2});
  (void)batch_norm(x, {.running_mean = mean, .running_var = var}, {.training = true, .momentum = 1.0});
  const Tensor exact = to(x, f64);
  BOOST_TEST(all_close(values(var), values(tapestry::var(exact, {.dim = 0})), 1e-5));
  BOOST_TEST(all_close(values(mean), values(tapestry::mean(exact, {.dim = 0})), 1e-7));
}

BOOST_AUTO_TEST_CASE(an_outlier_in_front_does_not_spoil_the_variance) {
  Generator generator(3);
  Tensor x = randn({4096, 1}, {.generator = &generator});
  x.mutable_data<float>()[0] = 1e4F;
  const Tensor mean = zeros({1}), var = zeros({1});
  (void)batch_norm(x, {.running_mean = mean, .running_var = var}, {.training = true, .momentum = 1.0});
  BOOST_TEST(all_close(values(var), values(tapestry::var(to(x, f64), {.dim = 0})), 1e-5));
}

BOOST_AUTO_TEST_CASE(batch_norm_bits_do_not_depend_on_the_number_of_threads) {
  const int threads = num_threads();
  Generator generator(3);
  Tensor x = randn({40, 16, 16, 24}, {.requires_grad = true, .generator = &generator});
  const Tensor dy = randn({40, 16, 16, 24}, {.generator = &generator});
  const Tensor w = ones({24}, {.requires_grad = true});
  std::vector<Tensor> first;
  for (const int count : {1, 2, 3, 7}) {
    set_num_threads(count);
    const Tensor mean = zeros({24}), var = ones({24});
    const Tensor y = batch_norm(x, {.running_mean = mean, .running_var = var, .weight = w}, {.training = true});
    const auto g = grad(sum(y * dy), {x, w});
    const std::vector<Tensor> all{y.detach(), mean, var, g[0], g[1]};
    if (first.empty()) first = all;
    for (std::size_t i = 0; i < all.size(); ++i) BOOST_TEST(same_bits(all[i], first[i]));
  }
  set_num_threads(threads);
}

BOOST_AUTO_TEST_CASE(batch_norm_refuses_wrong_calls) {
  const auto refused = [](const auto& f) { return error<std::invalid_argument>(f); };
  const Tensor x = ones({2, 3}), c3 = ones({3}), c2 = ones({2});
  BOOST_TEST(refused([&] { (void)batch_norm(x, {}); }) ==
             "batch_norm: without training there must be running statistics; got none");
  BOOST_TEST(refused([&] { (void)batch_norm(x, {.running_mean = c3, .running_var = c3, .weight = c2}); }) ==
             "batch_norm: weight must be [3]; got [2]");
  BOOST_TEST(refused([&] { (void)batch_norm(x, {.running_mean = c3, .running_var = c3, .bias = c2}); }) ==
             "batch_norm: bias must be [3]; got [2]");
  BOOST_TEST(refused([&] { (void)batch_norm(x, {.running_mean = c3}); }) ==
             "batch_norm: running_mean and running_var must be given together; got running_mean alone");
  BOOST_TEST(refused([&] { (void)batch_norm(x, {.running_mean = c3, .running_var = c3}, {.eps = -1}); }) ==
             "batch_norm: eps must not be negative; got -1");
  BOOST_TEST(refused([&] {
               (void)batch_norm(x, {.running_mean = c3, .running_var = c3}, {.training = true, .momentum = 2});
             }) == "batch_norm: momentum must be in [0, 1]; got 2");
  BOOST_TEST(refused([&] {
               (void)batch_norm(x, {.running_mean = c3, .running_var = c3}, {.training = true, .momentum = {}});
             }) == "batch_norm: without momentum there must be num_batches_tracked; got none");
  BOOST_TEST(refused([&] { (void)batch_norm(scalar(1), {}, {.training = true}); }) ==
             "batch_norm: the input must have a channel dimension; got shape []");
  BOOST_TEST(refused([&] { (void)batch_norm(x, {.running_mean = ones({3}, {.dtype = f64}), .running_var = c3}); }) ==
             "batch_norm: the dtypes must be equal; got f32 and f64, convert one with to(x, f32)");
  BOOST_TEST(refused([&] {
               (void)batch_norm(x, {.running_mean = ones({3}, {.requires_grad = true}), .running_var = c3});
             }) == "batch_norm: running statistics must be constants; got one that requires grad");
}

BOOST_AUTO_TEST_CASE(layer_norm_normalises_rows) {
  Generator generator(5);
  for (const Index n : {1, 2, 7, 16, 17, 33, 100}) {
    const Tensor x = sample(generator, {70, n}, -3, 5);
    const Tensor w = sample(generator, {n}, .5, 2), b = sample(generator, {n});
    const Tensor mean_of = mean(x, {.dim = 1, .keepdim = true});
    const Tensor var_of = mean(square(x - mean_of), {.dim = 1, .keepdim = true});
    const Tensor expected = (x - mean_of) / sqrt(var_of + 1e-5) * w + b;
    BOOST_TEST(all_close(layer_norm(x, {n}, w, b), expected, 1e-11, 1e-12));
    BOOST_TEST(all_close(values(layer_norm(to_f32(x), {n}, to_f32(w), to_f32(b))), values(expected), 5e-5, 5e-5));
  }
}

BOOST_AUTO_TEST_CASE(layer_norm_of_a_constant_row_is_zero_with_a_large_finite_gradient) {
  for (const bool create_graph : {false, true}) {
    Tensor x = full({1, 3}, .3, {.dtype = f64, .requires_grad = true});
    const Tensor y = layer_norm(x, {3});
    BOOST_TEST(all_close(y, {0, 0, 0}, 0));
    const Tensor g = grad(sum(y * f64_tensor({1, 2, 3}, {3})), x, {.create_graph = create_graph});
    BOOST_TEST(all_close(g, {-316.2278, 0, 316.2278}, 1e-6, 1e-6));
  }
  const Tensor y32 = layer_norm(full({2, 1000}, .1), {1000});
  BOOST_TEST(all_close(y32, std::vector<double>(2000, 0), 0));
}

BOOST_AUTO_TEST_CASE(layer_norm_gradients_of_many_rows_agree_with_composed_ones) {
  Generator generator(6);
  std::vector<Tensor> in{sample(generator, {1500, 33}, -3, 5), sample(generator, {33}, .5, 2), sample(generator, {33})};
  for (Tensor& t : in) t.requires_grad(true);
  const Tensor loss = sum(layer_norm(in[0], {33}, in[1], in[2]) * sample(generator, {1500, 33}));
  const auto fused = grad(loss, in, {.retain_graph = true}), composed = grad(loss, in, {.create_graph = true});
  for (std::size_t i = 0; i < 3; ++i) BOOST_TEST(all_close(fused[i], composed[i].detach(), 1e-9, 1e-10));
}

BOOST_AUTO_TEST_CASE(layer_norm_takes_empty_tensors_and_refuses_other_shapes) {
  Tensor x = empty({0, 3}).requires_grad(true), w = ones({3}, {.requires_grad = true});
  const auto g = grad(sum(layer_norm(x, {3}, w)), {x, w});
  BOOST_TEST(g[0].shape() == (Shape{0, 3}));
  BOOST_TEST(all_close(g[1], {0, 0, 0}, 0));
  BOOST_TEST(error<std::invalid_argument>([] {
               (void)layer_norm(ones({2, 3}), {2});
             }) == "layer_norm: the input must end in the normalized shape [2]; got [2, 3]");
  BOOST_TEST(error<std::invalid_argument>([] {
               (void)layer_norm(ones({2, 3}), Shape{});
             }) == "layer_norm: the input must end in the normalized shape []; got [2, 3]");
  BOOST_TEST(error<std::invalid_argument>([] {
               (void)layer_norm(ones({2, 3}), {3}, ones({2}));
             }) == "layer_norm: weight must be [3]; got [2]");
}

BOOST_AUTO_TEST_CASE(group_norm_with_one_group_is_layer_norm_over_the_image) {
  Generator generator(7);
  const Tensor x = sample(generator, {2, 3, 2, 4});
  BOOST_TEST(all_close(group_norm(x, {}, {}), layer_norm(x, {3, 2, 4}), 1e-11, 1e-12));
  BOOST_TEST(error<std::invalid_argument>([&] { (void)group_norm(x, {}, {}, {.groups = 3}); }) ==
             "group_norm: groups must divide the channels; got 3 groups, 4 channels");
}

BOOST_AUTO_TEST_CASE(group_norm_normalises_each_group_on_its_own) {
  const Tensor x = f64_tensor({0, 2, 10, 10, 4, 6, 30, 10}, {1, 2, 4});
  const Tensor y = group_norm(x, {}, {}, {.groups = 2, .eps = 0});
  const double a = 3 / std::sqrt(5.0), b = 1 / std::sqrt(5.0), c = 5 / std::sqrt(75.0), d = 15 / std::sqrt(75.0);
  BOOST_TEST(all_close(y, {-a, -b, -c, -c, b, a, d, -c}, 1e-14));
}

BOOST_AUTO_TEST_CASE(instance_norm_normalises_each_channel_of_each_image) {
  Generator generator(8);
  const Tensor x = sample(generator, {3, 4, 5, 2}, -3, 5);
  const Tensor w = sample(generator, {2}, .5, 2), b = sample(generator, {2});
  const std::vector<double> v = values(x), of_w = values(w), of_b = values(b);
  std::vector<double> expected(v.size());
  for (std::size_t n = 0; n < 3; ++n) {
    for (std::size_t c = 0; c < 2; ++c) {
      double mean_of = 0, var_of = 0;
      for (std::size_t p = 0; p < 20; ++p) mean_of += v[(n * 20 + p) * 2 + c] / 20;
      for (std::size_t p = 0; p < 20; ++p) var_of += std::pow(v[(n * 20 + p) * 2 + c] - mean_of, 2) / 20;
      for (std::size_t p = 0; p < 20; ++p) {
        const std::size_t at = (n * 20 + p) * 2 + c;
        expected[at] = (v[at] - mean_of) / std::sqrt(var_of + 1e-5) * of_w[c] + of_b[c];
      }
    }
  }
  BOOST_TEST(all_close(instance_norm(x, w, b), expected, 1e-12, 1e-13));
  BOOST_TEST(all_close(instance_norm(to_f32(x), to_f32(w), to_f32(b)), expected, 1e-5, 1e-5));
  BOOST_TEST(all_close(instance_norm(x), group_norm(x, {}, {}, {.groups = 2}), 1e-12, 1e-13));
  BOOST_TEST(instance_norm(ones({0, 4, 4, 3})).shape() == (Shape{0, 4, 4, 3}));
  BOOST_TEST(instance_norm(ones({2, 4, 3})).shape() == (Shape{2, 4, 3}));
}

BOOST_AUTO_TEST_CASE(instance_norm_refuses_images_of_one_pixel) {
  const auto text = [](const Tensor& x, const Tensor& weight = {}) {
    return error<std::invalid_argument>([&] { (void)instance_norm(x, weight); });
  };
  BOOST_TEST(text(ones({2, 1, 1, 3})) == "instance_norm: an image must have more than one pixel; got [2, 1, 1, 3]");
  BOOST_TEST(text(ones({2, 3})) == "instance_norm: the input must be [N, ..., C]; got [2, 3]");
  BOOST_TEST(text(ones({2, 2, 2, 3}), ones({2})) == "instance_norm: weight must be [3]; got [2]");
  BOOST_TEST(error<std::invalid_argument>([] {
               (void)instance_norm(ones({2, 2, 2, 3}), {}, {}, {.eps = -1});
             }) == "instance_norm: eps must not be negative; got -1");
}

BOOST_AUTO_TEST_CASE(local_response_norm_divides_by_the_squares_of_neighbouring_channels) {
  const Tensor x = ones({1, 1, 1, 3}, {.dtype = f64});
  BOOST_TEST(all_close(local_response_norm(x, {.size = 2}), {.9999626, .9999250, .9999250}, 2e-7));
  Generator generator(9);
  for (const Index size : {1, 2, 3, 4, 5, 9, 1000}) {
    const Tensor in = sample(generator, {7, 4}, -3, 3);
    const std::vector<double> v = values(in);
    std::vector<double> expected;
    for (Index row = 0; row < 7; ++row) {
      for (Index c = 0; c < 4; ++c) {
        double sum_of = 0;
        for (Index k = std::max<Index>(0, c - size / 2); k <= std::min<Index>(3, c + (size - 1) / 2); ++k) {
          sum_of += std::pow(v[static_cast<std::size_t>(row * 4 + k)], 2);
        }
        const double scale = 2 + 0.3 * sum_of / static_cast<double>(size);
        expected.push_back(v[static_cast<std::size_t>(row * 4 + c)] / std::pow(scale, 0.6));
      }
    }
    BOOST_TEST(all_close(local_response_norm(in, {.size = size, .alpha = 0.3, .beta = 0.6, .k = 2}), expected, 1e-13),
               size);
  }
  BOOST_TEST(local_response_norm(ones({0, 3})).shape() == (Shape{0, 3}));
  BOOST_TEST(local_response_norm(ones({3, 0})).shape() == (Shape{3, 0}));
  BOOST_TEST(error<std::invalid_argument>([] {
               (void)local_response_norm(ones({2, 3}), {.size = 0});
             }) == "local_response_norm: size must be at least 1; got 0");
  BOOST_TEST(error<std::invalid_argument>([] { (void)local_response_norm(scalar(1)); }) ==
             "local_response_norm: the input must have a channel dimension; got shape []");
}

BOOST_AUTO_TEST_CASE(tensors_of_batch_norm_stand_in_pytorchs_order) {
  const Tensor x = f64_tensor({0, 2, 4, 6}, {2, 2}), mean = f64_tensor({1, 2}, {2}), var = f64_tensor({3, 4}, {2});
  const Tensor w = f64_tensor({5, 6}, {2}), b = f64_tensor({7, 8}, {2});
  BOOST_TEST(same_bits(batch_norm(x, {mean, var, w, b}),
                       batch_norm(x, {.running_mean = mean, .running_var = var, .weight = w, .bias = b})));
}

BOOST_AUTO_TEST_CASE(rms_norm_divides_by_the_root_mean_square) {
  const Tensor x = f64_tensor({3, 4}, {1, 2});
  const double rms = std::sqrt(12.5);
  BOOST_TEST(all_close(rms_norm(x, {2}, f64_tensor({1, 2}, {2})), {3 / rms, 8 / rms}, 1e-14));
  BOOST_TEST(all_close(rms_norm(zeros({1, 2}), {2}), {0, 0}, 0));
}

BOOST_AUTO_TEST_CASE(normalize_keeps_zero_and_its_steep_gradient) {
  Tensor zero = f64_tensor({0, 0}, {2}, true);
  const Tensor y = normalize(zero);
  BOOST_TEST(all_close(y, {0, 0}, 0));
  BOOST_TEST(all_close(grad(sum(y), zero), {1e12, 1e12}, 1e-12));
  Tensor x = f64_tensor({3, 4}, {2}, true);
  BOOST_TEST(all_close(grad(sum(normalize(x)), x), {.032, -.024}, 1e-12));
}

BOOST_AUTO_TEST_CASE(cosine_similarity_of_a_zero_vector_is_zero) {
  const Tensor y = f64_tensor({1, 2}, {2});
  BOOST_TEST(cosine_similarity(zeros({2}, {.dtype = f64}), y).item() == 0);
  BOOST_TEST(all_close(cosine_similarity(y, 3 * y), {1}, 1e-15));
  const Tensor large = tensor({1e20F, -1e20F});  // whose product is beyond f32
  BOOST_TEST(all_close(cosine_similarity(large, large), {1}, 1e-6));
  BOOST_TEST(error<std::invalid_argument>([&] { (void)cosine_similarity(y, ones({3}, {.dtype = f64})); }) ==
             "cosine_similarity: the second operand must be [2]; got [3]");
}

BOOST_AUTO_TEST_SUITE_END()
