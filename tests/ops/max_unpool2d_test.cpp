#include <support/expect.h>
#include <support/op_table.h>

#include <limits>
#include <stdexcept>

#include <tapestry/autograd/backward.h>
#include <tapestry/autograd/random.h>
#include <tapestry/autograd/tape.h>
#include <tapestry/ops/binary.h>
#include <tapestry/ops/cast.h>
#include <tapestry/ops/pool2d.h>
#include <tapestry/ops/reduce.h>
#include <tapestry/ops/shape_ops.h>

using namespace tapestry;
using namespace tapestry::test;

namespace {

constexpr double kInf = std::numeric_limits<double>::infinity();

using In = const std::vector<Tensor>&;

const OpRows rows{
    {.op = "max_pool2d_with_indices",
     .variant = "",
     .inputs =
         [](Generator& g) {
           return std::vector<Tensor>{sample_distinct(g, {2, 4, 5, 3})};
         },
     .f = [](In x) { return max_pool2d_with_indices(x[0]).values; },
     .first_order_linear = true},
    {.op = "max_unpool2d",
     .variant = "2 x 1",
     .inputs =
         [](Generator& g) {
           const PooledWithIndices pooled =
               max_pool2d_with_indices(sample_distinct(g, {2, 4, 3, 3}), {.kernel = {2, 1}});
           return std::vector<Tensor>{sample(g, {2, 2, 3, 3}), pooled.indices};
         },
     .f =
         [](In x) {
           return max_unpool2d(x[0], x[1], {.kernel = {2, 1}});
         },
     .first_order_linear = true},
};

Tensor image(const std::vector<double>& pixels, Index h, Index w) {
  return tensor(pixels, {1, h, w, 1}, {.dtype = f64});
}

/// [1, n, 1, 1].
Tensor places(const std::vector<std::int64_t>& at) { return tensor(at, {1, static_cast<Index>(at.size()), 1, 1}); }

}  // namespace

BOOST_AUTO_TEST_SUITE(max_unpool2d_test)

BOOST_AUTO_TEST_CASE(indices_say_where_the_maxima_stand) {
  Generator g(1);
  const std::vector<MaxPool2dOptions> all{{},
                                          {.kernel = 3, .stride = 2, .padding = 1},
                                          {.kernel = {2, 3}, .stride = {1, 2}, .dilation = {2, 1}},
                                          {.kernel = 3, .stride = 3, .ceil_mode = true},
                                          {.kernel = 17, .stride = 1, .padding = 8}};  // more taps than a byte numbers
  for (const MaxPool2dOptions& options : all) {
    const Tensor x = randn({2, 11, 10, 3}, {.generator = &g});
    const PooledWithIndices pooled = max_pool2d_with_indices(x, options);
    BOOST_TEST(same_bits(pooled.values, max_pool2d(x, options)));
    BOOST_REQUIRE(pooled.indices.shape() == pooled.values.shape());
    BOOST_REQUIRE(pooled.indices.dtype() == i64);
    const std::vector<double> v = values(pooled.values), at = values(pooled.indices), in = values(x);
    const std::size_t per_image = v.size() / 2;
    for (std::size_t i = 0; i < v.size(); ++i) {
      BOOST_TEST(in[(i / per_image * 110 + static_cast<std::size_t>(at[i])) * 3 + i % 3] == v[i]);
    }
  }
}

BOOST_AUTO_TEST_CASE(of_equal_pixels_the_first_is_named_and_of_none_minus_one) {
  BOOST_TEST(all_close(max_pool2d_with_indices(image({7, 7, 7, 7}, 2, 2)).indices, {0}, 0));
  BOOST_TEST(all_close(max_pool2d_with_indices(image({-kInf, -kInf, -kInf, -kInf}, 2, 2)).indices, {0}, 0));
  // Two taps, two apart, on either side of the only pixel.
  const PooledWithIndices none = max_pool2d_with_indices(image({7}, 1, 1), {.kernel = 2, .padding = 1, .dilation = 2});
  BOOST_TEST(all_close(none.values, {-kInf}, 0));
  BOOST_TEST(all_close(none.indices, {-1}, 0));
}

BOOST_AUTO_TEST_CASE(the_values_have_the_gradient_of_max_pool2d) {
  Generator g(2);
  Tensor x = randn({1, 6, 6, 2}, {.generator = &g});
  x.requires_grad(true);
  BOOST_TEST(same_bits(grad(sum(max_pool2d_with_indices(x, {.kernel = 3, .stride = 1}).values), x),
                       grad(sum(max_pool2d(x, {.kernel = 3, .stride = 1})), x)));
  BOOST_TEST(!max_pool2d_with_indices(x).indices.requires_grad());
}

