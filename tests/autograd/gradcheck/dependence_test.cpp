#include <support/expect.h>

#include <functional>

#include <tapestry/autograd/backward.h>
#include <tapestry/autograd/gradcheck/gradcheck.h>
#include <tapestry/autograd/random.h>
#include <tapestry/autograd/record.h>
#include <tapestry/ops/binary.h>
#include <tapestry/ops/matmul.h>
#include <tapestry/ops/reduce.h>
#include <tapestry/ops/shape_ops.h>
#include <tapestry/ops/unary.h>

#include "autograd/gradcheck/samples.h"

/// A check in which nothing could fail is an error; functions that read their inputs without being given them, and
/// functions that differentiate inside, are checked like any other.
BOOST_AUTO_TEST_SUITE(dependence_test)

using namespace tapestry;
using namespace tapestry::test;

namespace {

Tensor leaf(const Shape& shape, std::uint64_t seed = 1) { return random(shape, seed).requires_grad(true); }

/// x^2 whose rule is wrong by `factor`.
Tensor squared(const Tensor& x, double factor) {
  return record("squared", no_grad([&] { return x * x; }),
                wrt(x, [x = saved(x), factor](const Tensor& dy) { return 2 * factor * dy * x(); }));
}

constexpr const char* kNothing =
    "there is nothing to check: no output depends on any input, neither by gradient nor by value. f must use what it "
    "is "
    "called with, or read leaves that require grad; .allow_independent = true permits it";

/// The report is a failure that says this.
boost::test_tools::predicate_result says(const GradReport& report, std::string_view part) {
  boost::test_tools::predicate_result result(!report.ok && report.text.find(part) != std::string::npos);
  if (!result) result.message() << "expected \"" << part << "\" in:\n" << report.text;
  return result;
}

}  // namespace

// --- nothing that could fail

BOOST_AUTO_TEST_CASE(a_constant_function_is_an_error) {
  const Tensor constant = random({2});
  const auto f = [&](const Tensor&) { return constant * 2; };
  BOOST_TEST(says(gradient_report(f, {random({3})}), kNothing));
  BOOST_TEST(gradient_report(f, {random({3})}, {.order = 2, .allow_independent = true}).ok);
}

BOOST_AUTO_TEST_CASE(a_closure_over_a_tensor_that_is_no_leaf_is_an_error) {
  const Tensor x = random({3});
  BOOST_TEST(says(gradient_report([&](const Tensor&) { return squared(x, 1); }, {x}), kNothing));
}

BOOST_AUTO_TEST_CASE(an_input_that_no_output_depends_on_is_named) {
  const auto f = [](const Tensor& a, const Tensor&, const Tensor& c) { return a * c; };
  const std::vector<Tensor> inputs{random({3}), random({2, 2}), random({3}, 2)};
  BOOST_TEST(says(gradient_report(f, inputs),
                  "no output depends on input 1 [2, 2], neither by gradient nor by value: nothing could fail for it; "
                  ".allow_independent = true permits it"));
  BOOST_TEST(gradient_report(f, inputs, {.order = 2, .allow_independent = true}).ok);
}

BOOST_AUTO_TEST_CASE(an_output_that_depends_on_no_input_is_named) {
  const Tensor constant = random({2});
  const auto f = [&](const Tensor& a) { return std::vector<Tensor>{a * a, constant}; };
  BOOST_TEST(says(gradient_report(f, {random({3})}),
                  "output 1 [2] depends on no input, neither by gradient nor by value: nothing could fail for it; "
                  ".allow_independent = true permits it"));
  BOOST_TEST(gradient_report(f, {random({3})}, {.order = 2, .allow_independent = true}).ok);
}

BOOST_AUTO_TEST_CASE(a_step_function_is_seen_to_depend_on_its_input) {
  const Tensor x = tensor({0.9, 1.2, -0.4}, {.dtype = f64});
  const GradReport report = gradient_report([](const Tensor& t) { return floor(t); }, {x});
  BOOST_TEST(report.ok, report.text);
}

BOOST_AUTO_TEST_CASE(what_depends_by_value_and_not_by_gradient_is_a_wrong_gradient) {
  const auto f = [](const Tensor& a, const Tensor& b) { return a * b.detach(); };
  BOOST_TEST(says(gradient_report(f, {random({3}), random({3}, 2)}), "diagnosis: a missing path"));
}

BOOST_AUTO_TEST_CASE(second_derivatives_of_linear_functions_are_no_error) {
  const auto f = [](const Tensor& a, const Tensor& b) { return 2 * a + b; };
  BOOST_TEST(gradient_report(f, {random({3}), random({3}, 2)}, {.order = 3}).ok);
}

// --- closures over leaves

