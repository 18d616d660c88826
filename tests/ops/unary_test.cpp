#include <tapestry/ops/unary.h>

#include <support/expect.h>
#include <support/op_table.h>

#include <bit>
#include <cmath>
#include <limits>
#include <numbers>
#include <stdexcept>

#include <tapestry/autograd/backward.h>
#include <tapestry/autograd/grad_mode.h>
#include <tapestry/ops/binary.h>
#include <tapestry/ops/cast.h>

using namespace tapestry;
using namespace tapestry::test;

namespace {

constexpr double inf = std::numeric_limits<double>::infinity();
constexpr double not_a_number = std::numeric_limits<double>::quiet_NaN();

using In = const std::vector<Tensor>&;

/// A row over [3, 5] samples of [low, high].
OpSpec row(const char* op, double low, double high, Tensor (*f)(const Tensor&), const char* variant = "") {
  return {.op = op,
          .variant = variant,
          .inputs =
              [low, high](Generator& g) {
                return std::vector{sample(g, {3, 5}, low, high)};
              },
          .f = [f](In x) { return f(x[0]); }};
}

const OpRows rows{
    row("neg", -1, 1, [](const Tensor& x) { return neg(x); }),
    row(
        "abs", 0.1, 2, [](const Tensor& x) { return abs(x); }, "positive"),
    row(
        "abs", -2, -0.1, [](const Tensor& x) { return abs(x); }, "negative"),
    row("square", -1, 1, [](const Tensor& x) { return square(x); }),
    row("sqrt", 0.2, 3, [](const Tensor& x) { return sqrt(x); }),
    row("rsqrt", 0.2, 3, [](const Tensor& x) { return rsqrt(x); }),
    row("reciprocal", 0.5, 2, [](const Tensor& x) { return reciprocal(x); }),
    row("exp", -2, 2, [](const Tensor& x) { return exp(x); }),
    row("expm1", -2, 2, [](const Tensor& x) { return expm1(x); }),
    row("log", 0.2, 3, [](const Tensor& x) { return log(x); }),
    row("log1p", -0.8, 2, [](const Tensor& x) { return log1p(x); }),
    row("sin", -2, 2, [](const Tensor& x) { return sin(x); }),
    row("cos", -2, 2, [](const Tensor& x) { return cos(x); }),
    row("log2", 0.2, 3, [](const Tensor& x) { return log2(x); }),
    row("log10", 0.2, 3, [](const Tensor& x) { return log10(x); }),
    row("tan", -1.2, 1.2, [](const Tensor& x) { return tan(x); }),
    row("asin", -0.9, 0.9, [](const Tensor& x) { return asin(x); }),
    row("acos", -0.9, 0.9, [](const Tensor& x) { return acos(x); }),
    row("atan", -2, 2, [](const Tensor& x) { return atan(x); }),
    row("sinh", -2, 2, [](const Tensor& x) { return sinh(x); }),
    row("cosh", -2, 2, [](const Tensor& x) { return cosh(x); }),
    row("asinh", -2, 2, [](const Tensor& x) { return asinh(x); }),
    row("acosh", 1.2, 3, [](const Tensor& x) { return acosh(x); }),
    row("atanh", -0.9, 0.9, [](const Tensor& x) { return atanh(x); }),
    row("erf", -2, 2, [](const Tensor& x) { return erf(x); }),
    row("tanh", -2, 2, [](const Tensor& x) { return tanh(x); }),
    row("sigmoid", -2, 2, [](const Tensor& x) { return sigmoid(x); }),
    row(
        "pow", 0.2, 3, [](const Tensor& x) { return pow(x, 1.7); }, "exponent 1.7"),
    row(
        "pow", 0.2, 3, [](const Tensor& x) { return pow(x, -2); }, "exponent -2"),
    row(
        "pow", -2, -0.2, [](const Tensor& x) { return pow(x, 3); }, "negative base, exponent 3"),
    row(
        "clamp", 0.1, 0.9, [](const Tensor& x) { return clamp(x, {.min = 0, .max = 1}); }, "inside"),
    row(
        "clamp", -2, -0.1, [](const Tensor& x) { return x * clamp(x - 1, {.max = 0}); }, "upper bound, times x"),
};

using Op = Tensor (*)(const Tensor&);

/// Value and gradient of f at each point, in f64 and f32.
void expect_at(const char* op, Op f, const std::vector<double>& at, const std::vector<double>& value,
               const std::vector<double>& gradient) {
  for (const Dtype dtype : {f64, f32}) {
    const Tensor x = to(tensor(at, {static_cast<Index>(at.size())}, {.dtype = f64}), dtype).requires_grad(true);
    const Tensor y = f(x);
    BOOST_TEST(all_close(y, value, 1e-6), op << " in " << dtype);
    BOOST_TEST(all_close(grad(y, x, {.grad_outputs = {ones_like(y)}}), gradient, 1e-6),
               op << "'s gradient in " << dtype);
  }
}

struct Reference {
  const char* name;
  Op op;
  double (*exact)(double);
  double low, high;
};

const std::vector<Reference> kReferences{
    {"exp", [](const Tensor& x) { return exp(x); }, [](double v) { return std::exp(v); }, -87, 88},
    {"expm1", [](const Tensor& x) { return expm1(x); }, [](double v) { return std::expm1(v); }, -20, 20},
    {"log", [](const Tensor& x) { return log(x); }, [](double v) { return std::log(v); }, 1e-30, 1e3},
    {"log1p", [](const Tensor& x) { return log1p(x); }, [](double v) { return std::log1p(v); }, -0.99, 100},
    {"sin", [](const Tensor& x) { return sin(x); }, [](double v) { return std::sin(v); }, -30, 30},
    {"cos", [](const Tensor& x) { return cos(x); }, [](double v) { return std::cos(v); }, -30, 30},
    {"log2", [](const Tensor& x) { return log2(x); }, [](double v) { return std::log2(v); }, 1e-30, 1e3},
    {"log10", [](const Tensor& x) { return log10(x); }, [](double v) { return std::log10(v); }, 1e-30, 1e3},
    {"tan", [](const Tensor& x) { return tan(x); }, [](double v) { return std::tan(v); }, -30, 30},
    {"asin", [](const Tensor& x) { return asin(x); }, [](double v) { return std::asin(v); }, -1, 1},
    {"acos", [](const Tensor& x) { return acos(x); }, [](double v) { return std::acos(v); }, -1, 1},
    {"atan", [](const Tensor& x) { return atan(x); }, [](double v) { return std::atan(v); }, -30, 30},
    {"sinh", [](const Tensor& x) { return sinh(x); }, [](double v) { return std::sinh(v); }, -80, 80},
    {"cosh", [](const Tensor& x) { return cosh(x); }, [](double v) { return std::cosh(v); }, -80, 80},
    {"asinh", [](const Tensor& x) { return asinh(x); }, [](double v) { return std::asinh(v); }, -1e6, 1e6},
    {"acosh", [](const Tensor& x) { return acosh(x); }, [](double v) { return std::acosh(v); }, 1, 1e6},
    {"atanh", [](const Tensor& x) { return atanh(x); }, [](double v) { return std::atanh(v); }, -0.999, 0.999},
    {"tanh", [](const Tensor& x) { return tanh(x); }, [](double v) { return std::tanh(v); }, -10, 10},
    {"sigmoid", [](const Tensor& x) { return sigmoid(x); }, [](double v) { return 1 / (1 + std::exp(-v)); }, -80, 80},
    {"erf", [](const Tensor& x) { return erf(x); }, [](double v) { return std::erf(v); }, -4, 4},
    {"sqrt", [](const Tensor& x) { return sqrt(x); }, [](double v) { return std::sqrt(v); }, 0, 1e6},
    {"rsqrt", [](const Tensor& x) { return rsqrt(x); }, [](double v) { return 1 / std::sqrt(v); }, 1e-6, 1e6},
};

}  // namespace

