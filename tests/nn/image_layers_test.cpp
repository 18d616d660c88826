#include <support/expect.h>

#include <tapestry/autograd/random.h>
#include <tapestry/nn/conv.h>
#include <tapestry/nn/linear.h>
#include <tapestry/nn/maxout.h>
#include <tapestry/nn/norm.h>
#include <tapestry/nn/sequential.h>
#include <tapestry/nn/serialize.h>
#include <tapestry/nn/unfold.h>
#include <tapestry/nn/upsample.h>
#include <tapestry/ops/shape_ops.h>

using namespace tapestry;
using namespace tapestry::test;

/// Layers that make images larger, and those beside them: each calls its op with the options that it was given.
BOOST_AUTO_TEST_SUITE(image_layers_test)

namespace {

using Invalid = std::invalid_argument;

double largest(const Tensor& x) {
  double most = 0;
  for (const double v : values(x)) most = std::max(most, std::abs(v));
  return most;
}

}  // namespace

BOOST_AUTO_TEST_CASE(conv_transpose2d_has_pytorchs_keys_shapes_and_start) {
  manual_seed(1);
  const nn::ConvTranspose2d conv{6, 64, {.kernel = {3, 5}, .stride = 2, .groups = 2}};
  const auto named = conv.named_parameters();
  BOOST_TEST(named[0].name == "weight");
  BOOST_TEST(named[0].tensor.shape() == (Shape{6, 3, 5, 32}));
  BOOST_TEST(named[1].name == "bias");
  BOOST_TEST(named[1].tensor.shape() == (Shape{64}));
  const double bound = 1 / std::sqrt(3.0 * 5 * 32);
  BOOST_TEST(largest(conv.weight()) <= bound);
  BOOST_TEST(largest(conv.weight()) > 0.98 * bound);
  BOOST_TEST(largest(conv.bias()) <= bound);
  BOOST_TEST(largest(conv.bias()) > 0.7 * bound);
  BOOST_TEST(conv.description() == "ConvTranspose2d 6 -> 64, kernel 3x5, stride 2x2, groups 2");
  // [C, K / groups, R, S] in the file.
  BOOST_TEST(nn::file_state(conv).at("weight").shape() == (Shape{6, 32, 3, 5}));
}

BOOST_AUTO_TEST_CASE(conv_transpose2d_calls_its_op) {
  manual_seed(2);
  const nn::ConvTranspose2d conv{4, 6, {.kernel = 3, .stride = 2, .padding = 1, .output_padding = 1, .groups = 2}};
  const Tensor x = randn({2, 5, 4, 4});
  BOOST_TEST(conv(x).shape() == (Shape{2, 10, 8, 6}));
  BOOST_TEST(same_bits(conv(x), conv_transpose2d(x, conv.weight(), conv.bias(),
                                                 {.stride = 2, .padding = 1, .output_padding = 1, .groups = 2})));
  const nn::ConvTranspose2d plain{4, 6, {.kernel = 2, .dilation = 3, .bias = false}};
  BOOST_TEST(!plain.bias().defined());
  BOOST_TEST(plain.named_parameters().size() == 1U);
  BOOST_TEST(same_bits(plain(x), conv_transpose2d(x, plain.weight(), {.dilation = 3})));
  BOOST_TEST(nn::ConvTranspose2d(4, 6)(x).shape() == (Shape{2, 5, 4, 6}));
}

BOOST_AUTO_TEST_CASE(conv_transpose2d_refuses_senseless_extents_and_groups) {
  BOOST_TEST(error<Invalid>([] { nn::ConvTranspose2d(0, 4); }) == "ConvTranspose2d: in must be at least 1; got 0");
  BOOST_TEST(error<Invalid>([] { nn::ConvTranspose2d(4, 0); }) == "ConvTranspose2d: out must be at least 1; got 0");
  BOOST_TEST(error<Invalid>([] { nn::ConvTranspose2d(3, 4, {.kernel = 0}); }) ==
             "ConvTranspose2d: kernel must be at least 1; got 0");
  BOOST_TEST(error<Invalid>([] { nn::ConvTranspose2d(3, 4, {.groups = 2}); }) ==
             "ConvTranspose2d: groups must divide in and out; got groups 2, in 3, out 4");
}

