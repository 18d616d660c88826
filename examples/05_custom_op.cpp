// Operations of your own, with gradient rules of your own.
//
// Nothing has to be registered. The op checks, computes, and records one rule per input; a rule, being written in ops,
// can be differentiated again - which check_grads verifies, to second order, against finite differences.
#include <iostream>
#include <stdexcept>

#include <tapestry/autograd/base/check.h>
#include <tapestry/tapestry.h>

using namespace tapestry;

/// y = x^3, elementwise; dx = 3 dy x^2. Keeps x for backward.
Tensor cube(const Tensor& x, Here here = {}) {
  const CallSite site(here);                      // errors and the tape name the caller's line
  Tensor y = no_grad([&] { return x * x * x; });  // compute; these multiplications need no rules of their own
  return record("cube", std::move(y), wrt(x, [x = saved(x)](const Tensor& dy) { return 3 * dy * x() * x(); }));
}

/// y = log(exp(a) + exp(b)), elementwise, of equal shapes: a rule per input. A rule that needs the output asks for it
/// as a second parameter; capturing it would make a circle.
Tensor logaddexp(const Tensor& a, const Tensor& b, Here here = {}) {
  const CallSite site(here);
  if (a.shape() != b.shape()) {
    throw_invalid("logaddexp: shapes must be equal; got {} and {}", a.shape(), b.shape());
  }
  Tensor y = no_grad([&] {
    const Tensor larger = maximum(a, b);  // taken out, so that exp cannot overflow
    return larger + log1p(exp(minimum(a, b) - larger));
  });
  return record("logaddexp", std::move(y),
                wrt(a, [a = saved(a)](const Tensor& dy, const Tensor& out) { return dy * exp(a() - out); }),
                wrt(b, [b = saved(b)](const Tensor& dy, const Tensor& out) { return dy * exp(b() - out); }));
}

int main() {
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
  check_grads([](const Tensor& a, const Tensor& b) { return logaddexp(a, b); },
              {randn({5}, {.dtype = f64}), randn({5}, {.dtype = f64})}, {.order = 2});
  std::cout << "check_grads: first and second derivatives agree with finite differences\n\n";

  try {
    const Tensor z = logaddexp(ones({2}), ones({3}));
  } catch (const std::invalid_argument& error) {
    std::cout << error.what() << "\n";
  }
}