BOOST_AUTO_TEST_SUITE(unary_test)

BOOST_AUTO_TEST_CASE(f32_functions_are_within_4_ulp_of_the_exact_value) {
  constexpr Index n = 100'003;  // odd: the last vector is a partial one
  for (const Reference& r : kReferences) {
    Tensor x = empty({n});
    float* in = x.mutable_data<float>();
    for (Index i = 0; i < n; ++i) {
      in[i] = static_cast<float>(r.low + (r.high - r.low) * static_cast<double>(i) / static_cast<double>(n - 1));
    }
    const Tensor y = r.op(x);
    double worst = 0, at = 0;
    for (Index i = 0; i < n; ++i) {
      const double exact = r.exact(static_cast<double>(in[i]));
      const auto rounded = std::abs(static_cast<float>(exact));
      const double ulp = static_cast<double>(std::nextafter(rounded, INFINITY)) - static_cast<double>(rounded);
      const double off = std::abs(static_cast<double>(y.data<float>()[i]) - exact);
      if (off > 1e-7 && off / ulp > worst) worst = off / ulp, at = static_cast<double>(in[i]);
    }
    BOOST_TEST(worst <= 4, r.name << " is off by " << worst << " ulp at " << at);
  }
}

BOOST_AUTO_TEST_CASE(f64_functions_agree_with_the_standard_library) {
  constexpr Index n = 1003;
  for (const Reference& r : kReferences) {
    std::vector<double> in, out;
    for (Index i = 0; i < n; ++i) {
      in.push_back(r.low + (r.high - r.low) * static_cast<double>(i) / static_cast<double>(n - 1));
      out.push_back(r.exact(in.back()));
    }
    BOOST_TEST(all_close(r.op(tensor(in, {n}, {.dtype = f64})), out, 1e-14, 1e-15), r.name);
  }
}