BOOST_AUTO_TEST_CASE(leaves_that_a_closure_reads_are_changed_in_place_and_restored) {
  Tensor w = leaf({2, 3}), v = leaf({3, 2}, 2);
  const Tensor x = random({4, 2}, 3);
  w.set_grad(full_like(w, 0.25));
  const std::vector<double> before = values(w);
  const void* const node = w.impl().node.get();
  const auto f = [&](const std::vector<Tensor>&) { return matmul(tanh(matmul(x, w)), v); };
  const GradReport report = gradient_report(f, {w, v}, {.order = 2});
  BOOST_TEST(report.ok, report.text);
  BOOST_TEST(values(w) == before);
  BOOST_TEST(w.impl().node.get() == node);
  BOOST_TEST(values(w.grad()) == std::vector<double>(6, 0.25));
  BOOST_TEST(!v.grad().defined());
}

BOOST_AUTO_TEST_CASE(a_wrong_rule_behind_a_closure_is_found) {
  const Tensor w = leaf({2, 3});
  const auto f = [&](double factor) {
    return gradient_report([&w, factor](const std::vector<Tensor>&) { return squared(w, factor); }, {w}, {.order = 2});
  };
  BOOST_TEST(f(1).ok);
  BOOST_TEST(says(f(2), "diagnosis: a factor of 2 too much"));
  BOOST_TEST(says(f(1 + 1e-6), "diagnosis: a factor of 1 +1e-06"));
}

BOOST_AUTO_TEST_CASE(arguments_and_leaves_may_be_mixed_and_read_both_ways) {
  const Tensor w = leaf({2, 3});
  const auto f = [&](const std::vector<Tensor>& x) { return tanh(matmul(x[0], w)) * sum(x[1]); };
  const GradReport report = gradient_report(f, {random({4, 2}, 3), w}, {.order = 3});
  BOOST_TEST(report.ok, report.text);
}

BOOST_AUTO_TEST_CASE(large_closures_are_checked_by_projections) {
  const Tensor w = leaf({20, 20});
  const auto f = [&](double factor) {
    return gradient_report([&w, factor](const std::vector<Tensor>&) { return squared(w, factor); }, {w});
  };
  BOOST_TEST(f(1).ok, f(1).text);
  BOOST_TEST(says(f(1.01), "400 of 400 derivatives differ"));
  BOOST_TEST(values(w) == values(random({20, 20})));
}

BOOST_AUTO_TEST_CASE(leaves_are_restored_when_the_function_throws) {
  const Tensor w = leaf({3});
  const std::vector<double> before = values(w);
  int calls = 0;
  const auto f = [&](const std::vector<Tensor>&) {
    if (++calls == 12) throw std::runtime_error("the twelfth call");
    return w * w;
  };
  BOOST_TEST(says(gradient_report(f, {w}), "an exception was thrown: the twelfth call"));
  BOOST_TEST(values(w) == before);
  BOOST_TEST(w.requires_grad());
}

// --- functions that call grad() themselves

BOOST_AUTO_TEST_CASE(a_step_of_meta_learning_is_checked) {
  const auto f = [](const Tensor& w, const Tensor& x) {
    const Tensor inner = grad(sum(square(x * w)), w, {.create_graph = true});
    const Tensor fast = w - 0.1 * inner;
    return sum(tanh(fast) * x);
  };
  const GradReport report = gradient_report(f, {random({3}), random({3}, 2)}, {.order = 2});
  BOOST_TEST(report.ok, report.text);
}

BOOST_AUTO_TEST_CASE(a_gradient_penalty_by_leaves_is_checked) {
  const Tensor w = leaf({2, 3});
  const auto f = [&](const std::vector<Tensor>& in) {
    const Tensor x = in[0].requires_grad() ? in[0] : in[0].detach().requires_grad(true);
    const Tensor slope = grad(sum(tanh(matmul(x, w))), x, {.create_graph = true});
    return square(sum(square(slope)) - 1);
  };
  const GradReport report = gradient_report(f, {random({4, 2}, 3), w}, {.order = 2});
  BOOST_TEST(report.ok, report.text);
}

BOOST_AUTO_TEST_CASE(a_residual_of_a_differential_equation_is_checked) {
  const auto residual = [](const Tensor& x, double factor) {
    const Tensor u = x * squared(x, factor) * 0.5;
    const Tensor du = grad(sum(u), x, {.create_graph = true});
    const Tensor ddu = grad(sum(du), x, {.create_graph = true});
    return ddu - sin(x);
  };
  const Tensor x = random({4});
  const GradReport report = gradient_report([&](const Tensor& t) { return residual(t, 1); }, {x}, {.order = 2});
  BOOST_TEST(report.ok, report.text);
}

BOOST_AUTO_TEST_CASE(a_detached_inner_gradient_is_found) {
  const auto f = [](const Tensor& w, const Tensor& x) {  // first-order MAML, which is another function's gradient
    const Tensor inner = grad(sum(square(x * w)), w);
    return sum(tanh(w - 0.1 * inner) * x);
  };
  BOOST_TEST(says(gradient_report(f, {random({3}), random({3}, 2)}), "derivatives differ"));
}

BOOST_AUTO_TEST_SUITE_END()
