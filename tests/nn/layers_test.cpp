#include <support/expect.h>

#include <numeric>

#include <tapestry/autograd/backward.h>
#include <tapestry/autograd/random.h>
#include <tapestry/nn/activation.h>
#include <tapestry/nn/containers.h>
#include <tapestry/nn/conv.h>
#include <tapestry/nn/dropout.h>
#include <tapestry/nn/embedding.h>
#include <tapestry/nn/flatten.h>
#include <tapestry/nn/functional_call.h>
#include <tapestry/nn/identity.h>
#include <tapestry/nn/linear.h>
#include <tapestry/nn/norm.h>
#include <tapestry/nn/pad.h>
#include <tapestry/nn/pool.h>
#include <tapestry/nn/residual.h>
#include <tapestry/nn/sequential.h>
#include <tapestry/ops/binary.h>
#include <tapestry/ops/reduce.h>
#include <tapestry/ops/shape_ops.h>

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

// --- normalisation of rows and groups

BOOST_AUTO_TEST_CASE(batch_norm_1d_takes_vectors_and_sequences_and_is_batch_norm_2d) {
  nn::BatchNorm1d norm{2};
  const nn::BatchNorm2d same{2};
  const Tensor x = randn({3, 4, 2});
  BOOST_TEST(same_bits(norm(x), reshape(same(reshape(x, {3, 2, 2, 2})), {3, 4, 2})));
  BOOST_TEST(same_bits(norm.running_var(), same.running_var()));
  BOOST_TEST(all_close(nn::BatchNorm1d{1}(tensor(std::vector<float>{0, 2}, {2, 1})), Doubles{-1, 1}, 1e-5));
  BOOST_TEST(norm.named_buffers()[2].name == "num_batches_tracked");
  BOOST_TEST(nn::BatchNorm1d(2, {.affine = false, .track_running_stats = false}).named_parameters().empty());
  norm.eval();
  const Tensor before = norm.running_mean() * 1;
  (void)norm(x);
  BOOST_TEST(same_bits(norm.running_mean(), before));
  BOOST_TEST(error<Invalid>([&] {
               (void)norm(ones({3, 2, 4}));
             }) ==
             "BatchNorm1d: the input must be [N, 2] or [N, L, 2]; got [3, 2, 4]; if it is [N, C, L], "
             "transpose(x, 1, 2) makes it [N, L, C]");
  BOOST_TEST(error<Invalid>([&] {
               (void)norm(ones({3, 4, 4, 2}));
             }) == "BatchNorm1d: the input must be [N, 2] or [N, L, 2]; got [3, 4, 4, 2]");
  BOOST_TEST(error<Invalid>([&] { nn::BatchNorm1d(0); }) == "BatchNorm1d: channels must be at least 1; got 0");
}

BOOST_AUTO_TEST_CASE(group_norm_normalises_the_groups_of_a_sample) {
  const nn::GroupNorm norm{2, 4};
  const Tensor x = tensor(std::vector<float>{0, 2, 5, 1, 7, 7, 0, 4}, {2, 4});
  BOOST_TEST(all_close(norm(x), Doubles{-1, 1, 1, -1, 0, 0, -1, 1}, 2e-5));
  BOOST_TEST(norm.weight().shape() == (Shape{4}));
  BOOST_TEST(norm.named_parameters()[1].name == "bias");
  BOOST_TEST(nn::GroupNorm(2, 4, {.affine = false}).named_parameters().empty());
  BOOST_TEST(norm(randn({2, 3, 3, 4})).shape() == (Shape{2, 3, 3, 4}));
  BOOST_TEST(error<Invalid>([&] { nn::GroupNorm(3, 4); }) ==
             "GroupNorm: groups must divide channels; got groups 3, channels 4");
  BOOST_TEST(error<Invalid>([&] { nn::GroupNorm(0, 4); }) == "GroupNorm: groups must be at least 1; got 0");
  BOOST_TEST(error<Invalid>([&] {
               (void)norm(ones({2, 4, 3, 3}));
             }) ==
             "GroupNorm: the input must be [N, ..., 4]; got [2, 4, 3, 3]; if it is [N, C, H, W], permute(x, {0, "
             "2, 3, 1}) makes it [N, H, W, C]");
}

BOOST_AUTO_TEST_CASE(rms_norm_divides_rows_by_their_root_mean_square) {
  const nn::RMSNorm norm{2, {.eps = 0}};
  BOOST_TEST(all_close(norm(tensor(std::vector<float>{3, 4, -1, 1}, {2, 2})),
                       Doubles{3 / std::sqrt(12.5), 4 / std::sqrt(12.5), -1, 1}, 1e-6));
  BOOST_TEST(norm.named_parameters().size() == 1U);
  BOOST_TEST(nn::RMSNorm({2, 3}).weight().shape() == (Shape{2, 3}));
  BOOST_TEST(nn::RMSNorm(2, {.affine = false}).named_parameters().empty());
}