BOOST_AUTO_TEST_CASE(edges_have_the_values_and_gradients_of_the_contract) {
  expect_at("abs", [](const Tensor& x) { return abs(x); }, {0, not_a_number, -2}, {0, not_a_number, 2}, {0, 0, -1});
  expect_at("sqrt", [](const Tensor& x) { return sqrt(x); }, {0, 4}, {0, 2}, {inf, 0.25});
  expect_at("rsqrt", [](const Tensor& x) { return rsqrt(x); }, {0, 4}, {inf, 0.5}, {-inf, -1.0 / 16});
  expect_at("reciprocal", [](const Tensor& x) { return reciprocal(x); }, {0.0, -0.0, 2}, {inf, -inf, 0.5},
            {-inf, -inf, -0.25});
  expect_at("log", [](const Tensor& x) { return log(x); }, {0, -1, inf}, {-inf, not_a_number, inf}, {inf, -1, 0});
  expect_at("log1p", [](const Tensor& x) { return log1p(x); }, {-1, 1e-10}, {-inf, 1e-10}, {inf, 1});
  expect_at("sigmoid", [](const Tensor& x) { return sigmoid(x); }, {-1000, 1000, -inf, inf, not_a_number},
            {0, 1, 0, 1, not_a_number}, {0, 0, 0, 0, not_a_number});
  expect_at("tanh", [](const Tensor& x) { return tanh(x); }, {-1000, 1000, -inf, inf, not_a_number},
            {-1, 1, -1, 1, not_a_number}, {0, 0, 0, 0, not_a_number});
  expect_at("exp", [](const Tensor& x) { return exp(x); }, {-inf, inf, 1000, -1000, not_a_number, 0},
            {0, inf, inf, 0, not_a_number, 1}, {0, inf, inf, 0, not_a_number, 1});
  expect_at("erf", [](const Tensor& x) { return erf(x); }, {-inf, inf, not_a_number}, {-1, 1, not_a_number},
            {0, 0, not_a_number});
  constexpr double half_pi = std::numbers::pi / 2;
  expect_at("log2", [](const Tensor& x) { return log2(x); }, {0, 8}, {-inf, 3}, {inf, 1 / (8 * std::numbers::ln2)});
  expect_at("log10", [](const Tensor& x) { return log10(x); }, {0, 1000}, {-inf, 3},
            {inf, 1 / (1000 * std::numbers::ln10)});
  expect_at("asin", [](const Tensor& x) { return asin(x); }, {1, -1, 0, 2}, {half_pi, -half_pi, 0, not_a_number},
            {inf, inf, 1, not_a_number});
  expect_at("acos", [](const Tensor& x) { return acos(x); }, {1, -1, 0, -2},
            {0, std::numbers::pi, half_pi, not_a_number}, {-inf, -inf, -1, not_a_number});
  expect_at("atan", [](const Tensor& x) { return atan(x); }, {inf, -inf, 1e15, 0}, {half_pi, -half_pi, half_pi, 0},
            {0, 0, 1e-30, 1});
  expect_at("asinh", [](const Tensor& x) { return asinh(x); }, {0, 1e30, -inf}, {0, std::log(2e30), -inf},
            {1, 1e-30, 0});
  expect_at("acosh", [](const Tensor& x) { return acosh(x); }, {1, 0.5, -3}, {0, not_a_number, not_a_number},
            {inf, not_a_number, not_a_number});
  expect_at("atanh", [](const Tensor& x) { return atanh(x); }, {1, -1, 0}, {inf, -inf, 0}, {inf, inf, 1});
  expect_at("cosh", [](const Tensor& x) { return cosh(x); }, {0, 1000, -1000}, {1, inf, inf}, {0, inf, -inf});
}

