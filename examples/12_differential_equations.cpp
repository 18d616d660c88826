// A network that solves differential equations (Raissi, Perdikaris and Karniadakis, 2019): what it is trained on is not
// data but how far its own derivatives are from obeying the equation. Derivatives by the input come from forward mode,
// for all points at once; those by the weights from reverse mode, through the former.
#include <cmath>
#include <cstdio>
#include <numbers>

#include <tapestry/tapestry.h>

using namespace tapestry;

constexpr double kPi = std::numbers::pi;

/// 1s in one column of a matrix like x: the direction of that coordinate for every row.
Tensor along(const Tensor& x, Index column) {
  const Tensor e = zeros({1, x.size(1)}, {.dtype = x.dtype()});
  Tensor direction = e;
  direction.mutable_data<double>()[column] = 1;
  return broadcast_to(direction, x.shape());
}

nn::Sequential network(Index inputs) {
  nn::Sequential net{nn::Linear{inputs, 24}, nn::Tanh{}, nn::Linear{24, 24}, nn::Tanh{}, nn::Linear{24, 1}};
  net.to(f64);
  return net;
}

/// Trains the network until `residual(x)` is nearly zero everywhere; returns the last loss.
template <class Residual>
double solve(const nn::Sequential& net, const Residual& residual, const Tensor& points, int steps,
             nn::train::Curves& curves, const char* panel) {
  optim::Adam adam(net.parameters(), {.lr = 0.01});
  double last = 0;
  for (int step = 0; step < steps; ++step) {
    adam.set_lr(0.01 * 0.5 * (1 + std::cos(kPi * step / steps)));
    const Tensor loss = mean(square(residual(points)));
    adam.zero_grad();
    loss.backward();
    adam.step();
    last = loss.item();
    if (step % 10 == 0) curves.add(panel, "log10 of the loss", step, std::log10(last));
  }
  return last;
}

int main() {
  manual_seed(1);
  nn::train::Curves curves("Equations as losses", "step");
  constexpr FunctionalOptions recorded{.create_graph = true};

  // u'' = -pi^2 sin(pi x) with u(0) = u(1) = 0, whose solution is sin(pi x). The factor x (1 - x) keeps the borders.
  const nn::Sequential net = network(1);
  const UnaryFunction u = [&](const Tensor& x) { return x * (1 - x) * net(x); };
  const Tensor x = reshape(arange(0.0, 1.0, 1.0 / 40, {.dtype = f64}), {-1, 1});
  const double poisson = solve(
      net,
      [&](const Tensor& at) { return second_derivative(u, at, along(at, 0), recorded) + kPi * kPi * sin(kPi * at); }, x,
      800, curves, "u'' = f");
  const double error = max(abs(u(x) - sin(kPi * x))).item();
  std::printf("u'' = f          loss %.1e, largest error %.1e\n", poisson, error);

  // The heat equation u_t = u_xx from u(x, 0) = sin(pi x), whose solution is exp(-pi^2 t) sin(pi x); rows are (x, t).
  const nn::Sequential heat_net = network(2);
  const UnaryFunction heat = [&](const Tensor& at) {
    const Tensor position = slice(at, {.dim = 1, .begin = 0, .end = 1}), time = slice(at, {.dim = 1, .begin = 1});
    return sin(kPi * position) * (1 + time * heat_net(at));
  };
  const Tensor grid = rand({200, 2}, {.dtype = f64}) * tensor({1.0, 0.2}, {.dtype = f64});
  const double diffusion = solve(
      heat_net,
      [&](const Tensor& at) {
        return jvp(heat, at, along(at, 1), recorded) - second_derivative(heat, at, along(at, 0), recorded);
      },
      grid, 1500, curves, "u_t = u_xx");
  const Tensor position = slice(grid, {.dim = 1, .begin = 0, .end = 1}), time = slice(grid, {.dim = 1, .begin = 1});
  const double heat_error = max(abs(heat(grid) - exp(-kPi * kPi * time) * sin(kPi * position))).item();
  std::printf("u_t = u_xx       loss %.1e, largest error %.1e\n", diffusion, heat_error);

  // A third derivative, because it costs nothing to ask: u''' at the middle is -pi^3 cos(pi / 2) = 0.
  const Tensor middle = full({1, 1}, 0.5, {.dtype = f64});
  const UnaryFunction curvature = [&](const Tensor& at) { return second_derivative(u, at, along(at, 0)); };
  std::printf("u'''(1/2)        %+.3f, of at most %.1f elsewhere\n", jvp(curvature, middle, along(middle, 0)).item(),
              kPi * kPi * kPi);

  curves.write("equations.svg");
  std::printf("wrote equations.svg\n");
  return error < 0.01 && heat_error < 0.02 ? 0 : 1;
}
