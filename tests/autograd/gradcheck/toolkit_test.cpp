#include <support/expect.h>

#include <cmath>
#include <functional>
#include <sstream>

#include <tapestry/autograd/gradcheck/foreign.h>
#include <tapestry/autograd/gradcheck/gradcheck.h>
#include <tapestry/autograd/gradcheck/taylor.h>
#include <tapestry/autograd/random.h>
#include <tapestry/autograd/record.h>
#include <tapestry/ops/activation.h>
#include <tapestry/ops/binary.h>
#include <tapestry/ops/cast.h>
#include <tapestry/ops/compare.h>
#include <tapestry/ops/cross_entropy.h>
#include <tapestry/ops/matmul.h>
#include <tapestry/ops/reduce.h>
#include <tapestry/ops/shape_ops.h>
#include <tapestry/ops/softmax.h>
#include <tapestry/ops/unary.h>

#include "autograd/gradcheck/samples.h"

/// What the gradient checks offer besides derivatives of f64 functions: diagnoses, third order, narrow dtypes, the
/// Taylor test, forward mode, predicates, and functions of plain arrays.
BOOST_AUTO_TEST_SUITE(toolkit_test)

using namespace tapestry;
using namespace tapestry::test;

namespace {

using Rule = std::function<Tensor(const Tensor& dy)>;

/// x^2 with any rule.
Tensor squared(const Tensor& x, const Rule& rule) {
  return record("squared", no_grad([&] { return x * x; }), wrt(x, rule));
}

/// The report is a failure that says this.
boost::test_tools::predicate_result says(const GradReport& report, std::string_view part) {
  boost::test_tools::predicate_result result(!report.ok && report.text.find(part) != std::string::npos);
  if (!result) result.message() << "expected \"" << part << "\" in:\n" << report.text;
  return result;
}

bool contains(const std::string& text, std::string_view part) { return text.find(part) != std::string::npos; }

/// The elements of x in the order of `order`.
Tensor rearranged(const Tensor& x, const std::vector<Index>& order) {
  std::vector<double> v;
  for (const Index i : order) v.push_back(x.data<double>()[i]);
  return tensor(v, x.shape(), {.dtype = f64});
}

}  // namespace

// --- diagnoses on 3 x 3, where nearly everything is a border

BOOST_AUTO_TEST_CASE(transposed_gradients_are_called_so_on_3_by_3) {
  const Tensor x = random({3, 3});
  const auto flip = [](const Tensor& t) { return no_grad([&] { return transpose(t, 0, 1); }); };
  const auto report = [&](const std::function<Tensor(const Tensor& dy, const Tensor& x)>& dx) {
    return gradient_report([&](const Tensor& t) { return squared(t, [&, t](const Tensor& dy) { return dx(dy, t); }); },
                           {x});
  };
  BOOST_TEST(says(report([&](const Tensor& dy, const Tensor& t) { return flip(2 * dy * t); }),
                  "diagnosis: the gradient is transposed\n"));
  BOOST_TEST(says(report([&](const Tensor& dy, const Tensor& t) { return 2 * flip(dy) * t; }),
                  "diagnosis: the gradient is transposed before it is used: dy is taken in the other order"));
  BOOST_TEST(says(report([&](const Tensor& dy, const Tensor& t) { return 2 * dy * flip(t); }),
                  "diagnosis: a factor of the gradient is transposed: what was saved, or an operand"));
  const Tensor w = random({3, 3}, 2);
  const auto product = [&](const Tensor& t) {
    return record("product", no_grad([&] { return matmul(t, w); }),
                  wrt(t, [&](const Tensor& dy) { return matmul(dy, w); }));
  };
  BOOST_TEST(says(gradient_report(product, {x}), "diagnosis: a factor of the gradient is transposed"));
}

