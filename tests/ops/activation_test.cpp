#include <tapestry/ops/activation.h>

#include <support/expect.h>
#include <support/op_table.h>

#include <cmath>
#include <limits>
#include <stdexcept>

#include <tapestry/autograd/backward.h>
#include <tapestry/ops/binary.h>
#include <tapestry/ops/cast.h>

using namespace tapestry;
using namespace tapestry::test;

namespace {

constexpr double inf = std::numeric_limits<double>::infinity();
constexpr double not_a_number = std::numeric_limits<double>::quiet_NaN();

using Op = Tensor (*)(const Tensor&);

/// Samples of either sign, at least 0.1 away from 0 and below 2 in magnitude.
OpSpec row(const char* op, Op f, const char* variant = "") {
  return {.op = op,
          .variant = variant,
          .inputs =
              [](Generator& g) {
                return std::vector{sample_signed(g, {4, 5}, 0.1, 2)};
              },
          .f = [f](const std::vector<Tensor>& x) { return f(x[0]); }};
}

OpSpec prelu_row(const char* variant, const Shape& weight) {
  return {.op = "prelu",
          .variant = variant,
          .inputs =
              [weight](Generator& g) {
                return std::vector{sample_signed(g, {2, 3, 5}, 0.1, 2), sample(g, weight, 0.1, 0.9)};
              },
          .f = [](const std::vector<Tensor>& x) { return prelu(x[0], x[1]); }};
}

const OpRows rows{
    row("relu", [](const Tensor& x) { return relu(x); }),
    row("leaky_relu", [](const Tensor& x) { return leaky_relu(x, {.negative_slope = 0.2}); }),
    row("elu", [](const Tensor& x) { return elu(x, {.alpha = 0.7}); }),
    row("silu", [](const Tensor& x) { return silu(x); }),
    row(
        "gelu", [](const Tensor& x) { return gelu(x); }, "exact"),
    row(
        "gelu", [](const Tensor& x) { return gelu(x, {.approximate = GeluApproximation::tanh}); }, "tanh"),
    row("relu6", [](const Tensor& x) { return relu6(4 * x); }),
    row(
        "hardtanh", [](const Tensor& x) { return hardtanh(0.9 * x, {.min = -1.9, .max = 1.9}); }, "inside"),
    row("hardswish", [](const Tensor& x) { return hardswish(x); }),
    row("hardsigmoid", [](const Tensor& x) { return hardsigmoid(x) * x; }),
    row("selu", [](const Tensor& x) { return selu(x); }),
    row("celu", [](const Tensor& x) { return celu(x, {.alpha = 0.7}); }),
    row("mish", [](const Tensor& x) { return mish(x); }),
    row("softsign", [](const Tensor& x) { return softsign(x); }),
    row(
        "softplus", [](const Tensor& x) { return softplus(x, {.beta = 3, .threshold = 4}); }, "beta 3, threshold 4"),
    row(
        "glu", [](const Tensor& x) { return glu(x, {.dim = 0}); }, "dim 0"),
    prelu_row("one slope", {1}),
    prelu_row("a slope per channel", {5}),
    row("softplus", [](const Tensor& x) { return softplus(x); }),
    row("logsigmoid", [](const Tensor& x) { return logsigmoid(x); }),
};

/// Value and gradient of f at each point, in f64 and f32.
void expect_at(const char* op, Op f, const std::vector<double>& at, const std::vector<double>& value,
               const std::vector<double>& gradient) {
  for (const Dtype dtype : {f64, f32}) {
    const Tensor x = to(tensor(at, {static_cast<Index>(at.size())}, {.dtype = f64}), dtype).requires_grad(true);
    Tensor y = f(x);
    BOOST_TEST(all_close(y, value, 1e-6, 1e-7), op << " in " << dtype);
    const Tensor g = grad(y, x, {.grad_outputs = {ones_like(y)}});
    BOOST_TEST(all_close(g, gradient, 1e-6, 1e-7), op << "'s gradient in " << dtype);
    // the form used while a graph is created must agree
    const Tensor recorded = grad(y = f(x), x, {.grad_outputs = {ones_like(x)}, .create_graph = true});
    BOOST_TEST(all_close(recorded, gradient, 1e-6, 1e-7), op << "'s recorded gradient in " << dtype);
  }
}

}  // namespace

BOOST_AUTO_TEST_SUITE(activation_test)

BOOST_AUTO_TEST_CASE(relu_has_gradient_zero_at_both_zeros_and_lets_nan_through) {
  expect_at("relu", [](const Tensor& x) { return relu(x); }, {0.0, -0.0, not_a_number, -1, 2, inf, -inf},
            {0, 0, not_a_number, 0, 2, inf, 0}, {0, 0, 1, 0, 1, 1, 0});
}

