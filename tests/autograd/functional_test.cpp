#include <support/expect.h>

#include <cmath>
#include <stdexcept>

#include <tapestry/autograd/backward.h>
#include <tapestry/autograd/functional.h>
#include <tapestry/autograd/grad_mode.h>
#include <tapestry/autograd/hooks.h>
#include <tapestry/autograd/random.h>
#include <tapestry/ops/binary.h>
#include <tapestry/ops/matmul.h>
#include <tapestry/ops/reduce.h>
#include <tapestry/ops/unary.h>

BOOST_AUTO_TEST_SUITE(functional_test)

using namespace tapestry;
using namespace tapestry::test;

namespace {
Tensor vec(std::initializer_list<double> v) { return tensor(v, {.dtype = f64}); }
std::vector<double> list(std::initializer_list<double> v) { return v; }
}  // namespace

BOOST_AUTO_TEST_CASE(vjp_is_the_gradient_for_a_seed) {
  const Tensor x = vec({1, 2, 3});
  BOOST_TEST(values(vjp([](const Tensor& t) { return t * t; }, x, vec({1, 10, 100}))) == list({2, 40, 600}));
  BOOST_TEST(!x.requires_grad());
  const auto product = [](const std::vector<Tensor>& t) { return t[0] * t[1]; };
  const std::vector<Tensor> g = vjp(product, std::vector<Tensor>{x, vec({4, 5, 6})}, vec({1, 1, 1}));
  BOOST_TEST(values(g[0]) == list({4, 5, 6}));
  BOOST_TEST(values(g[1]) == list({1, 2, 3}));
  BOOST_TEST(!g[0].requires_grad());
}

BOOST_AUTO_TEST_CASE(jvp_is_the_derivative_in_a_direction) {
  BOOST_TEST(values(jvp([](const Tensor& t) { return t * t * t; }, vec({1, 2}), vec({1, 10}))) == list({3, 120}));
  const auto total = [](const std::vector<Tensor>& t) { return sum(t[0] * t[1]); };
  const std::vector<Tensor> x{vec({1, 2}), vec({3, 4})}, u{vec({1, 0}), vec({0, 1})};
  BOOST_TEST(jvp(total, x, u).item() == 3 + 2);
  // Also where f is linear, and its gradient a constant.
  BOOST_TEST(values(jvp([](const Tensor& t) { return t * 3; }, vec({1, 2}), vec({1, 10}))) == list({3, 30}));
}

BOOST_AUTO_TEST_CASE(jacobian_times_direction_is_jvp_and_seed_times_jacobian_is_vjp) {
  Generator g(1);
  const RandomOptions options{.dtype = f64, .generator = &g};
  const Tensor a = randn({3, 4}, options);
  const Tensor x = randn({4}, options);
  const Tensor u = randn({4}, options);
  const Tensor v = randn({3}, options);
  const UnaryFunction f = [&](const Tensor& t) { return tanh(matmul(a, t)) * matmul(a, t); };
  const Tensor j = jacobian(f, x);
  BOOST_TEST(j.shape() == (Shape{3, 4}));
  BOOST_TEST(all_close(jvp(f, x, u), matmul(j, u), 1e-12, 1e-13));
  BOOST_TEST(all_close(vjp(f, x, v), matmul(v, j), 1e-12, 1e-13));
}

BOOST_AUTO_TEST_CASE(a_jacobian_has_the_shape_of_output_and_input) {
  const Tensor x = tensor({{1., 2.}, {3., 4.}}, {.dtype = f64});
  BOOST_TEST(jacobian([](const Tensor& t) { return t * t; }, x).shape() == (Shape{2, 2, 2, 2}));
  BOOST_TEST(values(jacobian([](const Tensor& t) { return sum(t * t); }, x)) == list({2, 4, 6, 8}));
  BOOST_TEST(values(jacobian([](const Tensor&) { return vec({1, 2}); }, vec({5}))) == list({0, 0}));
  BOOST_TEST(jacobian([](const Tensor& t) { return t; }, zeros({0}, {.dtype = f64})).shape() == (Shape{0, 0}));
  BOOST_TEST(jacobian([](const Tensor& t) { return t * 2; }, ones({2})).dtype() == f32);
}

BOOST_AUTO_TEST_CASE(the_hessian_of_a_quadratic_form_is_its_matrix_and_its_transpose) {
  const Tensor a = tensor({{1., 2.}, {5., 3.}}, {.dtype = f64});
  const UnaryFunction f = [&](const Tensor& x) { return sum(x * matmul(a, x)); };
  const Tensor x = vec({0.3, -0.7});
  BOOST_TEST(all_close(hessian(f, x), list({2, 7, 7, 6}), 1e-14));
  BOOST_TEST(all_close(hvp(f, x, vec({1, 10})), list({72, 67}), 1e-14));
  BOOST_TEST(values(hessian([](const Tensor& t) { return sum(t * 3); }, x)) == list({0, 0, 0, 0}));
}

