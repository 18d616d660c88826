#include <support/expect.h>

#include <numeric>

#include <tapestry/autograd/random.h>
#include <tapestry/nn/activation.h>
#include <tapestry/nn/conv.h>
#include <tapestry/nn/dropout.h>
#include <tapestry/nn/flatten.h>
#include <tapestry/nn/identity.h>
#include <tapestry/nn/linear.h>
#include <tapestry/nn/norm.h>
#include <tapestry/nn/pool.h>
#include <tapestry/nn/sequential.h>
#include <tapestry/ops/binary.h>

using namespace tapestry;
using namespace tapestry::test;

BOOST_AUTO_TEST_SUITE(layers_test)

namespace {

using Doubles = std::vector<double>;
using Invalid = std::invalid_argument;

/// 0, 1, 2, ...
Tensor counting(const Shape& shape) {
  std::vector<float> all(static_cast<std::size_t>(shape.numel()));
  std::iota(all.begin(), all.end(), 0.F);
  return tensor(all, shape);
}

double largest(const Tensor& x) {
  double most = 0;
  for (const double v : values(x)) most = std::max(most, std::abs(v));
  return most;
}

}  // namespace

BOOST_AUTO_TEST_CASE(conv2d_has_pytorchs_keys_shapes_and_start) {
  manual_seed(1);
  const nn::Conv2d conv{6, 64, {.kernel = {3, 5}, .groups = 2}};
  const auto named = conv.named_parameters();
  BOOST_TEST(named[0].name == "weight");
  BOOST_TEST(named[0].tensor.shape() == (Shape{64, 3, 5, 3}));
  BOOST_TEST(named[1].name == "bias");
  BOOST_TEST(named[1].tensor.shape() == (Shape{64}));
  const double bound = 1 / std::sqrt(3.0 * 5 * 3);
  BOOST_TEST(largest(conv.weight()) <= bound);
  BOOST_TEST(largest(conv.weight()) > 0.98 * bound);
  BOOST_TEST(largest(conv.bias()) <= bound);
  BOOST_TEST(largest(conv.bias()) > 0.7 * bound);
  BOOST_TEST(conv(ones({1, 8, 8, 6})).shape() == (Shape{1, 6, 4, 64}));
  const nn::Conv2d plain{3, 4, {.kernel = 3, .padding = Padding::same, .bias = false}};
  BOOST_TEST(!plain.bias().defined());
  BOOST_TEST(plain.named_parameters().size() == 1U);
  BOOST_TEST(plain(ones({1, 8, 8, 3})).shape() == (Shape{1, 8, 8, 4}));
}

BOOST_AUTO_TEST_CASE(conv2d_refuses_senseless_extents_and_groups) {
  BOOST_TEST(error<Invalid>([] { nn::Conv2d(0, 4); }) == "Conv2d: in must be at least 1; got 0");
  BOOST_TEST(error<Invalid>([] { nn::Conv2d(3, -1); }) == "Conv2d: out must be at least 1; got -1");
  BOOST_TEST(error<Invalid>([] {
               nn::Conv2d(3, 4, {.kernel = {3, 0}});
             }) == "Conv2d: kernel must be at least 1; got 0");
  BOOST_TEST(error<Invalid>([] { nn::Conv2d(3, 4, {.groups = 2}); }) ==
             "Conv2d: groups must divide in and out; got groups 2, in 3, out 4");
}

BOOST_AUTO_TEST_CASE(linear_has_pytorchs_keys_shapes_and_start) {
  manual_seed(2);
  const nn::Linear linear{64, 100};
  BOOST_TEST(linear.weight().shape() == (Shape{100, 64}));
  BOOST_TEST(largest(linear.weight()) <= 0.125);
  BOOST_TEST(largest(linear.weight()) > 0.124);
  BOOST_TEST(largest(linear.bias()) <= 0.125);
  BOOST_TEST(linear(ones({2, 5, 64})).shape() == (Shape{2, 5, 100}));
  BOOST_TEST(nn::Linear(2, 3, {.bias = false}).named_parameters().size() == 1U);
  BOOST_TEST(error<Invalid>([] { nn::Linear(0, 1); }) == "Linear: in must be at least 1; got 0");
  BOOST_TEST(error<Invalid>([] {
               nn::Linear(10, 1, {.flattened = {2, 2}});
             }) ==
             "Linear: in must be a multiple of flattened.h x "
             "flattened.w; got 10 and 2 x 2");
}

