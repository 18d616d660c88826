// An experiment with second derivatives: how sharply the loss of a small network curves at most. Power iteration finds
// the largest eigenvalue of the Hessian from Hessian-vector products, each of which costs about two backward passes;
// the Hessian itself, which a large network could never store, is formed here only to compare.
#include <cmath>
#include <cstdio>
#include <functional>
#include <initializer_list>
#include <utility>

#include <tapestry/tapestry.h>

using namespace tapestry;

constexpr int kSteps = 100;  // of power iteration
constexpr Index kPoints = 150, kHidden = 16, kClasses = 3;
constexpr Index kParameters = 2 * kHidden + kHidden + kHidden * kClasses + kClasses;

/// Three arms of a spiral: points [N, 2] and the arm each lies on, i64 [N].
std::pair<Tensor, Tensor> spiral() {
  Tensor points = zeros({kPoints, 2}, {.dtype = f64}), arms = zeros({kPoints}, {.dtype = i64});
  double* const point = points.mutable_data<double>();
  std::int64_t* const arm = arms.mutable_data<std::int64_t>();
  for (Index i = 0; i < kPoints; ++i) {
    arm[i] = i % kClasses;
    const double along = static_cast<double>(i) / kPoints;
    const double angle = 4 * along + 2.1 * static_cast<double>(arm[i]) + .2 * default_generator().normal();
    point[2 * i] = along * std::cos(angle);
    point[2 * i + 1] = along * std::sin(angle);
  }
  return {points, arms};
}

/// Logits [N, 3] of a network with one hidden layer, all of whose parameters lie in one vector theta.
Tensor network(const Tensor& theta, const Tensor& x) {
  Index used = 0;
  const auto take = [&](std::initializer_list<Index> shape) {
    const Index begin = used;
    used += Shape(shape).numel();
    return reshape(slice(theta, {.begin = begin, .end = used}), shape);
  };
  const Tensor w1 = take({kHidden, 2}), b1 = take({kHidden}), w2 = take({kClasses, kHidden}), b2 = take({kClasses});
  return linear(tanh(linear(x, w1, b1)), w2, b2);
}

/// The eigenvalue of largest magnitude of a symmetric map, applied `steps` times.
double largest_eigenvalue(const std::function<Tensor(const Tensor&)>& apply, Tensor v, int steps) {
  double value = 0;
  for (int i = 0; i < steps; ++i) {
    v = v / std::sqrt(dot(v, v).item());
    const Tensor applied = apply(v);
    value = dot(v, applied).item();
    v = applied;
  }
  return value;
}

int main() {
  manual_seed(1);

  const auto [points, arms] = spiral();
  const auto loss = [points = points, arms = arms](const Tensor& theta) {
    return cross_entropy(network(theta, points), arms);
  };
  Tensor theta = normal({kParameters}, 0, .5, {.dtype = f64, .requires_grad = true});
  optim::AdamW adam({theta}, {.lr = .02, .weight_decay = 0});
  const double first_loss = loss(theta).item();
  for (int step = 0; step < 200; ++step) {
    adam.zero_grad();
    loss(theta).backward();
    adam.step();
  }
  const Tensor trained = theta.detach();
  std::printf("%lld parameters, loss %.4f before and %.4f after training\n", static_cast<long long>(kParameters),
              first_loss, loss(trained).item());

  const Tensor start = randn({kParameters}, {.dtype = f64});
  const double by_products = largest_eigenvalue([&](const Tensor& v) { return hvp(loss, trained, v); }, start, kSteps);
  const Tensor whole = hessian(loss, trained);
  const double by_matrix = largest_eigenvalue([&](const Tensor& v) { return matmul(whole, v); }, start, kSteps);
  std::printf("largest curvature %.9f by %d Hessian-vector products\n", by_products, kSteps);
  std::printf("                  %.9f from the whole Hessian, %s\n", by_matrix, to_string(whole.shape()).c_str());
  return std::abs(by_products - by_matrix) <= 1e-9 * std::abs(by_matrix) ? 0 : 1;
}