BOOST_AUTO_TEST_CASE(permuted_gradients_are_called_so_on_3_by_3) {
  const std::vector<Index> order{1, 2, 0, 5, 4, 3, 7, 6, 8};
  const auto report = [&](const std::function<Tensor(const Tensor& dy, const Tensor& x)>& dx) {
    return gradient_report([&](const Tensor& t) { return squared(t, [&, t](const Tensor& dy) { return dx(dy, t); }); },
                           {random({3, 3})});
  };
  const char* const text = "diagnosis: the values are right but in the wrong places: an axis or an offset";
  BOOST_TEST(says(report([&](const Tensor& dy, const Tensor& t) { return rearranged(2 * dy * t, order); }), text));
  BOOST_TEST(says(report([&](const Tensor& dy, const Tensor& t) { return 2 * rearranged(dy, order) * t; }), text));
  BOOST_TEST(says(report([&](const Tensor& dy, const Tensor& t) { return 2 * dy * rearranged(t, order); }), text));
}

BOOST_AUTO_TEST_CASE(gradients_that_change_from_call_to_call_are_called_so) {
  Generator noise(3);
  const auto always = [&](const Tensor& t) {
    return squared(t, [&, t](const Tensor& dy) {
      return 2 * dy * t * rand({3, 3}, {.dtype = f64, .generator = &noise});
    });
  };
  const GradReport report = gradient_report(always, {random({3, 3})});
  BOOST_TEST(says(report, "playing the tape twice gives different gradients: a rule is not deterministic"));
  BOOST_TEST(!contains(report.text, "padding"), report.text);
  int calls = 0;
  const auto later = [&](const Tensor& t) {  // the first calls agree, on every number of threads
    return squared(t, [&, t](const Tensor& dy) {
      return ++calls > 40 ? 2 * dy * t * rand({3, 3}, {.dtype = f64, .generator = &noise}) : 2 * dy * t;
    });
  };
  calls = 40 - 5;  // six sweeps come before the rows of the Jacobian are computed once more
  const GradReport late = gradient_report(later, {random({3, 3})}, {.vary_threads = false});
  BOOST_TEST(!late.ok);
  BOOST_TEST(says(late, "diagnosis: the gradient is not deterministic: computed again, it is another"));
}

BOOST_AUTO_TEST_CASE(a_kink_at_zero_is_not_called_a_missing_path) {
  const auto f = [](const Tensor& x) { return relu(x); };
  const GradReport report = gradient_report(f, {tensor({1., 0., -1., 0.}, {.dtype = f64})});
  BOOST_TEST(
      says(report,
           "diagnosis: not differentiable here: at input 0 [1] = 0 the slope is 0 to the left and 1 to the right, "
           "and 1 more like it; move the sample away from there"));
  BOOST_TEST(!contains(report.text, "missing path"), report.text);
}

BOOST_AUTO_TEST_CASE(a_gradient_outside_of_both_slopes_is_said_to_be) {
  const auto f = [](const Tensor& x) {
    return record("ramp", no_grad([&] { return relu(x); }), wrt(x, [](const Tensor& dy) { return 3 * dy; }));
  };
  BOOST_TEST(says(gradient_report(f, {tensor({0.}, {.dtype = f64})}), "; the gradient, 3, lies outside of both"));
  // Elsewhere the rule is wrong, too, and that comes first.
  BOOST_TEST(says(gradient_report(f, {tensor({0., 1.}, {.dtype = f64})}),
                  "diagnosis: all are 3 times what they should be; and not differentiable here"));
}

BOOST_AUTO_TEST_CASE(agreement_at_a_kink_is_noted) {
  const GradReport report = gradient_report([](const Tensor& x) { return abs(x); }, {tensor({0., 1.}, {.dtype = f64})});
  BOOST_TEST(report.ok, report.text);
  BOOST_TEST(contains(report.text, "1 of them where the slopes to the left and to the right differ"), report.text);
}

BOOST_AUTO_TEST_CASE(the_edge_of_the_domain_is_called_so) {
  const auto f = [](const Tensor& x) {
    return record("root", no_grad([&] { return sqrt(x); }), wrt(x, [](const Tensor& dy) { return 3 * dy; }));
  };
  BOOST_TEST(says(gradient_report(f, {tensor({0.}, {.dtype = f64})}),
                  "the function is not finite beside this sample: it lies at the edge of the domain"));
}

BOOST_AUTO_TEST_CASE(a_wrong_count_is_named) {
  const auto f = [](const Tensor& x) {
    return record("variance", no_grad([&] { return sum(x * x) / 4; }),
                  wrt(x, [x](const Tensor& dy) { return dy * x * (2. / 5); }));
  };
  BOOST_TEST(says(gradient_report(f, {random({5})}), "diagnosis: divided by 5 where 4 is right: a wrong count"));
}