BOOST_AUTO_TEST_CASE(the_slopes_at_zero_are_those_of_the_negative_side) {
  expect_at("leaky_relu", [](const Tensor& x) { return leaky_relu(x); }, {0, not_a_number, -2, 3},
            {0, not_a_number, -0.02, 3}, {0.01, 0.01, 0.01, 1});
  expect_at("elu", [](const Tensor& x) { return elu(x, {.alpha = 2}); }, {0, 1, -inf, 1000}, {0, 1, -2, 1000},
            {2, 1, 0, 1});
}

BOOST_AUTO_TEST_CASE(bounds_of_hard_functions_have_gradient_zero) {
  expect_at("relu6", [](const Tensor& x) { return relu6(x); }, {-1, 0, 3, 6, 7}, {0, 0, 3, 6, 6}, {0, 0, 1, 0, 0});
  expect_at("hardtanh", [](const Tensor& x) { return hardtanh(x); }, {-2, -1, 0.5, 1, 2}, {-1, -1, 0.5, 1, 1},
            {0, 0, 1, 0, 0});
  expect_at("hardswish", [](const Tensor& x) { return hardswish(x); }, {-4, -3, 0, 3, 4}, {0, 0, 0, 3, 4},
            {0, -0.5, 0.5, 1.5, 1});
  BOOST_TEST(error<std::invalid_argument>([] { (void)hardtanh(ones({1}), {.min = 2, .max = 1}); }) ==
             "hardtanh: .min must be below .max; got 2 and 1");
}

BOOST_AUTO_TEST_CASE(gelu_and_silu_have_their_published_values) {
  expect_at("gelu", [](const Tensor& x) { return gelu(x); }, {1, 0, -1}, {0.8413447461, 0, -0.1586552539},
            {1.0833154706, 0.5, -0.0833154706});
  const Tensor one = scalar(1, {.dtype = f64});
  BOOST_TEST(gelu(one, {.approximate = GeluApproximation::tanh}).item() == 0.8411920,
             boost::test_tools::tolerance(1e-6));
  expect_at("silu", [](const Tensor& x) { return silu(x); }, {0, 1, 1000}, {0, 0.7310585786, 1000},
            {0.5, 0.9276705119, 1});
  for (const Dtype dtype : {f32, f64}) {
    const Tensor low = full({1}, -inf, {.dtype = dtype});
    BOOST_TEST(std::isnan(gelu(low).item()));
    BOOST_TEST(std::isnan(silu(low).item()));
  }
}

BOOST_AUTO_TEST_CASE(gelu_in_f32_is_close_to_f64_over_its_whole_range_and_so_is_its_gradient) {
  constexpr Index n = 20'001;
  Tensor x = empty({n}, f64);
  double* data = x.mutable_data<double>();
  for (Index i = 0; i < n; ++i) data[i] = -10 + 20.0 * static_cast<double>(i) / (n - 1);
  for (const Op op : {Op([](const Tensor& v) { return gelu(v); }), Op([](const Tensor& v) { return silu(v); })}) {
    const Tensor narrow = to(x, f32).requires_grad(true), wide = to(narrow.detach(), f64).requires_grad(true);
    BOOST_TEST(all_close(values(op(narrow)), values(op(wide)), 1e-6, 5e-7));
    const Tensor g = grad(op(narrow), narrow, {.grad_outputs = {ones({n})}});
    const Tensor reference = grad(op(wide), wide, {.grad_outputs = {ones_like(wide)}});
    BOOST_TEST(all_close(values(g), values(reference), 1e-6, 1e-6));
  }
}

BOOST_AUTO_TEST_CASE(softplus_and_logsigmoid_neither_overflow_nor_lose_their_tail) {
  expect_at("softplus", [](const Tensor& x) { return softplus(x); }, {0, 1000, -1000, 30}, {0.6931471806, 1000, 0, 30},
            {0.5, 1, 0, 1});
  expect_at("logsigmoid", [](const Tensor& x) { return logsigmoid(x); }, {0, -1000, 1000}, {-0.6931471806, -1000, 0},
            {0.5, 1, 0});
}

BOOST_AUTO_TEST_CASE(exponential_units_have_the_slopes_of_the_contract_at_zero) {
  expect_at("selu", [](const Tensor& x) { return selu(x); }, {0, 1, -inf, 1000, not_a_number},
            {0, 1.0507009874, -1.7580993408, 1050.7009874, not_a_number},
            {1.7580993408, 1.0507009874, 0, 1.0507009874, not_a_number});
  expect_at("celu", [](const Tensor& x) { return celu(x, {.alpha = 2}); }, {0, 1, -inf, -2},
            {0, 1, -2, 2 * std::expm1(-1)}, {1, 1, 0, std::exp(-1)});
  BOOST_TEST(error<std::invalid_argument>([] { (void)celu(ones({1}), {.alpha = 0}); }) ==
             "celu: .alpha must not be 0; got 0");
}

