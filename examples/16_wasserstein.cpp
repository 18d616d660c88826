// A Wasserstein GAN with gradient penalty (Gulrajani et al., 2017) on eight clouds in a ring. The critic is punished
// where the length of its gradient by its input is not 1: a gradient in the loss, and so a second derivative in the
// step.
#include <cmath>
#include <cstdio>
#include <fstream>
#include <string>

#include <tapestry/tapestry.h>

using namespace tapestry;

constexpr Index kBatch = 128, kNoise = 4, kClouds = 8;
constexpr int kSteps = 600, kCriticSteps = 3;
constexpr double kPenalty = 0.1, kRadius = 2, kSpread = 0.1;

/// Points [n, 2] of the ring.
Tensor real(Index n, Generator& generator) {
  Tensor points = zeros({n, 2});
  for (Index i = 0; i < n; ++i) {
    const double angle = 2 * M_PI / kClouds * static_cast<double>(generator.randint(0, kClouds));
    points.mutable_data<float>()[2 * i] = static_cast<float>(kRadius * std::cos(angle) + kSpread * generator.normal());
    points.mutable_data<float>()[2 * i + 1] =
        static_cast<float>(kRadius * std::sin(angle) + kSpread * generator.normal());
  }
  return points;
}

nn::Sequential network(Index in, Index out) {
  return nn::Sequential{nn::Linear{in, 64}, nn::LeakyReLU{}, nn::Linear{64, 64}, nn::LeakyReLU{}, nn::Linear{64, out}};
}

/// (|gradient of the critic| - 1)^2 at points between real and made ones.
Tensor penalty(const nn::Sequential& critic, const Tensor& of_data, const Tensor& made, Generator& generator) {
  const Tensor between = rand({of_data.size(0), 1}, {.generator = &generator});
  const Tensor x = (between * of_data + (1 - between) * made).detach();
  const UnaryFunction total = [&](const Tensor& at) { return sum(critic(at)); };
  const Tensor slope = value_and_grad(total, x, {.create_graph = true}).second;
  return mean(square(sqrt(sum(square(slope), {.dim = 1}) + 1e-12) - 1));
}

/// How many clouds the points [n, 2] reach, and the share of points that lie in one.
std::pair<int, double> reached(const Tensor& points) {
  std::vector<int> seen(kClouds);
  int inside = 0;
  for (Index i = 0; i < points.size(0); ++i) {
    const double x = points.data<float>()[2 * i], y = points.data<float>()[2 * i + 1];
    const auto cloud = static_cast<Index>(std::lround((std::atan2(y, x) + 2 * M_PI) / (2 * M_PI / kClouds))) % kClouds;
    const double angle = 2 * M_PI / kClouds * static_cast<double>(cloud);
    if (std::hypot(x - kRadius * std::cos(angle), y - kRadius * std::sin(angle)) > 5 * kSpread) continue;
    ++inside;
    ++seen[static_cast<std::size_t>(cloud)];
  }
  int clouds = 0;
  for (const int count : seen) clouds += count >= 5;
  return {clouds, static_cast<double>(inside) / static_cast<double>(points.size(0))};
}

void draw(const char* path, const Tensor& of_data, const Tensor& made) {
  std::ofstream svg(path);
  svg << R"(<svg xmlns="http://www.w3.org/2000/svg" viewBox="-3 -3 6 6" width="480" height="480">)"
      << R"(<rect x="-3" y="-3" width="6" height="6" fill="white"/>)";
  for (const auto& [points, colour] : {std::pair(of_data, "#bbbbbb"), std::pair(made, "#c03030")}) {
    for (Index i = 0; i < points.size(0); ++i) {
      svg << "<circle r=\"0.025\" fill=\"" << colour << "\" cx=\"" << points.data<float>()[2 * i] << "\" cy=\""
          << points.data<float>()[2 * i + 1] << "\"/>";
    }
  }
  svg << "</svg>\n";
}

int main() {
  manual_seed(2);
  Generator generator(5);
  const nn::Sequential critic = network(2, 1), maker = network(kNoise, 2);
  optim::Adam critic_adam(critic.parameters(), {.lr = 1e-3, .betas = {0.5, 0.9}});
  optim::Adam maker_adam(maker.parameters(), {.lr = 1e-3, .betas = {0.5, 0.9}});
  const auto make = [&](Index n) { return maker(randn({n, kNoise}, {.generator = &generator})); };
  std::printf("step   distance by the critic   clouds reached   points in a cloud\n");
  for (int step = 0; step <= kSteps; ++step) {
    double distance = 0;
    for (int i = 0; i < kCriticSteps; ++i) {
      const Tensor of_data = real(kBatch, generator), made = make(kBatch).detach();
      const Tensor gap = mean(critic(of_data)) - mean(critic(made));
      critic_adam.zero_grad();
      (kPenalty * penalty(critic, of_data, made, generator) - gap).backward();
      critic_adam.step();
      distance = gap.item();
    }
    maker_adam.zero_grad();
    neg(mean(critic(make(kBatch)))).backward();
    maker_adam.step();
    if (step % 150 == 0) {
      const auto [clouds, share] = reached(make(1000).detach());
      std::printf("%4d %21.3f %16d of 8 %14.0f %%\n", step, distance, clouds, 100 * share);
    }
  }
  const Tensor made = make(1000).detach();
  draw("ring.svg", real(1000, generator), made);
  std::printf("wrote ring.svg\n");
  return reached(made).first >= 6 ? 0 : 1;
}