BOOST_AUTO_TEST_CASE(hvp_goes_over_lists_with_their_mixed_derivatives) {
  const auto f = [](const std::vector<Tensor>& t) { return sum(t[0] * t[0] * t[1]); };
  const std::vector<Tensor> hv =
      hvp(f, std::vector<Tensor>{vec({2}), vec({3})}, std::vector<Tensor>{vec({1}), vec({10})});
  BOOST_TEST(values(hv[0]) == list({2 * 3 + 2 * 2 * 10}));
  BOOST_TEST(values(hv[1]) == list({2 * 2}));
}

BOOST_AUTO_TEST_CASE(parameters_that_the_function_closes_over_are_reached_and_keep_their_gradients) {
  const Tensor w = tensor({2.}, {.dtype = f64, .requires_grad = true});
  w.set_grad(vec({7}));
  const auto loss = [&](const std::vector<Tensor>&) { return sum(w * w * w); };
  BOOST_TEST(values(hvp(loss, std::vector<Tensor>{w}, std::vector<Tensor>{vec({1})})[0]) == list({12}));
  BOOST_TEST(values(w.grad()) == list({7}));
}

BOOST_AUTO_TEST_CASE(directions_and_functions_that_do_not_fit_are_refused) {
  const UnaryFunction f = [](const Tensor& t) { return t * t; };
  BOOST_TEST(error<std::invalid_argument>([&] {
               (void)hvp(f, vec({1, 2}), vec({1, 2}));
             }) == "hvp: the function must return one element; got shape [2]");
  BOOST_TEST(error<std::invalid_argument>([&] {
               (void)jvp(f, vec({1, 2}), vec({1}));
             }) == "jvp: direction 0 must have the input's shape and dtype, f64 [2]; got f64 [1]");
  BOOST_TEST(error<std::invalid_argument>([&] {
               (void)vjp(f, vec({1, 2}), ones({2}));
             }) == "vjp: direction 0 must have the output's shape and dtype, f64 [2]; got f32 [2]");
}

// --- forward mode

BOOST_AUTO_TEST_CASE(directions_of_different_derivatives_are_not_confused) {
  // d/dx (x * d/dy (x + y)) = 1, which an implementation with one tangent per tensor makes 2 (Siskind and Pearlmutter).
  const Tensor one = scalar(1, {.dtype = f64}), x = scalar(3, {.dtype = f64});
  const UnaryFunction outer = [&](const Tensor& at) {
    return at * jvp([&](const Tensor& y) { return at + y; }, one, one);
  };
  BOOST_TEST(jvp(outer, x, one).item() == 1);
  BOOST_TEST(vjp(outer, x, one).item() == 1);
  // The same with reverse mode inside.
  const UnaryFunction mixed = [&](const Tensor& at) {
    return at * vjp([&](const Tensor& y) { return at * y; }, one, one, {.create_graph = true});
  };
  BOOST_TEST(jvp(mixed, x, one).item() == 6);  // x * x
  BOOST_TEST(vjp(mixed, x, one).item() == 6);
}

BOOST_AUTO_TEST_CASE(what_comes_out_of_a_jvp_has_neither_tangent_nor_history) {
  const Tensor x = vec({1, 2}).requires_grad(true);
  Tensor escaped;
  const Tensor t = jvp(
      [&](const Tensor& at) {
        escaped = at * at;
        return escaped * 2;
      },
      x, vec({1, 1}));
  BOOST_TEST(!t.requires_grad());
  BOOST_TEST(x.is_leaf());  // as it was before
  BOOST_TEST(values(grad(sum(x * x), x)) == list({2, 4}));
  // What was smuggled out has the tangent of a derivative that is over: it counts in no other.
  BOOST_TEST(values(jvp([&](const Tensor& at) { return at + escaped; }, vec({1, 2}), vec({1, 1}))) == list({1, 1}));
  const Tensor y = vec({1, 2}).requires_grad(true);
  BOOST_TEST(values(grad(sum(y * escaped), y)) == list({1, 4}));
  // Nor is anything computed for it.
  const auto ops_with = [&](const Tensor& constant) {
    int ops = 0;
    const OpHooks count({.computed = [&](const ComputedOp&) { ++ops; }});
    (void)jvp([&](const Tensor& at) { return at * constant; }, vec({1, 2}), vec({1, 1}));
    return ops;
  };
  BOOST_TEST(ops_with(escaped) == ops_with(vec({1, 4})));
}

BOOST_AUTO_TEST_CASE(an_exception_leaves_inputs_and_modes_as_they_were) {
  const Tensor x = vec({1, 2}).requires_grad(true);
  const auto failing = [](const Tensor& at) -> Tensor {
    static_cast<void>(at * at);
    throw std::runtime_error("enough");
  };
  BOOST_TEST(error<std::runtime_error>([&] { (void)jvp(failing, x, vec({1, 1})); }) == "enough");
  BOOST_TEST(error<std::runtime_error>([&] { (void)hvp(failing, x, vec({1, 1})); }) == "enough");
  BOOST_TEST(x.is_leaf());
  BOOST_TEST(is_grad_enabled());
  sum(x * x).backward();
  BOOST_TEST(values(x.grad()) == list({2, 4}));
}