// --- no false alarms

BOOST_AUTO_TEST_CASE(what_cancels_is_not_called_nonlinear) {
  for (std::uint64_t seed = 0; seed < 60; ++seed) {
    Generator g(seed);
    const auto normal_of = [&](const Shape& shape) { return randn(shape, {.dtype = f64, .generator = &g}); };
    const std::vector<std::pair<const char*, GradReport>> reports{
        {"a / b", gradient_report([](const Tensor& a, const Tensor& b) { return a / b; },
                                  {normal_of({3, 2}), normal_of({2})}, {.seed = seed})},
        {"log(x * x)",
         gradient_report([](const Tensor& x) { return log(x * x); }, {normal_of({2, 3})}, {.seed = seed})},
        {"cross_entropy", gradient_report(
                              [](const Tensor& x) {
                                return cross_entropy(40 * x, tensor({0, 1}));
                              },
                              {normal_of({2, 3})}, {.seed = seed})},
    };
    for (const auto& report : reports) BOOST_TEST(report.second.ok, report.first << ": " << report.second.text);
  }
}

BOOST_AUTO_TEST_CASE(a_small_part_that_is_not_linear_is_found) {
  const auto f = [](const Tensor& x) {
    return squared(x, [x](const Tensor& dy) { return 2 * dy * x + 1e-9 * dy * dy; });
  };
  BOOST_TEST(says(gradient_report(f, {random({3})}), "not linear in the seed"));
}

// --- third order

BOOST_AUTO_TEST_CASE(third_derivatives_are_checked) {
  const GradReport report =
      gradient_report([](const Tensor& x) { return exp(x) * sin(x); }, {random({2, 2})}, {.order = 3});
  BOOST_TEST(report.ok, report.text);
  BOOST_TEST(contains(report.text, "third order"), report.text);
}

BOOST_AUTO_TEST_CASE(a_third_derivative_that_is_wrong_is_found_at_order_3_alone) {
  // Right values and slopes of x^4, whose slope's slope is that of another function.
  const auto f = [](const Tensor& x) {
    const auto third = [](const Tensor& t) {  // 12 t^2, with a rule for 25 t instead of 24 t
      return record("third", no_grad([&] { return 12 * t * t; }),
                    wrt(t, [t](const Tensor& dy) { return 25 * dy * t; }));
    };
    const auto second = [third](const Tensor& t) {  // 4 t^3
      return record("second", no_grad([&] { return 4 * t * t * t; }),
                    wrt(t, [t, third](const Tensor& dy) { return dy * third(t); }));
    };
    return record("first", no_grad([&] { return x * x * x * x; }),
                  wrt(x, [x, second](const Tensor& dy) { return dy * second(x); }));
  };
  BOOST_TEST(gradient_report(f, {random({3})}, {.order = 2}).ok);
  const GradReport report = gradient_report(f, {random({3})}, {.order = 3});
  BOOST_TEST(says(report, "third order"));
  BOOST_TEST(says(report, "(of the gradients of the gradients, with respect to the inputs and then the seeds)"));
}

// --- narrow and mixed dtypes

BOOST_AUTO_TEST_CASE(functions_of_f32_are_compared_with_themselves_in_f64) {
  const auto f = [](const Tensor& a, const Tensor& b) { return softmax(matmul(a, b), {.dim = 1}); };
  const GradReport report = gradient_report(f, {to(random({2, 3}), f32), to(random({3, 4}, 2), f32)}, {.order = 2});
  BOOST_TEST(report.ok, report.text);
  BOOST_TEST(contains(report.text, "8 values and 18 gradients agree with f64"), report.text);
}