// SEMANTICS: [0, 2] gives mean 0.1 and, from the unbiased variance 2, var 1.1.
BOOST_AUTO_TEST_CASE(batch_norm_trains_with_the_batch_and_evaluates_with_running_statistics) {
  nn::BatchNorm2d norm{1};
  const Tensor x = tensor(std::vector<float>{0, 2}, {2, 1, 1, 1});
  BOOST_TEST(all_close(norm(x), Doubles{-1, 1}, 1e-5));
  BOOST_TEST(all_close(norm.running_mean(), Doubles{.1}, 1e-6));
  BOOST_TEST(all_close(norm.running_var(), Doubles{1.1}, 1e-6));
  const auto buffers = norm.named_buffers();
  BOOST_TEST(buffers[2].name == "num_batches_tracked");
  BOOST_TEST(buffers[2].tensor.item<Index>() == 1);
  norm.eval();
  BOOST_TEST(all_close(norm(x), Doubles{-.1 / std::sqrt(1.1), 1.9 / std::sqrt(1.1)}, 1e-4));
  BOOST_TEST(buffers[2].tensor.item<Index>() == 1);
}

BOOST_AUTO_TEST_CASE(batch_norm_without_momentum_averages_all_batches) {
  const nn::BatchNorm2d norm{1, {.momentum = std::nullopt}};
  BOOST_TEST(norm(tensor(std::vector<float>{0, 2}, {2, 1, 1, 1})).defined());
  BOOST_TEST(norm(tensor(std::vector<float>{4, 4}, {2, 1, 1, 1})).defined());
  BOOST_TEST(all_close(norm.running_mean(), Doubles{2.5}, 1e-6));
  BOOST_TEST(all_close(norm.running_var(), Doubles{1}, 1e-6));
}

BOOST_AUTO_TEST_CASE(batch_norm_without_running_statistics_uses_the_batch_in_eval_mode_too) {
  nn::BatchNorm2d norm{1, {.affine = false, .track_running_stats = false}};
  norm.eval();
  BOOST_TEST(norm.named_parameters().empty());
  BOOST_TEST(norm.named_buffers().empty());
  BOOST_TEST(all_close(norm(tensor(std::vector<float>{0, 2}, {2, 1, 1, 1})), Doubles{-1, 1}, 1e-5));
}

BOOST_AUTO_TEST_CASE(batch_norm_ends_in_relu_and_adds_a_residual_where_it_is_asked_to) {
  const nn::BatchNorm2d norm{3}, always{3, {.relu = true}};
  const Tensor x = randn({4, 5, 5, 3}), shortcut = randn({4, 5, 5, 3});
  BOOST_TEST(same_bits(norm(x, {.relu = true}), relu(norm(x))));
  BOOST_TEST(same_bits(norm(x, {.residual = shortcut}), norm(x) + shortcut));
  BOOST_TEST(same_bits(norm(x, {.relu = true, .residual = shortcut}), relu(norm(x) + shortcut)));
  BOOST_TEST(same_bits(always(x), relu(norm(x))));
  BOOST_TEST(same_bits(always(x, {.residual = shortcut}), relu(norm(x) + shortcut)));
  BOOST_TEST(norm.description() == "BatchNorm2d 3");
  BOOST_TEST(always.description() == "BatchNorm2d 3, relu");
}

BOOST_AUTO_TEST_CASE(an_identity_keeps_a_place_and_changes_nothing) {
  const Tensor x = randn({2, 4, 4, 3});
  BOOST_TEST(nn::Identity{}(x).is_same(x));
  const nn::Sequential model{nn::Conv2d{3, 8, {.kernel = 3}}, nn::BatchNorm2d{8, {.relu = true}}, nn::Identity{},
                             nn::Conv2d{8, 2, {.kernel = 1}}};
  BOOST_TEST(model.named_parameters().back().name == "3.bias");
  BOOST_TEST(model(x).shape() == (Shape{2, 2, 2, 2}));
}

BOOST_AUTO_TEST_CASE(batch_norm_names_the_shape_it_wants) {
  const nn::BatchNorm2d norm{4};
  BOOST_TEST(error<Invalid>([&] {
               (void)norm(ones({2, 4}));
             }) == "BatchNorm2d: the input must be [N, H, W, 4]; got [2, 4]");
  BOOST_TEST(error<Invalid>([&] {
               (void)norm(ones({1, 2, 2, 3}));
             }) == "BatchNorm2d: the input must be [N, H, W, 4]; got [1, 2, 2, 3]");
}

