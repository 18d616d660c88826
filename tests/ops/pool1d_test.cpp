#include <tapestry/ops/pool1d.h>

#include <support/expect.h>
#include <support/op_table.h>

#include <limits>
#include <stdexcept>

#include <tapestry/autograd/backward.h>
#include <tapestry/autograd/random.h>
#include <tapestry/ops/cast.h>
#include <tapestry/ops/pool2d.h>
#include <tapestry/ops/reduce.h>
#include <tapestry/ops/shape_ops.h>

using namespace tapestry;
using namespace tapestry::test;

namespace {

using In = const std::vector<Tensor>&;

const OpRows rows{
    {.op = "max_pool1d",
     .variant = "overlapping, padding",
     .inputs =
         [](Generator& g) {
           return std::vector<Tensor>{sample_distinct(g, {2, 7, 3})};
         },
     .f = [](In x) { return max_pool1d(x[0], {.kernel = 3, .stride = 2, .padding = 1}); },
     .first_order_linear = true},
    {.op = "avg_pool1d",
     .variant = "overlapping, padding not counted",
     .inputs =
         [](Generator& g) {
           return std::vector<Tensor>{sample(g, {2, 7, 3})};
         },
     .f = [](In x) { return avg_pool1d(x[0], {.kernel = 3, .stride = 2, .padding = 1, .count_include_pad = false}); },
     .first_order_linear = true},
};

Tensor sequence(const std::vector<double>& values) {
  return tensor(values, {1, static_cast<Index>(values.size()), 1}, {.dtype = f64});
}

}  // namespace

BOOST_AUTO_TEST_SUITE(pool1d_test)

BOOST_AUTO_TEST_CASE(windows_of_a_sequence_have_known_values) {
  const Tensor x = sequence({3, 1, 4, 1, 5, 9, 2});
  BOOST_TEST(all_close(max_pool1d(x), {3, 4, 9}, 0));
  BOOST_TEST(all_close(max_pool1d(x, {.ceil_mode = true}), {3, 4, 9, 2}, 0));
  BOOST_TEST(all_close(max_pool1d(x, {.kernel = 3, .stride = 1}), {4, 4, 5, 9, 9}, 0));
  BOOST_TEST(all_close(max_pool1d(x, {.kernel = 3, .stride = 3, .padding = 1}), {3, 5, 9}, 0));
  BOOST_TEST(all_close(max_pool1d(x, {.kernel = 2, .stride = 1, .dilation = 3}), {3, 5, 9, 2}, 0));
  BOOST_TEST(all_close(avg_pool1d(x), {2, 2.5, 7}, 0));
  BOOST_TEST(all_close(avg_pool1d(x, {.kernel = 3, .stride = 3, .padding = 1}), {4 / 3., 10 / 3., 11 / 3.}, 1e-15));
  BOOST_TEST(all_close(avg_pool1d(x, {.kernel = 3, .stride = 3, .padding = 1, .count_include_pad = false}),
                       {2, 10 / 3., 5.5}, 1e-15));
  BOOST_TEST(all_close(avg_pool1d(x, {.ceil_mode = true}), {2, 2.5, 7, 2}, 0));
}

BOOST_AUTO_TEST_CASE(they_are_the_poolings_of_images_of_height_one) {
  Generator g(1);
  for (const Dtype dtype : {f32, f64, bf16}) {
    const Tensor x = to(sample_distinct(g, {2, 9, 5}), dtype), image = unsqueeze(x, 1);
    BOOST_TEST(same_bits(max_pool1d(x, {.kernel = 3, .stride = 2, .padding = 1}),
                         squeeze(max_pool2d(image, {.kernel = {1, 3}, .stride = {1, 2}, .padding = {0, 1}}), 1)));
    BOOST_TEST(same_bits(avg_pool1d(x, {.kernel = 3, .stride = 2, .padding = 1}),
                         squeeze(avg_pool2d(image, {.kernel = {1, 3}, .stride = {1, 2}, .padding = {0, 1}}), 1)));
  }
}

BOOST_AUTO_TEST_CASE(a_tie_goes_to_the_first_and_nan_wins) {
  Tensor x = sequence({2, 2, 1, 1});
  x.requires_grad(true);
  BOOST_TEST(all_close(grad(sum(max_pool1d(x)), x), {1, 0, 1, 0}, 0));
  const double nan = std::numeric_limits<double>::quiet_NaN();
  BOOST_TEST(all_close(max_pool1d(sequence({2, nan, 1, 0})), {nan, 1}, 0));
}

BOOST_AUTO_TEST_CASE(a_number_is_the_kernel) {
  const Tensor x = sequence({3, 1, 4, 1, 5, 9, 2});
  BOOST_TEST(same_bits(max_pool1d(x, 3), max_pool1d(x, {.kernel = 3})));
  BOOST_TEST(same_bits(max_pool1d(x, {}), max_pool1d(x)));
  BOOST_TEST(same_bits(avg_pool1d(x, 3), avg_pool1d(x, {.kernel = 3})));
  BOOST_TEST(same_bits(avg_pool1d(x, {}), avg_pool1d(x)));
  BOOST_TEST(max_pool1d(ones({0, 4, 3})).shape() == (Shape{0, 2, 3}));
}

BOOST_AUTO_TEST_CASE(what_does_not_fit_is_refused_in_words_for_sequences) {
  const Tensor x = ones({1, 4, 2});
  const auto of_max = [](const Tensor& given, const MaxPool1dOptions& options) {
    return error<std::invalid_argument>([&] { (void)max_pool1d(given, options); });
  };
  const auto of_avg = [](const Tensor& given, const AvgPool1dOptions& options) {
    return error<std::invalid_argument>([&] { (void)avg_pool1d(given, options); });
  };
  BOOST_TEST(of_max(ones({4, 2}), {}) == "max_pool1d: the input must be [N, L, C]; got [4, 2]");
  BOOST_TEST(of_avg(ones({1, 0, 2}), {}) == "avg_pool1d: the input must have an element; got [1, 0, 2]");
  BOOST_TEST(of_max(x, {.kernel = 0}) == "max_pool1d: kernel must be at least 1; got 0");
  BOOST_TEST(of_avg(x, {.stride = 0}) == "avg_pool1d: stride must be at least 1; got 0");
  BOOST_TEST(of_max(x, {.dilation = 0}) == "max_pool1d: dilation must be at least 1; got 0");
  BOOST_TEST(of_avg(x, {.padding = -1}) == "avg_pool1d: padding must be at least 0; got -1");
  BOOST_TEST(of_max(x, {.kernel = 3, .padding = 2}) == "max_pool1d: padding must be at most half the kernel, 3; got 2");
  BOOST_TEST(of_avg(x, {.kernel = 5}) ==
             "avg_pool1d: the kernel must fit into the padded input; it spans 5, the input 4");
  BOOST_TEST(of_max(x, {.kernel = 6, .stride = 2, .ceil_mode = true}) ==
             "max_pool1d: the kernel must fit into the padded input; it spans 6, the input 4");
  BOOST_TEST(max_pool1d(x, {.kernel = 5, .stride = 2, .ceil_mode = true}).shape() == (Shape{1, 1, 2}));
  BOOST_TEST(of_max(arange(3), {}) ==
             "max_pool1d: the dtype must be f32, f64 or bf16; got i64, convert it with to(x, f32)");
}

BOOST_AUTO_TEST_SUITE_END()