BOOST_AUTO_TEST_CASE(sign_and_rounding_have_gradient_zero_and_round_halves_to_even) {
  const Tensor x = tensor({0.5, 1.5, 2.5, -0.5, -1.7}, {.dtype = f64, .requires_grad = true});
  BOOST_TEST(all_close(round(x), {0, 2, 2, 0, -2}, 0));
  BOOST_TEST(all_close(floor(x), {0, 1, 2, -1, -2}, 0));
  BOOST_TEST(all_close(ceil(x), {1, 2, 3, 0, -1}, 0));
  BOOST_TEST(all_close(trunc(x), {0, 1, 2, 0, -1}, 0));
  BOOST_TEST(all_close(sign(tensor({not_a_number, -0.0, 3.0, -2.0}, {.dtype = f64})), {0, 0, 1, -1}, 0));
  for (const Tensor& y : {round(x), floor(x), ceil(x), trunc(x), sign(x), floor(x * 2) * 3}) {
    BOOST_TEST(all_close(grad(y, x, {.grad_outputs = {ones_like(x)}}), {0, 0, 0, 0, 0}, 0));
  }
}

BOOST_AUTO_TEST_CASE(powers_at_zero_and_of_negative_numbers) {
  const auto gradient_at = [](double base, double exponent) {
    const Tensor x = scalar(base, {.dtype = f64, .requires_grad = true});
    const Tensor g = grad(std::vector{pow(x, exponent)}, std::vector{x}, {.allow_unused = true})[0];
    return g.defined() ? g.item() : 0.0;
  };
  BOOST_TEST(gradient_at(0, 0.5) == inf);
  BOOST_TEST(gradient_at(0, 1) == 1);
  BOOST_TEST(gradient_at(0, 1.5) == 0);
  BOOST_TEST(gradient_at(0, 2) == 0);
  BOOST_TEST(gradient_at(0, -1) == -inf);
  BOOST_TEST(gradient_at(0, 0) == 0);
  BOOST_TEST(gradient_at(not_a_number, 0) == 0);
  BOOST_TEST(gradient_at(-2, 3) == 12);
  BOOST_TEST(std::isnan(gradient_at(-2, 0.5)));
  BOOST_TEST(all_close(pow(tensor({0.0, not_a_number}, {.dtype = f64}), 0), {1, 1}, 0));
  BOOST_TEST(pow(scalar(-2, {.dtype = f64}), 3).item() == -8);
  BOOST_TEST(std::isnan(pow(scalar(-2, {.dtype = f64}), 0.5).item()));
}

