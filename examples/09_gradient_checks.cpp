// Checks the gradients of functions against finite differences: one that is right, one with a mistake in its rule, to
// show what the report says about it, a model by all its parameters, and plain C++ that knows nothing of tensors.
#include <cmath>
#include <iostream>
#include <span>
#include <vector>

#include <tapestry/tapestry.h>

using namespace tapestry;

/// A right one: a layer with a gate, from ops that the library has.
Tensor gated_layer(const Tensor& x, const Tensor& w, const Tensor& v) { return matmul(x, w) * sigmoid(matmul(x, v)); }

/// A wrong one: y = x^2 has the gradient 2 x dy, and this rule forgets the 2.
Tensor wrong_square(const Tensor& x, Here here = {}) {
  const CallSite site(here);
  Tensor y = no_grad([&] { return x * x; });
  return record("wrong_square", std::move(y), wrt(x, [x = saved(x)](const Tensor& dy) { return dy * x(); }));
}

/// Plain C++ with a gradient written by hand: the energy of a chain of springs.
double energy(std::span<const double> x) {
  double sum = 0;
  for (std::size_t i = 1; i < x.size(); ++i) sum += 0.5 * (x[i] - x[i - 1]) * (x[i] - x[i - 1]);
  return sum + std::cos(x[0]);
}
std::vector<double> forces(std::span<const double> x) {
  std::vector<double> g(x.size());
  for (std::size_t i = 1; i < x.size(); ++i) {
    g[i] += x[i] - x[i - 1];
    g[i - 1] -= x[i] - x[i - 1];
  }
  g[0] -= std::sin(x[0]);
  return g;
}

int main() {
  manual_seed(1);

  // In double precision, since differences of nearby values lose half the digits.
  const auto random = [](const Shape& shape) { return randn(shape, {.dtype = f64}); };

  const GradReport right = gradient_report(gated_layer, {random({4, 3}), random({3, 5}), random({3, 5})}, {.order = 2});
  std::cout << "gated_layer, first and second order: " << (right ? "right" : "WRONG") << "\n" << right << "\n";

  const GradReport wrong = gradient_report([](const Tensor& x) { return wrong_square(x); }, {random({2, 3})});
  std::cout << "wrong_square: " << (wrong ? "NOT NOTICED" : "caught") << "\n" << wrong << "\n";

  // A whole model, by its input and by all its parameters.
  nn::Sequential model{nn::Linear{3, 4}, nn::Tanh{}, nn::Linear{4, 2}};
  model.to(f64);
  const GradReport whole = gradient_report(model, {random({3, 3})});
  std::cout << "a model: " << (whole ? "right" : "WRONG") << "\n" << whole << "\n";

  // A loss that reads the parameters itself: they are leaves, and are moved in place.
  const Tensor x = random({3, 3}), labels = tensor({0, 1, 1});
  const GradReport loss = gradient_report([&](const std::vector<Tensor>&) { return cross_entropy(model(x), labels); },
                                          model.parameters(), {.order = 2});
  std::cout << "its loss: " << (loss ? "right" : "WRONG") << "\n" << loss << "\n";

  // How fast the remainder of a Taylor series vanishes: with order 2 when the gradient is right, 3 when the Hessian is.
  const TaylorReport orders = taylor_test([](const Tensor& t) { return exp(sin(t)); }, {random({4})});
  std::cout << "exp(sin(x)):\n" << orders << "\n";

  const GradReport springs = gradient_report(energy, forces, std::vector{0.5, 1.0, 2.5, 2.0});
  std::cout << "a chain of springs: " << (springs ? "right" : "WRONG") << "\n" << springs << "\n";

  // In a test one writes check_grads(f, inputs, {.order = 2}) instead, which throws this report when something is
  // wrong, or gradients_match(...), which is it; 11_gradient_tests.cpp does.
  return right && !wrong && whole && loss && orders && springs ? 0 : 1;
}
