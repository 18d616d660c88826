// Sharpness-aware minimization (Foret et al., 2021): each step takes the gradient not where the weights are but a small
// step uphill from there, and so seeks minima that are flat. A network of more weights than needed learns two moons of
// which a quarter of the labels are wrong, once by plain gradient descent and once this way.
#include <cmath>
#include <cstdio>
#include <vector>

#include <tapestry/tapestry.h>

using namespace tapestry;

constexpr Index kTrain = 120, kTest = 2000;
constexpr double kWrong = 0.25, kRate = 0.2, kRadius = 0.3;
constexpr int kSteps = 800, kRuns = 5;

using Weights = std::vector<Tensor>;

/// Points [n, 2] of two half circles, and the moon that each belongs to, [n].
struct Moons {
  std::vector<float> points;
  std::vector<std::int64_t> labels;

  Moons(Index n, double wrong, Generator& generator) {
    for (Index i = 0; i < n; ++i) {
      const bool upper = generator.uniform(0, 1) < 0.5;
      const double angle = generator.uniform(0, 3.14159), r = generator.uniform(0.8, 1.2);
      points.push_back(static_cast<float>(upper ? r * std::cos(angle) : 1 - r * std::cos(angle)));
      points.push_back(static_cast<float>(upper ? r * std::sin(angle) : 0.5 - r * std::sin(angle)));
      labels.push_back(upper != (generator.uniform(0, 1) < wrong) ? 1 : 0);
    }
  }
  [[nodiscard]] Tensor x() const { return tensor(points, {static_cast<Index>(labels.size()), 2}); }
  [[nodiscard]] Tensor y() const { return tensor(labels, {static_cast<Index>(labels.size())}); }
};

Weights plus(const Weights& a, double factor, const Weights& b) {
  Weights out;
  for (std::size_t i = 0; i < a.size(); ++i) out.push_back(a[i] + factor * b[i]);
  return out;
}

double length(const Weights& a) {
  double squares = 0;
  for (const Tensor& x : a) squares += sum(square(x)).item();
  return std::sqrt(squares);
}

/// The largest eigenvalue of the Hessian, by power iteration.
double sharpness(const ListFunction& loss, const Weights& at) {
  Weights v;
  for (const Tensor& p : at) v.push_back(randn(p.shape()));
  double value = 0;
  for (int i = 0; i < 20; ++i) {
    v = hvp(loss, at, plus(v, 1 / length(v) - 1, v));
    value = length(v);
  }
  return value;
}

struct Result {
  double train = 0, accuracy = 0, sharpness = 0;
};

Result run(bool sharpness_aware, std::uint64_t seed) {
  manual_seed(seed);
  Generator generator(seed);
  const Moons train(kTrain, kWrong, generator), test(kTest, 0, generator);
  const nn::Sequential net{nn::Linear{2, 64}, nn::ReLU{}, nn::Linear{64, 64}, nn::ReLU{}, nn::Linear{64, 2}};
  const Tensor x = train.x(), y = train.y();
  const ListFunction loss = [&](const Weights& at) { return cross_entropy(nn::functional_call(net, at, x), y); };

  Weights at;
  for (const Tensor& p : net.parameters()) at.push_back(p.detach());
  ValueAndGrad here = value_and_grad(loss, at);
  for (int step = 0; step < kSteps; ++step) {
    Weights gradient = here.grads;
    if (sharpness_aware) gradient = value_and_grad(loss, plus(at, kRadius / length(gradient), gradient)).grads;
    at = plus(at, -kRate, gradient);
    here = value_and_grad(loss, at);
  }
  const Tensor right = eq(argmax(nn::functional_call(net, at, test.x()), {.dim = 1}), test.y());
  return {here.value.item(), 100 * mean(to(right, f32)).item(), sharpness(loss, at)};
}

int main() {
  std::printf("mean of %d runs            training loss   largest curvature   right on clean points\n", kRuns);
  Result results[2];
  for (const bool sharpness_aware : {false, true}) {
    Result& mean = results[sharpness_aware ? 1 : 0];
    for (int i = 0; i < kRuns; ++i) {
      const Result one = run(sharpness_aware, static_cast<std::uint64_t>(i + 1));
      mean.train += one.train / kRuns;
      mean.accuracy += one.accuracy / kRuns;
      mean.sharpness += one.sharpness / kRuns;
    }
    std::printf("%-24s %12.3f %19.1f %21.1f %%\n", sharpness_aware ? "sharpness-aware" : "gradient descent", mean.train,
                mean.sharpness, mean.accuracy);
  }
  return results[1].sharpness < results[0].sharpness && results[1].accuracy > results[0].accuracy ? 0 : 1;
}