BOOST_AUTO_TEST_CASE(a_rule_that_is_wrong_in_f32_alone_is_found) {
  const auto f = [](double factor) {
    return [factor](const Tensor& x) {
      return squared(x, [x, factor](const Tensor& dy) { return (dy.dtype() == f32 ? 2 * factor : 2) * dy * x; });
    };
  };
  const Tensor x = to(random({3}), f32);
  BOOST_TEST(gradient_report(f(1), {x}).ok);
  BOOST_TEST(says(gradient_report(f(1.001), {x}), "the gradient of input 0 is "));
  BOOST_TEST(says(gradient_report(f(1.001), {x}), "f32 disagrees with f64 by more than "));
  BOOST_TEST(gradient_report(f(1.001), {x}, {.f32_rtol = 1e-2}).ok);
  const auto value = [](const Tensor& t) { return t.dtype() == f32 ? 1.001 * t : 1 * t; };
  BOOST_TEST(says(gradient_report(value, {x}), "output 0 is "));
}

BOOST_AUTO_TEST_CASE(bf16_has_a_tolerance_of_its_own) {
  const Tensor x = to(random({2, 3}), bf16);
  BOOST_TEST(gradient_report([](const Tensor& t) { return tanh(t) * t; }, {x}).ok);
}

BOOST_AUTO_TEST_CASE(dtypes_may_be_mixed) {
  const auto f = [](const Tensor& a, const Tensor& b, const Tensor& n) {
    return std::vector<Tensor>{to(a, f64) * b, n, gt(b, 1)};
  };
  const GradReport report = gradient_report(f, {to(random({3}), f32), random({3}, 2), tensor({1, 2})}, {.order = 2});
  BOOST_TEST(report.ok, report.text);
  BOOST_TEST(contains(report.text, "3 values and 6 gradients agree with f64"), report.text);
}

BOOST_AUTO_TEST_CASE(a_function_that_takes_f32_alone_is_refused) {
  const Tensor w = to(random({3}), f32);
  const std::string text =
      error<std::invalid_argument>([&] { check_grads([&](const Tensor& x) { return x * w; }, {w.detach()}); });
  BOOST_TEST(contains(text,
                      "check_grads: a function of f32 or bf16 is compared with itself in f64, and must take f64 "
                      "inputs; it throws: mul: "),
             text);
}

// --- random state

BOOST_AUTO_TEST_CASE(the_default_generator_is_put_back_before_each_call) {
  manual_seed(4);
  const Generator::State before = default_generator().state();
  const auto f = [](const Tensor& x) { return x * rand(x.shape(), {.dtype = f64}); };
  const GradReport report = gradient_report(f, {random({3})}, {.order = 2});
  BOOST_TEST(report.ok, report.text);
  BOOST_TEST((default_generator().state() == before));
}

BOOST_AUTO_TEST_CASE(other_generators_are_put_back_when_they_are_named) {
  Generator generator(4);
  const Generator::State before = generator.state();
  const auto f = [&](const Tensor& x) { return x * rand(x.shape(), {.dtype = f64, .generator = &generator}); };
  BOOST_TEST(gradient_report(f, {random({3})}, {.generators = {generator}}).ok);
  BOOST_TEST((generator.state() == before));
}

// --- forward mode

BOOST_AUTO_TEST_CASE(a_rule_without_a_derivative_is_said_not_to_be_compared) {
  const auto f = [](const Tensor& x) {
    return squared(x, [x](const Tensor& dy) { return no_grad([&] { return 2 * dy * x; }); });
  };
  const GradReport report = gradient_report(f, {random({3})});
  BOOST_TEST(report.ok, report.text);
  BOOST_TEST(contains(report.text, "not compared with forward mode: squared: its gradient is not differentiable"),
             report.text);
}

BOOST_AUTO_TEST_CASE(forward_and_reverse_mode_that_disagree_are_reported) {
  // The rule is right, and its own derivative by dy is not: so is forward mode, which is made of that.
  const auto f = [](const Tensor& x) {
    return squared(x, [x](const Tensor& dy) {
      return record("slope", no_grad([&] { return 2 * dy * x; }),
                    wrt(dy, [x](const Tensor& ddy) { return 3 * ddy * x; }));
    });
  };
  BOOST_TEST(says(gradient_report(f, {random({3})}), "forward and reverse mode disagree: v . (J u) is "));
  BOOST_TEST(gradient_report(f, {random({3})}, {.forward_mode = false}).ok);
}

