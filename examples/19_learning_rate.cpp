// The derivative of a whole training by its learning rate (Maclaurin, Duvenaud and Adams, 2015): how the loss on points
// that were not learnt changes with the rate that all steps had. There is one number to differentiate by and there are
// many steps, so forward mode is the way: it keeps nothing of the steps behind it, where reverse mode keeps them all.
#include <cmath>
#include <cstdio>
#include <numbers>
#include <vector>

#include <tapestry/tapestry.h>

using namespace tapestry;

constexpr int kSteps = 60;
constexpr double kMomentum = 0.8;
constexpr int kOuterSteps = 12;
constexpr double kOuterRate = 10;

using Weights = std::vector<Tensor>;

/// Points of a sine wave [n, 1], with noise.
struct Points {
  Tensor x, y;
  Points(Index n, double noise) {
    x = uniform({n, 1}, -3, 3, {.dtype = f64});
    y = sin(x) + noise * randn({n, 1}, {.dtype = f64});
  }
};

/// A training from the same weights each time, as a function of the logarithm of its rate, [].
class Training {
 public:
  Training() : net_{nn::Linear{1, 24}, nn::Tanh{}, nn::Linear{24, 1}}, train_(32, 0.2), held_out_(64, 0) {
    net_.to(f64);
    for (const Tensor& p : net_.parameters()) start_.push_back(p.detach());
  }

  [[nodiscard]] Tensor operator()(const Tensor& log_rate) const {
    const Tensor rate = exp(log_rate);
    const ListFunction loss = [&](const Weights& at) { return loss_at(at, train_); };
    Weights at = start_, velocity;
    for (const Tensor& p : at) velocity.push_back(zeros(p.shape(), {.dtype = f64}));
    for (int step = 0; step < kSteps; ++step) {
      const Weights gradient = value_and_grad(loss, at, {.create_graph = true}).grads;
      for (std::size_t i = 0; i < at.size(); ++i) {
        velocity[i] = kMomentum * velocity[i] + gradient[i];
        at[i] = at[i] - rate * velocity[i];
      }
    }
    return loss_at(at, held_out_);
  }

 private:
  [[nodiscard]] Tensor loss_at(const Weights& at, const Points& points) const {
    return mean(square(nn::functional_call(net_, at, points.x) - points.y));
  }

  nn::Sequential net_;
  Points train_, held_out_;
  Weights start_;
};

/// The most bytes of tensors that f has alive at a time.
template <class F>
double peak_mib(const F& f) {
  const std::int64_t before = memory_stats().live_bytes;
  reset_peak_bytes();
  f();
  return static_cast<double>(memory_stats().peak_bytes - before) / (1 << 20);
}

int main() {
  manual_seed(1);
  const Training training;
  const Tensor log_rate = scalar(std::log(0.02), {.dtype = f64}), one = ones({}, {.dtype = f64});

  double forward = 0, reverse = 0;
  const double forward_mib = peak_mib([&] { forward = jvp(training, log_rate, one).item(); });
  const double reverse_mib = peak_mib([&] {
    const Tensor at = log_rate.detach().requires_grad(true);
    reverse = grad(training(at), at).item();
  });
  constexpr double kStep = 1e-5;
  const double difference = (training(log_rate + kStep).item() - training(log_rate - kStep).item()) / (2 * kStep);
  std::printf("d loss / d log(rate) after %d steps at rate 0.02\n", kSteps);
  std::printf("  forward mode   %.10f   %6.2f MiB\n", forward, forward_mib);
  std::printf("  reverse mode   %.10f   %6.2f MiB\n", reverse, reverse_mib);
  std::printf("  differences    %.10f\n\n  rate      loss on points that were not learnt\n", difference);

  nn::train::Curves curves("A learning rate that is learnt", "outer step");
  Tensor at = log_rate;
  double first = 0, last = 0;
  for (int step = 0; step <= kOuterSteps; ++step) {
    const ValueAndTangent now = value_and_jvp(training, at, one);
    last = now.value.item();
    if (step == 0) first = last;
    if (step % 3 == 0) std::printf("  %.4f    %.5f\n", std::exp(at.item()), last);
    curves.add("Loss", "held out", step, last);
    curves.add("Rate", "rate", step, std::exp(at.item()));
    at = at - kOuterRate * clamp(now.tangent, {.min = -0.3, .max = 0.3});
  }
  curves.write("learning_rate.svg");
  std::printf("wrote learning_rate.svg\n");
  const bool equal = std::abs(forward - reverse) < 1e-9 && std::abs(forward - difference) < 1e-6;
  return equal && last < first && forward_mib < reverse_mib ? 0 : 1;
}