BOOST_AUTO_TEST_CASE(layer_norm_normalises_rows) {
  const nn::LayerNorm norm{2};
  BOOST_TEST(all_close(norm(tensor(std::vector<float>{0, 2, 5, 1}, {2, 2})), Doubles{-1, 1, 1, -1}, 1e-5));
  BOOST_TEST(nn::LayerNorm({2, 3}).weight().shape() == (Shape{2, 3}));
  BOOST_TEST(nn::LayerNorm({2, 3}, {.affine = false}).named_parameters().empty());
}

BOOST_AUTO_TEST_CASE(dropout_drops_in_training_mode_only) {
  manual_seed(3);
  nn::Dropout dropout{0.25};
  const Doubles y = values(dropout(ones({10'000})));
  const auto dropped = std::count(y.begin(), y.end(), 0.0);
  BOOST_TEST(std::abs(static_cast<double>(dropped) - 2500) < 200);
  BOOST_TEST(std::abs(*std::max_element(y.begin(), y.end()) - 4.0 / 3) < 1e-6);
  dropout.eval();
  const Tensor x = ones({5});
  BOOST_TEST(same_bits(dropout(x), x));
  BOOST_TEST(error<Invalid>([] { nn::Dropout(1.5); }) == "Dropout: p must be in [0, 1]; got 1.5");
}

BOOST_AUTO_TEST_CASE(pools_take_their_options) {
  const Tensor x = counting({1, 4, 4, 1});
  BOOST_TEST(values(nn::MaxPool2d{2}(x)) == (Doubles{5, 7, 13, 15}), boost::test_tools::per_element());
  BOOST_TEST(nn::MaxPool2d({.kernel = 3, .stride = 1})(x).shape() == (Shape{1, 2, 2, 1}));
  BOOST_TEST(values(nn::AvgPool2d{2}(x)) == (Doubles{2.5, 4.5, 10.5, 12.5}), boost::test_tools::per_element());
  BOOST_TEST(values(nn::AdaptiveAvgPool2d{2}(x)) == (Doubles{2.5, 4.5, 10.5, 12.5}), boost::test_tools::per_element());
  BOOST_TEST(nn::AdaptiveAvgPool2d({1, 2})(x).shape() == (Shape{1, 1, 2, 1}));
  BOOST_TEST(values(nn::GlobalAvgPool2d{}(x)) == (Doubles{7.5}), boost::test_tools::per_element());
  BOOST_TEST(error<Invalid>([] {
               nn::AdaptiveAvgPool2d({0, 1});
             }) == "AdaptiveAvgPool2d: output must be at least 1; got 0");
}

BOOST_AUTO_TEST_CASE(activations_have_pytorchs_values) {
  const Tensor x = tensor({-1.0, 0.0, 1.0}, {.dtype = f64});
  BOOST_TEST(all_close(nn::ReLU{}(x), Doubles{0, 0, 1}, 0));
  BOOST_TEST(all_close(nn::LeakyReLU{}(x), Doubles{-.01, 0, 1}, 1e-12));
  BOOST_TEST(all_close(nn::LeakyReLU({.negative_slope = .5})(x), Doubles{-.5, 0, 1}, 1e-12));
  BOOST_TEST(all_close(nn::GELU{}(x), Doubles{-.1586553, 0, .8413447}, 0, 5e-8));
  BOOST_TEST(
      all_close(nn::GELU({.approximate = GeluApproximation::tanh})(x), Doubles{-.1588080, 0, .8411920}, 0, 5e-8));
  BOOST_TEST(all_close(nn::SiLU{}(x), Doubles{-.2689414, 0, .7310586}, 0, 5e-8));
  BOOST_TEST(all_close(nn::Sigmoid{}(x), Doubles{.2689414, .5, .7310586}, 0, 5e-8));
  BOOST_TEST(all_close(nn::Tanh{}(x), Doubles{-.7615942, 0, .7615942}, 0, 5e-8));
}

BOOST_AUTO_TEST_CASE(flatten_keeps_the_batch) {
  BOOST_TEST(nn::Flatten{}(ones({2, 3, 4, 5})).shape() == (Shape{2, 60}));
  BOOST_TEST(nn::Flatten({.start_dim = 0})(ones({2, 3})).shape() == (Shape{6}));
}

BOOST_AUTO_TEST_SUITE_END()