BOOST_AUTO_TEST_CASE(a_tangent_rule_whose_derivative_is_wrong_is_reported_at_second_order) {
  const auto f = [](const Tensor& x) {
    return record("cube", no_grad([&] { return x * x * x; }),
                  wrt(
                      x, [x](const Tensor& dy) { return 3 * dy * x * x; },
                      [x](const Tensor& t) { return 3 * t * x * x.detach(); }));  // right, but for its own derivative
  };
  BOOST_TEST(gradient_report(f, {random({3})}).ok);
  BOOST_TEST(
      says(gradient_report(f, {random({3})}, {.order = 2}),
           "the tangent and its own derivative disagree: the gradient of v . (J u) and that of (v^T J) . u differ "
           "by "));
}

BOOST_AUTO_TEST_CASE(a_tangent_rule_within_a_gradient_rule_that_is_wrong_is_reported_at_second_order) {
  // Only forward over reverse, as in hvp(), comes to it: the gradient of the square is an op with a tangent of its own.
  const auto f = [](const Tensor& x) {
    return squared(x, [x](const Tensor& dy) {
      return record(
          "slope", no_grad([&] { return 2 * dy * x; }),
          wrt(
              dy, [x](const Tensor& ddy) { return 2 * ddy * x; }, [x](const Tensor& t) { return 2 * t * x; }),
          wrt(
              x, [dy](const Tensor& ddy) { return 2 * ddy * dy; }, [dy](const Tensor& t) { return 2.001 * t * dy; }));
    });
  };
  BOOST_TEST(gradient_report(f, {random({3})}).ok);
  BOOST_TEST(says(gradient_report(f, {random({3})}, {.order = 2}), "forward and reverse mode disagree: v . (J u) is "));
}

// --- the Taylor test

BOOST_AUTO_TEST_CASE(orders_of_convergence_are_two_and_three) {
  const TaylorReport report = taylor_test([](const Tensor& x) { return exp(sin(x)); }, {random({4})});
  BOOST_TEST(report.ok, report.text);
  BOOST_TEST(std::abs(report.gradient_order - 2) < 0.05, report.text);
  BOOST_TEST(std::abs(report.hessian_order - 3) < 0.05, report.text);
  BOOST_TEST(contains(report.text, "order with the gradient, 2 if it is right: "), report.text);
}

BOOST_AUTO_TEST_CASE(a_wrong_gradient_has_order_one) {
  const auto f = [](const Tensor& x) { return squared(x, [x](const Tensor& dy) { return 2.01 * dy * x; }); };
  const TaylorReport report = taylor_test(f, {random({4})}, {.hessian = false});
  BOOST_TEST(!report);
  BOOST_TEST(std::abs(report.gradient_order - 1) < 0.1, report.text);
}

BOOST_AUTO_TEST_CASE(a_wrong_hessian_has_order_two) {
  const auto f = [](const Tensor& x) {
    const Tensor kept = x.detach();
    return record("cube", no_grad([&] { return x * x * x; }),
                  wrt(x, [x, kept](const Tensor& dy) { return 3 * dy * x * kept; }));
  };
  const TaylorReport report = taylor_test(f, {random({4})});
  BOOST_TEST(!report.ok);
  BOOST_TEST(std::abs(report.gradient_order - 2) < 0.05, report.text);
  BOOST_TEST(std::abs(report.hessian_order - 2) < 0.1, report.text);
}

BOOST_AUTO_TEST_CASE(linear_and_quadratic_functions_are_exact) {
  const TaylorReport linear = taylor_test([](const Tensor& x) { return 3 * x; }, {random({4})});
  BOOST_TEST(linear.ok, linear.text);
  BOOST_TEST(std::isinf(linear.gradient_order), linear.text);
  const TaylorReport quadratic = taylor_test([](const Tensor& x) { return x * x; }, {random({4})});
  BOOST_TEST(quadratic.ok, quadratic.text);
  BOOST_TEST(std::abs(quadratic.gradient_order - 2) < 0.05, quadratic.text);
  BOOST_TEST(std::isinf(quadratic.hessian_order), quadratic.text);
}

