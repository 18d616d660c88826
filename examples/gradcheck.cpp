// Checks the gradients of a function against finite differences: one that is right, and one with a mistake in its rule,
// to show what the report says about it.
#include <iostream>

#include <common/flags.h>
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

int run(int argc, char** argv) {
  examples::Flags flags("gradcheck", "Checks the gradients of two functions: one is right, the other has a mistake.");
  if (!flags.parse(argc, argv)) return 0;
  manual_seed(1);

  // In double precision, since differences of nearby values lose half the digits.
  const auto random = [](const Shape& shape) { return randn(shape, {.dtype = f64}); };

  const GradReport right = gradient_report(gated_layer, {random({4, 3}), random({3, 5}), random({3, 5})}, {.order = 2});
  std::cout << "gated_layer, first and second order: " << (right.ok ? "right" : "WRONG") << "\n" << right.text << "\n";

  const GradReport wrong = gradient_report([](const Tensor& x) { return wrong_square(x); }, {random({2, 3})});
  std::cout << "wrong_square: " << (wrong.ok ? "NOT NOTICED" : "caught") << "\n" << wrong.text << "\n";

  // In a test one writes check_grads(f, inputs, {.order = 2}) instead, which throws this report when something is
  // wrong.
  return right.ok && !wrong.ok ? 0 : 1;
}

int main(int argc, char** argv) {
  return examples::run_main("gradcheck", [&] { return run(argc, argv); });
}
