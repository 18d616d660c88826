// An operation of your own, with a gradient rule of your own: y = x^3.
//
// Nothing has to be registered. The op computes, record() notes one rule per input, and the rule, being written in ops,
// can be differentiated again - which check_grads verifies, to second order, against finite differences.
#include <iostream>

#include <common/flags.h>
#include <tapestry/tapestry.h>

using namespace tapestry;

/// y = x^3, elementwise; dx = 3 dy x^2. Keeps x for backward.
Tensor cube(const Tensor& x, Here here = {}) {
  const CallSite site(here);                      // errors and the tape name the caller's line
  Tensor y = no_grad([&] { return x * x * x; });  // compute; these multiplications need no rules of their own
  return record("cube", std::move(y), wrt(x, [x = saved(x)](const Tensor& dy) { return 3 * dy * x() * x(); }));
}

int run(int argc, char** argv) {
  examples::Flags flags("custom_op", "Defines an op y = x^3, differentiates it twice, and checks both derivatives.");
  if (!flags.parse(argc, argv)) return 0;

  const Tensor x = tensor({-1., 0.5, 2.}, {.dtype = f64, .requires_grad = true});
  const Tensor y = sum(cube(x));
  const Tensor first = grad(y, x, {.create_graph = true});
  const Tensor second = grad(sum(first), x);
  std::cout << "x           " << x << "\n"
            << "sum of x^3  " << y << "\n"
            << "gradient    " << first << "   3 x^2\n"
            << "and again   " << second << "   6 x\n\n"
            << "What was recorded:\n"
            << Tape::of(sum(cube(x))) << "\n";

  check_grads([](const Tensor& t) { return cube(t); }, {randn({3, 4}, {.dtype = f64})}, {.order = 2});
  std::cout << "check_grads: first and second derivatives agree with finite differences\n";
  return 0;
}

int main(int argc, char** argv) {
  return examples::run_main("custom_op", [&] { return run(argc, argv); });
}
