// First steps: tensors, what operations do with them, gradients, and gradients of gradients.
#include <iostream>
#include <stdexcept>

#include <tapestry/tapestry.h>

using namespace tapestry;

/// What a tensor is, and how shapes meet.
void tensors() {
  const Tensor a = tensor({{1.F, 2.F, 3.F}, {4.F, 5.F, 6.F}});  // f32 [2, 3]
  const Tensor row = tensor({10.F, 20.F, 30.F});                // f32 [3]
  const Tensor count = arange(6);                               // i64 [6]: whole numbers stay whole
  std::cout << "a\n" << a << "\n";
  std::cout << "a + row, the row repeated\n" << a + row << "\n";
  std::cout << "2 a summed over its last dimension\n" << sum(2 * a, {.dim = -1}) << "\n";
  std::cout << "a times its transpose\n" << matmul(a, a, {.transpose_b = true}) << "\n";
  std::cout << "counted, as [3, 2]\n" << reshape(count, {3, 2}) << "\n\n";

  // Copying a tensor copies the handle. Operations never change their arguments; mutable_data is the way to write.
  Tensor same = a;
  same.mutable_data<float>()[0] = -1;
  std::cout << "a[0][0] is " << a.data<float>()[0] << " now, since both handles are on the same numbers\n\n";
}

/// What is computed from a tensor that requires grad is recorded; backward() plays the recording from its end.
void gradients() {
  const Tensor x = tensor({1., 2., 3.}, {.dtype = f64, .requires_grad = true});
  const Tensor y = sum(x * x * x);
  y.backward();
  std::cout << "d(x^3)/dx at " << x << "\n  is " << x.grad() << "\n";

  // grad() returns a gradient and leaves x.grad() alone; with create_graph it can be differentiated again.
  const Tensor first = grad(sum(x * x * x), x, {.create_graph = true});
  const Tensor second = grad(sum(first), x);
  std::cout << "and its derivative\n  is " << second << "\n\n";
  std::cout << "What was recorded for x^3:\n" << Tape::of(sum(x * x * x)) << "\n";
}

/// The line through noisy points by gradient descent, every step by hand.
void fit_a_line() {
  manual_seed(1);
  const Tensor x = uniform({100}, -1, 1);
  const Tensor y = 3 * x + 0.5 + 0.1 * randn({100});

  Tensor slope = scalar(0, {.requires_grad = true});
  Tensor offset = scalar(0, {.requires_grad = true});
  for (int step = 0; step < 200; ++step) {
    const Tensor loss = mean(square(slope * x + offset - y));
    loss.backward();
    for (Tensor* parameter : {&slope, &offset}) {
      const NoGradGuard guard;  // the update itself is not part of the function
      *parameter->mutable_data<float>() -= 0.2F * parameter->grad().item<float>();
      parameter->zero_grad();
    }
    if (step % 50 == 0) std::cout << "step " << step << ", loss " << loss.item() << "\n";
  }
  std::cout << "the points lie along " << slope.item() << " x + " << offset.item() << "\n\n";
}

/// Mistakes are told in terms of what was called, with the line of this program.
void a_mistake() {
  try {
    const Tensor y = matmul(ones({3, 4}), ones({5, 6}));
  } catch (const std::invalid_argument& error) {
    std::cout << "What a mistake looks like:\n" << error.what() << "\n";
  }
}

int main() {
  tensors();
  gradients();
  fit_a_line();
  a_mistake();
}