// --- pooling, dropping, padding

BOOST_AUTO_TEST_CASE(adaptive_max_pool_takes_a_number_or_two) {
  const Tensor x = counting({1, 4, 4, 1});
  BOOST_TEST(values(nn::AdaptiveMaxPool2d{2}(x)) == (Doubles{5, 7, 13, 15}), boost::test_tools::per_element());
  BOOST_TEST(values(nn::AdaptiveMaxPool2d({1, 2})(x)) == (Doubles{13, 15}), boost::test_tools::per_element());
  BOOST_TEST(error<Invalid>([] {
               nn::AdaptiveMaxPool2d({0, 1});
             }) == "AdaptiveMaxPool2d: output must be at least 1; got 0");
}

BOOST_AUTO_TEST_CASE(channels_and_samples_are_dropped_whole_and_in_training_mode_only) {
  manual_seed(4);
  nn::Dropout2d channels{.5};
  nn::DropPath samples{.25};
  const Tensor x = ones({40, 3, 3, 10});
  const Doubles y = values(channels(x)), z = values(samples(x));
  for (std::size_t n = 0; n < 40; ++n) {
    for (std::size_t i = 0; i < 90; ++i) {
      if (y[n * 90 + i] != y[n * 90 + i % 10]) BOOST_FAIL("a channel was dropped in part");
      if (z[n * 90 + i] != z[n * 90]) BOOST_FAIL("a sample was dropped in part");
    }
  }
  BOOST_TEST(std::abs(std::accumulate(y.begin(), y.end(), 0.0) / 3600 - 1) < .2);
  BOOST_TEST(*std::max_element(y.begin(), y.end()) == 2);
  BOOST_TEST(std::abs(*std::max_element(z.begin(), z.end()) - 4. / 3) < 1e-6);
  BOOST_TEST(*std::min_element(z.begin(), z.end()) == 0);
  channels.eval();
  samples.eval();
  BOOST_TEST(same_bits(channels(x), x));
  BOOST_TEST(same_bits(samples(x), x));
  BOOST_TEST(channels.description() == "Dropout2d 0.5");
  BOOST_TEST(error<Invalid>([] { nn::Dropout2d(-1); }) == "Dropout2d: p must be in [0, 1]; got -1");
  BOOST_TEST(error<Invalid>([] { nn::DropPath(2); }) == "DropPath: p must be in [0, 1]; got 2");
}

BOOST_AUTO_TEST_CASE(images_are_padded_with_zeros_or_mirrored) {
  const Tensor x = counting({1, 2, 2, 1});
  BOOST_TEST(values(nn::ZeroPad2d{{.top = 1, .right = 1}}(x)) == (Doubles{0, 0, 0, 0, 1, 0, 2, 3, 0}),
             boost::test_tools::per_element());
  BOOST_TEST(nn::ZeroPad2d{2}(x).shape() == (Shape{1, 6, 6, 1}));
  BOOST_TEST(values(nn::ZeroPad2d{{.left = -1}}(x)) == (Doubles{1, 3}), boost::test_tools::per_element());
  BOOST_TEST(values(nn::ReflectionPad2d{{.bottom = 1, .left = 1}}(x)) == (Doubles{1, 0, 1, 3, 2, 3, 1, 0, 1}),
             boost::test_tools::per_element());
  BOOST_TEST(nn::ReflectionPad2d{1}(x).shape() == (Shape{1, 4, 4, 1}));
  BOOST_CHECK_THROW((void)nn::ReflectionPad2d{2}(x), Invalid);
  BOOST_TEST(nn::ZeroPad2d{2}.description() == "ZeroPad2d 2");
  BOOST_TEST(nn::ReflectionPad2d{{.top = 1}}.description() == "ReflectionPad2d top 1, bottom 0, left 0, right 0");
}

// --- tables, sums and lists