BOOST_AUTO_TEST_CASE(unpooling_puts_maxima_back_and_zeros_elsewhere) {
  Generator g(3);
  const Tensor x = randn({2, 6, 4, 3}, {.generator = &g}) + 10;
  for (const Dtype dtype : {f32, f64, bf16}) {
    const Tensor as = to(x, dtype);
    const PooledWithIndices pooled = max_pool2d_with_indices(as);
    const Tensor y = max_unpool2d(pooled.values, pooled.indices);
    BOOST_REQUIRE(y.shape() == x.shape());
    BOOST_TEST(y.dtype() == dtype);
    std::size_t kept = 0;
    const std::vector<double> v = values(y), in = values(as);
    for (std::size_t i = 0; i < v.size(); ++i) {
      BOOST_TEST((v[i] == 0 || v[i] == in[i]));
      kept += v[i] != 0 ? 1 : 0;
    }
    BOOST_TEST(kept == v.size() / 4);
    BOOST_TEST(same_bits(max_pool2d(y), pooled.values));
    BOOST_TEST(same_bits(max_unpool2d(pooled.values, to(pooled.indices, i32)), y));
  }
}

BOOST_AUTO_TEST_CASE(of_several_for_one_place_the_last_is_put_there_and_has_the_gradient) {
  Tensor x = tensor(std::vector<double>{1, 2, 3}, {1, 3, 1, 1}, {.dtype = f64});
  x.requires_grad(true);
  const Tensor y = max_unpool2d(x, places({1, 1, 0}), {.kernel = {1, 1}});
  BOOST_TEST(all_close(y, {3, 2, 0}, 0));
  BOOST_TEST(all_close(grad(y, x, {.grad_outputs = {image({10, 20, 30}, 3, 1)}}), {0, 20, 10}, 0));
}

BOOST_AUTO_TEST_CASE(the_size_follows_from_the_pooling_or_is_given) {
  const auto shape = [](const MaxUnpool2dOptions& options) {
    return max_unpool2d(ones({1, 2, 2, 1}), zeros({1, 2, 2, 1}, {.dtype = i64}), options).shape();
  };
  BOOST_TEST(shape({}) == (Shape{1, 4, 4, 1}));
  BOOST_TEST(shape({.kernel = {3, 2}, .stride = {2, 2}}) == (Shape{1, 5, 4, 1}));
  BOOST_TEST(shape({.kernel = 3, .stride = 2, .padding = 1}) == (Shape{1, 3, 3, 1}));
  BOOST_TEST(shape({.output_size = OptionalPair2(5, 3)}) == (Shape{1, 5, 3, 1}));
  const Tensor nothing = max_unpool2d(ones({0, 2, 2, 3}), zeros({0, 2, 2, 3}, {.dtype = i64}));
  BOOST_TEST(nothing.shape() == (Shape{0, 4, 4, 3}));
}

BOOST_AUTO_TEST_CASE(what_cannot_be_undone_is_refused) {
  const auto text = [](const Tensor& x, const Tensor& at, const MaxUnpool2dOptions& options = {}) {
    return error<std::invalid_argument>([&] { (void)max_unpool2d(x, at, options); });
  };
  const Tensor x = ones({1, 2, 2, 1}), at = zeros({1, 2, 2, 1}, {.dtype = i64});
  BOOST_TEST(text(x, zeros({1, 2, 2, 1})) == "max_unpool2d: the indices must be i64 or i32; got f32");
  BOOST_TEST(text(x, zeros({1, 2, 1, 2}, {.dtype = i64})) ==
             "max_unpool2d: the indices must be [1, 2, 2, 1]; got [1, 2, 1, 2]");
  BOOST_TEST(text(x, at, {.kernel = 0}) == "max_unpool2d: kernel must be at least 1; got {0, 0}");
  BOOST_TEST(text(x, at, {.stride = 0}) == "max_unpool2d: stride must be at least 1; got {0, 0}");
  BOOST_TEST(text(x, at, {.padding = -1}) == "max_unpool2d: padding must be at least 0; got {-1, -1}");
  BOOST_TEST(text(x, at, {.padding = 2}) == "max_unpool2d: the output must have a pixel; it would be {0, 0}");
  BOOST_TEST(text(x, at, {.output_size = OptionalPair2(6, 4)}) ==
             "max_unpool2d: output_size must be less than a stride from {4, 4}; got {6, 4}");
  BOOST_TEST(text(ones({2, 2, 1}), at) ==
             "max_unpool2d: the input must be [N, H, W, C]; got [2, 2, 1], reshape one image to [1, H, W, C]");
  const auto outside = [](const std::vector<std::int64_t>& index) {
    return error<std::out_of_range>([&] { (void)max_unpool2d(ones({1, 3, 1, 1}), places(index), {.kernel = 1}); });
  };
  BOOST_TEST(outside({0, 3, 1}) == "max_unpool2d: an index must be in [0, 3); got 3 at position 1");
  BOOST_TEST(outside({0, 1, -1}) == "max_unpool2d: an index must be in [0, 3); got -1 at position 2");
}

BOOST_AUTO_TEST_SUITE_END()
