// A neural ordinary differential equation (Chen et al., 2018): a network learns the law of motion of a spiral from
// points along one trajectory. The fourth-order Runge-Kutta method is made of ops like everything else, so gradients go
// through it; checkpoint() keeps of each step only where it began.
#include <cmath>
#include <cstdio>
#include <vector>

#include <tapestry/tapestry.h>

using namespace tapestry;

constexpr double kStep = 0.1;
constexpr Index kPoints = 40;  // of the trajectory that is learnt from
constexpr Index kSegment = 5;  // steps from one observed point; predictions are compared along the way
constexpr int kTraining = 400;

using Field = Callable<Tensor(const Tensor&)>;  // positions [n, 2] -> velocities [n, 2]

/// One step of the Runge-Kutta method of fourth order.
Tensor runge_kutta(const Field& f, const Tensor& x) {
  const Tensor a = f(x);
  const Tensor b = f(x + kStep / 2 * a);
  const Tensor c = f(x + kStep / 2 * b);
  const Tensor d = f(x + kStep * c);
  return x + kStep / 6 * (a + 2 * b + 2 * c + d);
}

/// `steps` steps from x, each kept by where it began alone.
std::vector<Tensor> follow(const Field& f, Tensor x, Index steps) {
  std::vector<Tensor> path;
  for (Index i = 0; i < steps; ++i) {
    x = checkpoint([f](const Tensor& at) { return runge_kutta(f, at); }, x);
    path.push_back(x);
  }
  return path;
}

int main() {
  manual_seed(1);
  // The law to be found: x' = A x, a spiral inwards.
  const Tensor a = tensor({{-0.1, 2.0}, {-2.0, -0.1}}, {.dtype = f64});
  const Field truth = [&](const Tensor& x) { return matmul(x, a); };
  std::vector<Tensor> observed{tensor({{2.0, 0.0}}, {.dtype = f64})};
  for (Index i = 1; i < kPoints; ++i) observed.push_back(runge_kutta(truth, observed.back()));
  const Tensor points = cat(observed);  // [40, 2]

  nn::Sequential net{nn::Linear{2, 32}, nn::Tanh{}, nn::Linear{32, 2}};
  net.to(f64);
  const Field learnt = [net](const Tensor& x) { return net(x); };
  // From every point that has enough others behind it, all at once.
  const Tensor begins = slice(points, {.begin = 0, .end = kPoints - kSegment});
  optim::Adam adam(net.parameters(), {.lr = 0.02});
  nn::train::Curves curves("A law of motion, learnt from its trajectory", "step");
  for (int step = 0; step < kTraining; ++step) {
    adam.set_lr(0.02 * 0.5 * (1 + std::cos(3.14159 * step / kTraining)));
    const std::vector<Tensor> path = follow(learnt, begins, kSegment);
    Tensor loss = zeros({}, {.dtype = f64});
    for (Index i = 0; i < kSegment; ++i) {
      const Tensor seen = slice(points, {.begin = i + 1, .end = kPoints - kSegment + i + 1});
      loss = loss + mean(square(path[static_cast<std::size_t>(i)] - seen)) / kSegment;
    }
    adam.zero_grad();
    loss.backward();
    adam.step();
    if (step % 10 == 0) curves.add("log10 of the loss", "", step, std::log10(loss.item()));
  }

  const NoGradGuard guard;
  Tensor x = observed.front();
  double worst = 0;
  std::printf("  t    where it is          where the network goes\n");
  for (Index i = 1; i < kPoints; ++i) {
    x = runge_kutta(learnt, x);
    const Tensor& right = observed[static_cast<std::size_t>(i)];
    worst = std::max(worst, max(abs(x - right)).item());
    if (i % 8 == 0) {
      std::printf("%5.1f  (%6.3f, %6.3f)    (%6.3f, %6.3f)\n", kStep * static_cast<double>(i), right.data<double>()[0],
                  right.data<double>()[1], x.data<double>()[0], x.data<double>()[1]);
    }
  }
  std::printf("largest distance along the whole way %.3f\n", worst);
  curves.write("law_of_motion.svg");
  std::printf("wrote law_of_motion.svg\n");
  return worst < 0.2 ? 0 : 1;
}