BOOST_AUTO_TEST_CASE(an_embedding_is_a_table_whose_padding_row_does_not_learn) {
  manual_seed(6);
  const nn::Embedding table{5, 3, {.padding_idx = 2}};
  BOOST_TEST(table.weight().shape() == (Shape{5, 3}));
  BOOST_TEST(table.named_parameters()[0].name == "weight");
  const Tensor y = table(tensor({2, 4, 4}));
  BOOST_TEST(y.shape() == (Shape{3, 3}));
  BOOST_TEST(values(select(y, {.index = 0})) == (Doubles{0, 0, 0}), boost::test_tools::per_element());
  BOOST_TEST(same_bits(select(y, {.index = 1}), select(table.weight(), {.index = 4})));
  sum(y).backward();
  BOOST_TEST(values(table.weight().grad()) == (Doubles{0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 2, 2, 2}),
             boost::test_tools::per_element());
  double squares = 0;
  for (const double v : values(nn::Embedding{100, 100}.weight())) squares += v * v;
  BOOST_TEST(std::abs(squares / 10'000 - 1) < .06);
  BOOST_TEST(error<Invalid>([] { nn::Embedding(0, 1); }) == "Embedding: count must be at least 1; got 0");
  BOOST_TEST(error<Invalid>([] { nn::Embedding(2, 0); }) == "Embedding: dim must be at least 1; got 0");
  BOOST_TEST(error<Invalid>([] { nn::Embedding(2, 1, {.padding_idx = 2}); }) ==
             "Embedding: padding_idx must be in [0, 2); got 2");
  BOOST_CHECK_THROW((void)table(tensor({5})), std::out_of_range);
}

BOOST_AUTO_TEST_CASE(a_residual_adds_its_input_or_a_shortcut) {
  const nn::Linear branch{3, 3}, shortcut{3, 3};
  const Tensor x = randn({2, 3});
  const nn::Residual plain{branch}, both{branch, shortcut};
  const nn::Residual lambda{[](const Tensor& v) { return v * 2; }};
  BOOST_TEST(same_bits(plain(x), branch(x) + x));
  BOOST_TEST(same_bits(both(x), branch(x) + shortcut(x)));
  BOOST_TEST(same_bits(lambda(x), x * 2 + x));
  BOOST_TEST(both.named_parameters()[0].name == "branch.weight");
  BOOST_TEST(both.named_parameters()[3].name == "shortcut.bias");
  BOOST_TEST(lambda.named_parameters().empty());
  const nn::Residual copy = nn::clone(both);
  { Tensor(branch.weight()).set_data(zeros({3, 3})); }
  BOOST_TEST(!same_bits(copy(x), both(x)));
  const nn::Sequential inside{nn::Residual{nn::Sequential{nn::Linear{3, 3}, nn::ReLU{}}}, nn::Linear{3, 2}};
  BOOST_TEST(inside.named_parameters()[0].name == "0.branch.0.weight");
  BOOST_TEST(inside(x).shape() == (Shape{2, 2}));
  BOOST_CHECK_THROW((void)nn::Residual{nn::Linear(3, 2)}(x), Invalid);
}

BOOST_AUTO_TEST_CASE(lists_and_dictionaries_of_modules_have_keys_and_follow_clones) {
  nn::ModuleList<nn::Linear> list{nn::Linear{2, 3}, nn::Linear{3, 4}};
  list.append(nn::Linear{4, 1});
  const nn::ModuleList<nn::Linear> handle = list, copy = nn::clone(list);
  BOOST_TEST(handle.size() == 3U);
  BOOST_TEST(list.named_parameters()[4].name == "2.weight");
  Tensor x = randn({5, 2});
  for (const nn::Linear& layer : handle) x = layer(x);
  BOOST_TEST(x.shape() == (Shape{5, 1}));
  BOOST_TEST(handle[1].weight().is_same(list[1].weight()));
  BOOST_TEST(!copy[1].weight().is_same(list[1].weight()));
  BOOST_TEST(copy[1].weight().is_same(copy.named_parameters()[2].tensor));
  BOOST_TEST(error<std::out_of_range>([&] { (void)list[3]; }) == "ModuleList: index must be in [0, 3); got 3");

  nn::ModuleDict<nn::AnyModule> heads{{"coarse", nn::Linear{2, 20}}, {"fine", nn::Sequential{nn::Linear{2, 100}}}};
  BOOST_TEST(heads.named_parameters()[2].name == "fine.0.weight");
  BOOST_TEST(heads["fine"](randn({1, 2})).shape() == (Shape{1, 100}));
  BOOST_TEST(heads.contains("coarse"));
  BOOST_TEST(!heads.contains("medium"));
  BOOST_TEST(heads.begin()->first == "coarse");
  BOOST_TEST(error<std::out_of_range>([&] { (void)heads["medium"]; }) ==
             "ModuleDict: there must be a module of that name; got 'medium'");
  BOOST_TEST(error<Invalid>([&] {
               heads.add("fine", nn::Linear{2, 1});
             }) == "child: the name must be new in its module; got 'fine' twice");
  BOOST_TEST(heads.size() == 2U);
}

BOOST_AUTO_TEST_SUITE_END()