BOOST_AUTO_TEST_CASE(upsample_and_pixel_shuffle_call_their_ops) {
  const Tensor x = randn({1, 3, 2, 8});
  const InterpolateOptions twice{.scale_factor = 2, .mode = InterpolateMode::bilinear};
  BOOST_TEST(same_bits(nn::Upsample{twice}(x), interpolate(x, twice)));
  BOOST_TEST(nn::Upsample({.size = OptionalPair2(7, 5)})(x).shape() == (Shape{1, 7, 5, 8}));
  BOOST_TEST(nn::Upsample{twice}.description() == "Upsample by 2x2");
  BOOST_TEST(nn::Upsample({.size = OptionalPair2(7, 5)}).description() == "Upsample to 7x5");
  BOOST_TEST(same_bits(nn::PixelShuffle{2}(x), pixel_shuffle(x, 2)));
  BOOST_TEST(error<Invalid>([] { nn::PixelShuffle{0}; }) == "PixelShuffle: the factor must be at least 1; got 0");
}

BOOST_AUTO_TEST_CASE(instance_norm2d_has_parameters_where_they_are_asked_for) {
  nn::InstanceNorm2d plain{3};
  BOOST_TEST(plain.named_parameters().empty());
  BOOST_TEST(plain.named_buffers().empty());
  const Tensor x = randn({2, 4, 5, 3});
  BOOST_TEST(same_bits(plain(x), instance_norm(x)));
  plain.eval();
  BOOST_TEST(same_bits(plain(x), instance_norm(x)));
  const nn::InstanceNorm2d affine{3, {.eps = 0.5, .affine = true}};
  BOOST_TEST(affine.named_parameters()[0].name == "weight");
  BOOST_TEST(affine.named_parameters()[1].name == "bias");
  BOOST_TEST(same_bits(affine(x), instance_norm(x, affine.weight(), affine.bias(), {.eps = 0.5})));
  BOOST_TEST(error<Invalid>([&] {
               (void)plain(ones({1, 3, 5, 4}));
             }) ==
             "InstanceNorm2d: the input must be [N, H, W, 3]; got [1, 3, 5, 4]; if it is [N, C, H, W], permute(x, "
             "{0, 2, 3, 1}) makes it [N, H, W, C]");
  BOOST_TEST(error<Invalid>([] { nn::InstanceNorm2d{0}; }) == "InstanceNorm2d: channels must be at least 1; got 0");
}

BOOST_AUTO_TEST_CASE(unfold_and_fold_call_their_ops) {
  const Tensor x = randn({1, 4, 5, 2});
  const UnfoldOptions options{.kernel = {2, 3}, .stride = {2, 1}, .padding = 1};
  const Tensor windows = nn::Unfold{options}(x);
  BOOST_TEST(same_bits(windows, unfold(x, options)));
  const nn::Fold fold_back{{4, 5}, options};
  BOOST_TEST(same_bits(fold_back(windows), fold(windows, {4, 5}, options)));
  BOOST_TEST(fold_back.description() == "Fold to 4x5, kernel 2x3");
}

BOOST_AUTO_TEST_CASE(maxout_stands_behind_a_layer_that_learns_the_pieces) {
  manual_seed(3);
  const nn::Linear linear{4, 6};
  const nn::Sequential model{linear, nn::MaxOut{3}};
  const Tensor x = randn({5, 4});
  BOOST_TEST(model(x).shape() == (Shape{5, 2}));
  BOOST_TEST(same_bits(model(x), maxout(linear(x), 3)));
  BOOST_TEST(error<Invalid>([] { nn::MaxOut{0}; }) == "MaxOut: pieces must be at least 1; got 0");
}

BOOST_AUTO_TEST_SUITE_END()
