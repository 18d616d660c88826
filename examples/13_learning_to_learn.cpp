// Model-agnostic meta-learning (Finn, Abbeel and Levine, 2017): weights from which one step of gradient descent on five
// points learns a sine wave of any amplitude and phase. The outer gradient goes through the inner step, so the inner
// one is recorded, and the network is called with other weights than its own.
#include <cmath>
#include <cstdio>
#include <numbers>
#include <utility>
#include <vector>

#include <tapestry/tapestry.h>

using namespace tapestry;

constexpr double kInnerRate = 0.02;
constexpr int kSteps = 1500, kTasks = 4;  // of the outer loop; tasks in each of its steps
constexpr Index kShots = 10;              // points of a task

/// Points [n, 1] of one sine wave, twice: to learn from, and to be judged by.
struct Task {
  Tensor x, y, test_x, test_y;

  explicit Task(Generator& generator) {
    const double amplitude = generator.uniform(0.5, 3), phase = generator.uniform(0, std::numbers::pi);
    const auto draw = [&](Index n) {
      const Tensor at = uniform({n, 1}, -4, 4, {.dtype = f64, .generator = &generator});
      return std::pair(at, amplitude * sin(at + phase));
    };
    std::tie(x, y) = draw(kShots);
    std::tie(test_x, test_y) = draw(40);
  }
};

using Weights = std::vector<Tensor>;

Tensor loss_at(const nn::Sequential& net, const Weights& weights, const Tensor& x, const Tensor& y) {
  return mean(square(nn::functional_call(net, weights, x) - y));
}

/// The weights after one step on the task's points; a function of those before, if recorded.
Weights adapted(const nn::Sequential& net, const Weights& before, const Task& task, bool recorded) {
  const ListFunction loss = [&](const Weights& weights) { return loss_at(net, weights, task.x, task.y); };
  const ValueAndGrad at = value_and_grad(loss, before, {.create_graph = recorded});
  Weights after;
  for (std::size_t i = 0; i < before.size(); ++i) after.push_back(before[i] - kInnerRate * at.grads[i]);
  return after;
}

/// Mean squared errors on tasks never seen, before and after the step.
std::pair<double, double> judge(const nn::Sequential& net) {
  Generator generator(99);
  double before = 0, after = 0;
  constexpr int kJudged = 100;
  for (int i = 0; i < kJudged; ++i) {
    const Task task(generator);
    Weights weights;
    for (const Tensor& p : net.parameters()) weights.push_back(p.detach());
    before += loss_at(net, weights, task.test_x, task.test_y).item() / kJudged;
    after += loss_at(net, adapted(net, weights, task, false), task.test_x, task.test_y).item() / kJudged;
  }
  return {before, after};
}

int main() {
  manual_seed(1);
  nn::Sequential net{nn::Linear{1, 40}, nn::Tanh{}, nn::Linear{40, 40}, nn::Tanh{}, nn::Linear{40, 1}};
  net.to(f64);
  const auto [start_before, start_after] = judge(net);

  Generator generator(7);
  optim::Adam adam(net.parameters(), {.lr = 0.003});
  nn::train::Curves curves("Learning to learn sine waves", "step");
  for (int step = 0; step < kSteps; ++step) {
    adam.zero_grad();
    for (int i = 0; i < kTasks; ++i) {
      const Task task(generator);
      const Tensor outer = loss_at(net, adapted(net, net.parameters(), task, true), task.test_x, task.test_y) / kTasks;
      outer.backward();
    }
    adam.step();
    if (step % 100 == 0) {
      const auto [before, after] = judge(net);
      curves.add("Mean squared error", "before the step", step, before);
      curves.add("Mean squared error", "after the step", step, after);
    }
  }
  const auto [before, after] = judge(net);
  std::printf("                     before   after one step on %d points\n", static_cast<int>(kShots));
  std::printf("ordinary weights     %6.3f   %6.3f\n", start_before, start_after);
  std::printf("learnt weights       %6.3f   %6.3f\n", before, after);
  curves.write("learning_to_learn.svg");
  std::printf("wrote learning_to_learn.svg\n");
  return after < 0.5 * start_after ? 0 : 1;
}
