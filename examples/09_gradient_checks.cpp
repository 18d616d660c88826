// Checks the gradients of functions against finite differences: one that is right, and one with a mistake in its rule,
// to show what the report says about it.
#include <iostream>

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

int main() {
  manual_seed(1);

  // In double precision, since differences of nearby values lose half the digits.
  const auto random = [](const Shape& shape) { return randn(shape, {.dtype = f64}); };

  const GradReport right = gradient_report(gated_layer, {random({4, 3}), random({3, 5}), random({3, 5})}, {.order = 2});
  std::cout << "gated_layer, first and second order: " << (right.ok ? "right" : "WRONG") << "\n" << right.text << "\n";

  const GradReport wrong = gradient_report([](const Tensor& x) { return wrong_square(x); }, {random({2, 3})});
  std::cout << "wrong_square: " << (wrong.ok ? "NOT NOTICED" : "caught") << "\n" << wrong.text << "\n";

  // A whole model, by its input and by two of its weights: functions may be closures.
  nn::Sequential model{nn::Linear{3, 4}, nn::Tanh{}, nn::Linear{4, 2}};
  model.to(f64);
  const Tensor labels = tensor({0, 1, 1});
  const GradReport whole =
      gradient_report([&](const std::vector<Tensor>& inputs) { return cross_entropy(model(inputs[0]), labels); },
                      {random({3, 3}), model.parameters()[0], model.parameters()[2]});
  std::cout << "a model's loss: " << (whole.ok ? "right" : "WRONG") << "\n" << whole.text << "\n";

  // In a test one writes check_grads(f, inputs, {.order = 2}) instead, which throws this report when something is
  // wrong; 11_gradient_tests.cpp does.
  return right.ok && !wrong.ok && whole.ok ? 0 : 1;
}
