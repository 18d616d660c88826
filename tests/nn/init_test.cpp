#include <support/expect.h>

#include <tapestry/autograd/random.h>
#include <tapestry/nn/init.h>
#include <tapestry/ops/matmul.h>
#include <tapestry/ops/shape_ops.h>

using namespace tapestry;
using namespace tapestry::test;
namespace init = tapestry::nn::init;

BOOST_AUTO_TEST_SUITE(init_test)

namespace {

struct Moments {
  double mean = 0, std = 0, low = 0, high = 0;
};

Moments moments(const Tensor& x) {
  const std::vector<double> all = values(x);
  Moments m;
  for (const double v : all) m.mean += v / static_cast<double>(all.size());
  for (const double v : all) m.std += (v - m.mean) * (v - m.mean) / static_cast<double>(all.size());
  m.std = std::sqrt(m.std);
  m.low = *std::min_element(all.begin(), all.end());
  m.high = *std::max_element(all.begin(), all.end());
  return m;
}

}  // namespace

BOOST_AUTO_TEST_CASE(fans_of_linear_and_grouped_convolution) {
  BOOST_TEST(init::fans({10, 20}).in == 20);
  BOOST_TEST(init::fans({10, 20}).out == 10);
  BOOST_TEST(init::fans({64, 3, 5, 8}).in == 3 * 5 * 8);
  BOOST_TEST(init::fans({64, 3, 5, 8}).out == 64 * 3 * 5);
  BOOST_TEST(error<std::invalid_argument>([] { (void)init::fans({10}); }) ==
             "init: fans need a shape of at least 2 dimensions; got [10]");
}

BOOST_AUTO_TEST_CASE(gains_are_pytorchs) {
  BOOST_TEST(init::gain(init::Nonlinearity::linear) == 1);
  BOOST_TEST(init::gain(init::Nonlinearity::sigmoid) == 1);
  BOOST_TEST(init::gain(init::Nonlinearity::tanh) == 5.0 / 3);
  BOOST_TEST(init::gain(init::Nonlinearity::relu) == std::sqrt(2.0));
  BOOST_TEST(init::gain(init::Nonlinearity::leaky_relu, 0.2) == std::sqrt(2 / 1.04));
  BOOST_TEST(init::gain(init::Nonlinearity::selu) == 0.75);
}