BOOST_AUTO_TEST_CASE(closures_over_leaves_have_tangents_and_second_derivatives) {
  const Tensor w = vec({2, 3}).requires_grad(true), x = vec({1, 10});
  const ListFunction loss = [&](const std::vector<Tensor>&) { return sum(w * w * x); };
  const std::vector<Tensor> ws{w}, u{vec({1, 1})};
  BOOST_TEST(jvp(loss, ws, u).item() == 2 * 2 * 1 + 2 * 3 * 10);
  BOOST_TEST(values(hvp(loss, ws, u)[0]) == list({2, 20}));
  BOOST_TEST(!w.grad().defined());
}

BOOST_AUTO_TEST_CASE(functions_of_several_outputs) {
  const MapFunction f = [](const std::vector<Tensor>& x) { return std::vector<Tensor>{x[0] * x[1], sum(x[0])}; };
  const std::vector<Tensor> x{vec({1, 2}), vec({3, 4})}, u{vec({1, 0}), vec({0, 1})};
  const std::vector<Tensor> t = jvp(f, x, u);
  BOOST_TEST(values(t[0]) == list({3, 2}));
  BOOST_TEST(t[1].item() == 1);
  const std::vector<Tensor> g = vjp(f, x, {vec({1, 1}), scalar(10, {.dtype = f64})});
  BOOST_TEST(values(g[0]) == list({13, 14}));
  BOOST_TEST(values(g[1]) == list({1, 2}));
}

BOOST_AUTO_TEST_CASE(a_gradient_within_a_jvp_needs_an_input_that_is_recorded) {
  const UnaryFunction slope = [](const Tensor& at) { return grad(sum(at * at * at), at, {.create_graph = true}); };
  const Tensor x = vec({1, 2}), u = vec({1, 1});
  BOOST_TEST(error<std::invalid_argument>([&] { (void)jvp(slope, x, u); }) ==
             "grad: every input must require grad; input 0 does not, it has a tangent only");
  const Tensor leaf = vec({1, 2}).requires_grad(true);
  BOOST_TEST(values(jvp(slope, leaf, u, {.create_graph = true})) == list({6, 12}));
  const UnaryFunction by_vjp = [](const Tensor& at) {
    return value_and_grad([](const Tensor& t) { return sum(t * t * t); }, at).second;
  };
  BOOST_TEST(values(jvp(by_vjp, x, u)) == list({6, 12}));
}

BOOST_AUTO_TEST_CASE(options_and_shapes_that_do_not_fit_are_refused) {
  const UnaryFunction f = [](const Tensor& t) { return t * 2; };
  const auto text = [](const auto& call) { return error<std::invalid_argument>(call); };
  BOOST_TEST(text([&] { (void)jacobian(f, vec({1}), {.chunk = 0}); }) == "jacobian: .chunk must be at least 1; got 0");
  BOOST_TEST(text([&] {
               (void)jacobian(f, vec({1, 2}), {.chunk = 2});
             }) == "jacobian: with a chunk of rows, x must have 1 rows; got shape [2]");
  BOOST_TEST(text([&] { (void)laplacian(f, ones({2, 2, 2})); }) == "laplacian: x must be [d] or [N, d]; got [2, 2, 2]");
  BOOST_TEST(text([&] {
               (void)laplacian(f, vec({1, 2}));
             }) == "laplacian: f must return one element; got shape [2] for x of shape [2]");
  BOOST_TEST(text([&] { (void)hutchinson_trace([](const Tensor& t) { return sum(t); }, vec({1}), {.samples = 0}); }) ==
             "hutchinson_trace: .samples must be at least 1; got 0");
  BOOST_TEST(text([&] {
               (void)value_and_grad(f, vec({1, 2}));
             }) == "value_and_grad: the function must return one element; got shape [2]");
}

BOOST_AUTO_TEST_CASE(an_estimate_of_a_trace_comes_close) {
  Generator g(3);
  const Tensor a = randn({20, 20}, {.dtype = f64, .generator = &g});
  const Tensor h = matmul(a, a, {.transpose_b = true});
  const UnaryFunction f = [&](const Tensor& x) { return 0.5 * sum(x * matmul(h, x)); };
  double trace = 0;
  for (Index i = 0; i < 20; ++i) trace += h.data<double>()[i * 21];
  const Tensor x = randn({20}, {.dtype = f64, .generator = &g});
  BOOST_TEST(all_close(laplacian(f, x), {trace}, 1e-12));
  const double estimate = hutchinson_trace(f, x, {.samples = 400, .generator = &g}).item();
  BOOST_TEST(std::abs(estimate - trace) < 0.1 * trace);
}

BOOST_AUTO_TEST_SUITE_END()