BOOST_AUTO_TEST_CASE(a_taylor_test_refuses_what_it_cannot_test) {
  const auto f = [](const Tensor& x) { return x * x; };
  BOOST_TEST(error<std::invalid_argument>([&] { (void)taylor_test(f, {rand({3})}); }) ==
             "taylor_test: float inputs must be f64; input 0 is f32");
  BOOST_TEST(error<std::invalid_argument>([&] { (void)taylor_test(f, {random({3})}, {.step = 0}); }) ==
             "taylor_test: .step and .tolerance must be positive; got 0 and 0.1");
  BOOST_TEST(error<std::invalid_argument>([&] { (void)taylor_test(f, {tensor({3})}); }) ==
             "taylor_test: there must be an f64 input to differentiate by; got none");
}

// --- predicates

BOOST_AUTO_TEST_CASE(a_check_can_be_written_as_a_predicate) {
  const Tensor x = random({3});
  BOOST_TEST(gradients_match([](const Tensor& t) { return t * t; }, {x}));
  const GradReport wrong =
      gradients_match([](const Tensor& t) { return squared(t, [](const Tensor& dy) { return dy; }); }, {x});
  BOOST_TEST(!wrong);
  std::ostringstream printed;
  printed << wrong;
  BOOST_TEST(printed.str() == wrong.text);
  BOOST_TEST(contains(printed.str(), "gradient check failed: squared"));
}

// --- functions of plain arrays

namespace {

using Array = std::span<const double>;

double product_and_sine(Array x) { return x[0] * x[1] + std::sin(x[2]); }
std::vector<double> its_gradient(Array x) { return {x[1], x[0], std::cos(x[2])}; }
std::vector<double> wrong_gradient(Array x) { return {x[1], x[0], -std::cos(x[2])}; }

std::vector<double> two_values(Array x) { return {x[0] * x[1], x[0] / x[1]}; }
std::vector<double> jacobian_of_two(Array x) { return {x[1], x[0], 1 / x[1], -x[0] / (x[1] * x[1])}; }

}  // namespace

BOOST_AUTO_TEST_CASE(hand_written_gradients_of_plain_arrays_are_checked) {
  const std::vector<double> x{0.5, 1.5, 0.7};
  BOOST_TEST(gradients_match(product_and_sine, its_gradient, x));
  BOOST_CHECK_NO_THROW(check_grads(product_and_sine, its_gradient, x));
  BOOST_TEST(says(gradient_report(product_and_sine, wrong_gradient, x), "diagnosis: the sign is wrong"));
  BOOST_CHECK_THROW(check_grads(product_and_sine, wrong_gradient, x), GradientError);
}

BOOST_AUTO_TEST_CASE(functions_of_several_values_give_all_derivatives_or_a_product) {
  const std::vector<double> x{0.5, 1.5};
  BOOST_TEST(gradients_match(two_values, jacobian_of_two, x));
  const auto product = [](Array at, Array v) {
    return std::vector<double>{v[0] * at[1] + v[1] / at[1], v[0] * at[0] - v[1] * at[0] / (at[1] * at[1])};
  };
  BOOST_TEST(gradients_match(two_values, product, x));
  const auto lost = [](Array at, Array v) { return std::vector<double>{v[0] * at[1] + v[1] / at[1], v[0] * at[0]}; };
  BOOST_TEST(says(gradient_report(two_values, lost, x), "1 of 4 derivatives differ"));
}

BOOST_AUTO_TEST_CASE(gradients_of_arrays_that_cannot_be_checked_are_refused) {
  const std::vector<double> x{0.5, 1.5, 0.7};
  BOOST_TEST(error<std::invalid_argument>([&] { check_grads(product_and_sine, its_gradient, x, {.order = 2}); }) ==
             "check_grads: the gradient of a function of arrays cannot be differentiated, .order must be 1; got 2");
  const auto shorter = [](Array at) { return std::vector<double>{at[1], at[0]}; };
  BOOST_TEST(says(gradient_report(product_and_sine, shorter, x),
                  "check_grads: the gradient function must return 3 elements, values x inputs; got 2"));
  const auto longer = [](Array, Array) { return std::vector<double>(4); };
  BOOST_TEST(says(gradient_report(product_and_sine, longer, x),
                  "check_grads: the gradient function must return 3 elements, one per input; got 4"));
}

BOOST_AUTO_TEST_SUITE_END()