// The deviation of 100,000 draws is within 1 % (4.5 of its own deviations), uniform bounds are nearly reached.
BOOST_AUTO_TEST_CASE(deviations_and_bounds_follow_the_formulas) {
  const Shape shape{100, 5, 5, 40};  // fan in 1000, fan out 2500
  const auto near = [](double x, double y) { return std::abs(x / y - 1) < 0.01; };
  manual_seed(1);
  BOOST_TEST(near(moments(init::xavier_normal(shape, {.gain = 2})).std, 2 * std::sqrt(2.0 / 3500)));
  BOOST_TEST(near(moments(init::kaiming_normal(shape)).std, std::sqrt(2.0 / 1000)));
  BOOST_TEST(
      near(moments(init::kaiming_normal(shape, {.mode = init::Fan::out, .nonlinearity = init::Nonlinearity::tanh})).std,
           5.0 / 3 / std::sqrt(2500.0)));
  const Moments x = moments(init::xavier_uniform(shape));
  BOOST_TEST(near(x.high, std::sqrt(6.0 / 3500)));
  BOOST_TEST(near(x.low, -std::sqrt(6.0 / 3500)));
  BOOST_TEST(near(x.std, std::sqrt(2.0 / 3500)));
  const Moments k = moments(init::kaiming_uniform(shape, {.slope = std::sqrt(5.0)}));
  BOOST_TEST(near(k.high, 1 / std::sqrt(1000.0)));
  BOOST_TEST(near(moments(init::fan_in_uniform({100'000}, 64)).high, 0.125));
  BOOST_TEST(near(moments(init::normal({100'000}, 5, 2)).mean, 5));
  BOOST_TEST(near(moments(init::uniform({100'000}, 2, 4)).mean, 3));
}

BOOST_AUTO_TEST_CASE(constants_and_dtypes) {
  BOOST_TEST(values(init::constant({2}, 3.5)) == (std::vector<double>{3.5, 3.5}), boost::test_tools::per_element());
  BOOST_TEST(init::ones({2}, f64).dtype() == f64);
  BOOST_TEST(init::zeros({2}).dtype() == f32);
  BOOST_TEST(init::orthogonal({2, 2}, {.dtype = f64}).dtype() == f64);
  BOOST_TEST(init::kaiming_normal({2, 2}, {.dtype = f64}).dtype() == f64);
  BOOST_TEST(values(init::eye({2, 3})) == (std::vector<double>{1, 0, 0, 0, 1, 0}), boost::test_tools::per_element());
}

BOOST_AUTO_TEST_CASE(a_generator_makes_values_repeatable_and_leaves_the_default_one_alone) {
  const auto before = default_generator().state();
  Generator a(7), b(7);
  BOOST_TEST(
      same_bits(init::kaiming_uniform({3, 4}, {.generator = &a}), init::kaiming_uniform({3, 4}, {.generator = &b})));
  BOOST_TEST(same_bits(init::orthogonal({3, 4}, {.generator = &a}), init::orthogonal({3, 4}, {.generator = &b})));
  BOOST_TEST(same_bits(init::trunc_normal({5}, {.generator = &a}), init::trunc_normal({5}, {.generator = &b})));
  BOOST_TEST((before == default_generator().state()));
}

// Bounds of +-1 on a standard normal: the deviation is sqrt(1 - 2 phi(1) / (2 Phi(1) - 1)) = 0.539560...
BOOST_AUTO_TEST_CASE(trunc_normal_keeps_its_absolute_bounds_and_has_the_deviation_of_the_cut_distribution) {
  manual_seed(2);
  const Moments m = moments(init::trunc_normal({100'000}, {.low = -1, .high = 1, .dtype = f64}));
  BOOST_TEST(m.low >= -1);
  BOOST_TEST(m.high <= 1);
  BOOST_TEST(std::abs(m.std - 0.539560) < 0.005);
  BOOST_TEST(std::abs(m.mean) < 0.01);
  const Moments vit = moments(init::trunc_normal({100'000}, {.std = 0.02}));  // bounds 100 deviations away
  BOOST_TEST(std::abs(vit.std / 0.02 - 1) < 0.01);
  const Moments tail = moments(init::trunc_normal({10'000}, {.low = 3, .high = 4, .dtype = f64}));
  BOOST_TEST(tail.low >= 3);
  BOOST_TEST(tail.high <= 4);
  BOOST_TEST(std::abs(tail.mean - 3.2604) < 0.01);  // (phi(3) - phi(4)) / (Phi(4) - Phi(3))
  BOOST_TEST(error<std::invalid_argument>([] { (void)init::trunc_normal({1}, {.std = 0}); }) ==
             "trunc_normal: std must be above 0; got 0");
  BOOST_TEST(error<std::invalid_argument>([] { (void)init::trunc_normal({1}, {.low = 1, .high = 1}); }) ==
             "trunc_normal: low must be below high; got 1 and 1");
}

BOOST_AUTO_TEST_CASE(orthogonal_rows_or_columns_have_length_gain_and_right_angles) {
  manual_seed(3);
  for (const Shape& shape : {Shape{4, 7}, Shape{7, 4}, Shape{5, 5}, Shape{6, 2, 3, 2}}) {
    const Index rows = shape[0];
    const Index columns = shape.numel() / rows;
    const Tensor w = reshape(init::orthogonal(shape, {.gain = 3, .dtype = f64}), Shape{rows, columns});
    const bool tall = rows > columns;
    const Tensor product = matmul(w, w, {.transpose_a = tall, .transpose_b = !tall});
    std::vector<double> expected = values(eye(product.size(0)));
    for (double& x : expected) x *= 9;
    BOOST_TEST(all_close(product, expected, 0, 1e-13), to_string(shape));
  }
  BOOST_TEST(init::orthogonal({0, 3}).shape() == (Shape{0, 3}));
  BOOST_TEST(error<std::invalid_argument>([] { (void)init::orthogonal({3}); }) ==
             "orthogonal: the shape must have at least 2 dimensions; got [3]");
}

BOOST_AUTO_TEST_CASE(dirac_passes_channels_on) {
  const Tensor w = init::dirac({3, 3, 2, 2});  // K 3, R 3, S 2, C 2
  std::vector<double> expected(3 * 3 * 2 * 2);
  expected[0 * 12 + (1 * 2 + 1) * 2 + 0] = 1;
  expected[1 * 12 + (1 * 2 + 1) * 2 + 1] = 1;
  BOOST_TEST(values(w) == expected, boost::test_tools::per_element());
  const std::vector<double> grouped = values(init::dirac({4, 1, 1, 3}, {.groups = 2}));
  BOOST_TEST(grouped == (std::vector<double>{1, 0, 0, 0, 1, 0, 1, 0, 0, 0, 1, 0}), boost::test_tools::per_element());
  BOOST_TEST(error<std::invalid_argument>([] {
               (void)init::dirac({2, 2});
             }) == "dirac: the shape must be [K, R, S, C/groups]; got [2, 2]");
  BOOST_TEST(error<std::invalid_argument>([] {
               (void)init::dirac({3, 1, 1, 1}, {.groups = 2});
             }) == "dirac: groups must divide the 3 filters; got 2");
}

BOOST_AUTO_TEST_SUITE_END()