BOOST_AUTO_TEST_CASE(clamp_passes_gradients_on_its_bounds_and_prefers_the_maximum) {
  const Tensor x = tensor<double>({-1, 0, 0.5, 1, 2, not_a_number}, {.dtype = f64, .requires_grad = true});
  const Tensor y = clamp(x, {.min = 0, .max = 1});
  BOOST_TEST(all_close(y, {0, 0, 0.5, 1, 1, not_a_number}, 0));
  BOOST_TEST(all_close(grad(y, x, {.grad_outputs = {ones_like(y)}}), {0, 1, 1, 1, 0, 0}, 0));
  BOOST_TEST(all_close(clamp(x.detach(), {.min = 3, .max = 1}), {1, 1, 1, 1, 1, not_a_number}, 0));
  BOOST_TEST(error<std::invalid_argument>([&] { (void)clamp(x, {}); }) == "clamp: .min or .max must be given");
}

BOOST_AUTO_TEST_CASE(clamp_passes_gradients_at_infinity_but_not_at_nan) {
  const Tensor x = tensor({inf, -inf, not_a_number}, {.dtype = f64, .requires_grad = true});
  const auto slope = [&](const ClampOptions& options) {
    return grad(clamp(x, options), x, {.grad_outputs = {ones({3}, {.dtype = f64})}});
  };
  BOOST_TEST(all_close(slope({.min = 0}), {1, 0, 0}, 0));
  BOOST_TEST(all_close(slope({.max = 0}), {0, 1, 0}, 0));
}

BOOST_AUTO_TEST_CASE(integers_are_negated_squared_and_made_positive_but_not_taken_the_root_of) {
  BOOST_TEST(all_close(neg(tensor({1, -2})), {-1, 2}, 0));
  BOOST_TEST(all_close(abs(tensor({1, -2})), {1, 2}, 0));
  BOOST_TEST(all_close(square(tensor({3, -2})), {9, 4}, 0));
  BOOST_TEST(all_close(neg(to(tensor({1, 0}), u8)), {255, 0}, 0));
  BOOST_TEST(error<std::invalid_argument>([] { (void)sqrt(tensor({4})); }) ==
             "sqrt: the dtype must be f32, f64 or bf16; got i64, convert it with to(x, f32)");
  BOOST_TEST(error<std::invalid_argument>([] { (void)neg(tensor({true})); }) ==
             "neg: the dtype must be f32, f64, bf16 or an integer; got bool");
}

BOOST_AUTO_TEST_CASE(sizes_around_a_vector_and_a_chunk_give_every_element) {
  for (const Index n : {0, 1, 3, 4, 5, 15, 16, 17, 50, 32 * 1024 - 1, 32 * 1024, 32 * 1024 + 1, 100'001}) {
    const Tensor x = full({n}, 0.5);
    for (const Op op : {Op([](const Tensor& v) { return exp(v); }), Op([](const Tensor& v) { return neg(v); })}) {
      const Tensor y = op(x);
      const float first = op(full({1}, 0.5)).item<float>();
      bool equal = y.numel() == n;
      for (const float v : y.span<float>()) equal = equal && v == first;
      BOOST_TEST(equal, n << " elements");
    }
  }
}

BOOST_AUTO_TEST_SUITE_END()
