// Gradient checks as unit tests, with Boost.Test: check_grads throws its report when something is wrong, which any test
// framework shows as a failure; gradients_match is the report itself, for BOOST_TEST, ASSERT_TRUE and the like. (With
// Boost's library linked, <boost/test/unit_test.hpp> compiles faster.)
#define BOOST_TEST_MODULE gradients of my functions
#include <boost/test/included/unit_test.hpp>

#include <tapestry/tapestry.h>

using namespace tapestry;

/// y = x^3, elementwise; dx = 3 dy x^2.
Tensor cube(const Tensor& x, Here here = {}) {
  const CallSite site(here);
  Tensor y = no_grad([&] { return x * x * x; });
  return record("cube", std::move(y), wrt(x, [x = saved(x)](const Tensor& dy) { return 3 * dy * x() * x(); }));
}

/// The same with a rule that forgets the 3.
Tensor wrong_cube(const Tensor& x, Here here = {}) {
  const CallSite site(here);
  Tensor y = no_grad([&] { return x * x * x; });
  return record("wrong_cube", std::move(y), wrt(x, [x = saved(x)](const Tensor& dy) { return dy * x() * x(); }));
}

BOOST_AUTO_TEST_CASE(gradients_of_cube) {
  check_grads([](const Tensor& x) { return cube(x); }, {randn({3, 4}, {.dtype = f64})}, {.order = 2});
}

BOOST_AUTO_TEST_CASE(a_mistake_would_be_noticed) {
  BOOST_CHECK_THROW(check_grads([](const Tensor& x) { return wrong_cube(x); }, {randn({3, 4}, {.dtype = f64})}),
                    GradientError);
}

BOOST_AUTO_TEST_CASE(a_loss_of_several_inputs) {
  const auto loss = [](const Tensor& x, const Tensor& w, const Tensor& b) {
    return mean(square(tanh(linear(x, w, b))));
  };
  const auto random = [](const Shape& shape) { return randn(shape, {.dtype = f64}); };
  BOOST_TEST(gradients_match(loss, {random({5, 3}), random({2, 3}), random({2})}, {.order = 2}));
}

BOOST_AUTO_TEST_CASE(a_model_by_all_its_parameters) {
  nn::Sequential model{nn::Conv2d{1, 2, {.kernel = 3}}, nn::BatchNorm2d{2}, nn::Tanh{}, nn::Dropout{0.5}};
  model.to(f64);
  BOOST_TEST(gradients_match(model, {randn({2, 4, 4, 1}, {.dtype = f64})}, {.order = 2, .rtol = 1e-6}));
}

BOOST_AUTO_TEST_CASE(orders_of_convergence) {
  BOOST_TEST(taylor_test([](const Tensor& x) { return exp(sin(x)); }, {randn({4}, {.dtype = f64})}));
}