BOOST_AUTO_TEST_CASE(mish_softsign_and_hardsigmoid_have_their_values) {
  // the formula in double, by another program
  expect_at("mish", [](const Tensor& x) { return mish(x); }, {-1, 0, 1, 30}, {-0.3034014614, 0, 0.8650983883, 30},
            {0.0592167559, 0.6, 1.0490362201, 1});
  expect_at("softsign", [](const Tensor& x) { return softsign(x); }, {-3, 0, 1, not_a_number},
            {-0.75, 0, 0.5, not_a_number}, {1.0 / 16, 1, 0.25, not_a_number});
  expect_at("hardsigmoid", [](const Tensor& x) { return hardsigmoid(x); }, {-4, -3, 0, 1.5, 3, 4, not_a_number},
            {0, 0, 0.5, 0.75, 1, 1, not_a_number}, {0, 0, 1.0 / 6, 1.0 / 6, 0, 0, 0});
}

BOOST_AUTO_TEST_CASE(softplus_is_linear_above_its_threshold) {
  const auto f = [](const Tensor& x) { return softplus(x, {.beta = 2, .threshold = 3}); };
  expect_at("softplus", f, {1, 1.5, 1.6}, {std::log1p(std::exp(2)) / 2, std::log1p(std::exp(3)) / 2, 1.6},
            {1 / (1 + std::exp(-2)), 1 / (1 + std::exp(-3)), 1});
  BOOST_TEST(error<std::invalid_argument>([] { (void)softplus(ones({1}), {.beta = 0}); }) ==
             "softplus: .beta must not be 0; got 0");
}

BOOST_AUTO_TEST_CASE(prelu_learns_a_slope_for_what_is_not_positive) {
  const Tensor x = tensor<double>({{-2, 0, 3}, {not_a_number, -1, 1}}, {.dtype = f64, .requires_grad = true});
  const Tensor w = tensor({0.5, 0.1, 0.2}, {.dtype = f64, .requires_grad = true});
  const Tensor y = prelu(x, w);
  BOOST_TEST(all_close(y, {-1, 0, 3, not_a_number, -0.1, 1}, 1e-15));
  const auto g = grad({y}, {x, w}, {.grad_outputs = {ones_like(y)}});
  BOOST_TEST(all_close(g[0], {0.5, 0.1, 1, 0.5, 0.1, 1}, 1e-15));
  BOOST_TEST(all_close(g[1], {not_a_number, -1, 0}, 1e-15));
  const Tensor lone = scalar(-2, {.dtype = f64, .requires_grad = true});
  const Tensor slope = full({1}, 0.25, {.dtype = f64, .requires_grad = true});
  BOOST_TEST(prelu(lone, slope).item() == -0.5);
  BOOST_TEST(prelu(lone, slope).dim() == 0);
  BOOST_TEST(all_close(grad(prelu(lone, slope), slope), {-2}, 0));
  BOOST_TEST(error<std::invalid_argument>([&] { (void)prelu(x, ones({2}, {.dtype = f64})); }) ==
             "prelu: the weight must be [1] or [3], one slope per channel; got [2]");
  BOOST_TEST(error<std::invalid_argument>([&] { (void)prelu(x, ones({3})); }) ==
             "prelu: the dtypes must be equal; got f64 and f32, convert one with to(x, f64)");
}

BOOST_AUTO_TEST_CASE(glu_gates_one_half_with_the_other) {
  const Tensor x = tensor<double>({{1, 2, 0, 1000}}, {.dtype = f64});
  BOOST_TEST(all_close(glu(x), {0.5, 2}, 1e-15));
  BOOST_TEST((glu(ones({2, 4, 3}), {.dim = 1}).shape() == Shape{2, 2, 3}));
  BOOST_TEST(error<std::invalid_argument>([] {
               (void)glu(ones({2, 3}));
             }) == "glu: the extent of dim 1 must be even; got 3");
  BOOST_TEST(error<std::invalid_argument>([] { (void)glu(scalar(1)); }) == "glu: a scalar has no dim to halve");
}

BOOST_AUTO_TEST_CASE(integers_are_refused) {
  BOOST_TEST(error<std::invalid_argument>([] { (void)relu(tensor({1})); }) ==
             "relu: the dtype must be f32, f64 or bf16; got i64, convert it with to(x, f32)");
  BOOST_TEST(error<std::invalid_argument>([] { (void)gelu(tensor({true})); }) ==
             "gelu: the dtype must be f32, f64 or bf16; got bool, convert it with to(x, f32)");
}

BOOST_AUTO_TEST_SUITE_END()
