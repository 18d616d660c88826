// Training that no single sample can sway much (Abadi et al., 2016): the gradient of every sample is cut to a length of
// at most 1 before they are added up, and noise hides the rest. The same step without the cut is followed beside it,
// with a few mislabelled samples that pull hard.
#include <cmath>
#include <cstdio>
#include <vector>

#include <tapestry/tapestry.h>

using namespace tapestry;

constexpr Index kSamples = 240, kClasses = 3;
constexpr int kSteps = 150;
constexpr double kRate = 0.5, kLongest = 1.0, kNoise = 0.3;  // noise: deviation over the longest length allowed

/// Three clouds [N, 2] and which one each point is from; every twelfth label is wrong, and its point far out.
std::pair<Tensor, Tensor> clouds(Generator& generator, bool spoilt) {
  Tensor points = zeros({kSamples, 2}), labels = zeros({kSamples}, {.dtype = i64});
  for (Index i = 0; i < kSamples; ++i) {
    const Index cloud = i % kClasses;
    const double angle = 2.1 * static_cast<double>(cloud);
    const bool wrong = spoilt && i % 12 == 0;
    const double distance = wrong ? 12 : 2;
    points.mutable_data<float>()[2 * i] = static_cast<float>(distance * std::cos(angle) + 0.6 * generator.normal());
    points.mutable_data<float>()[2 * i + 1] = static_cast<float>(distance * std::sin(angle) + 0.6 * generator.normal());
    labels.mutable_data<std::int64_t>()[i] = wrong ? (cloud + 1) % kClasses : cloud;
  }
  return {points, labels};
}

/// How much of each sample's gradient is taken: min(1, longest / length), [N].
Tensor shares(const std::vector<Tensor>& gradients) {
  Tensor squared = zeros({kSamples});
  for (const Tensor& g : gradients) squared = squared + sum(square(reshape(g, {kSamples, -1})), {.dim = 1});
  return clamp(kLongest / sqrt(squared + 1e-12), {.max = 1});
}

double accuracy(const nn::Sequential& model, const Tensor& points, const Tensor& labels) {
  return mean(to(eq(argmax(model(points)), labels), f32)).item();
}

int main() {
  Generator generator(3);
  const auto [points, labels] = clouds(generator, true);
  const auto [test_points, test_labels] = clouds(generator, false);
  const auto loss = [](const nn::Sequential& model, const std::vector<Tensor>& sample) {
    return cross_entropy(model(sample[0]), sample[1]);
  };

  std::printf("gradients          accuracy on clean points   most that one sample moved the sum\n");
  double private_accuracy = 0;
  for (const bool cut : {false, true}) {
    manual_seed(1);
    const nn::Sequential model{nn::Linear{2, 16}, nn::Tanh{}, nn::Linear{16, kClasses}};
    double most = 0;
    for (int step = 0; step < kSteps; ++step) {
      const std::vector<Tensor> gradients = nn::per_sample_grads(loss, model, {points, labels});
      const NoGradGuard guard;
      const Tensor share = cut ? shares(gradients) : ones({kSamples});
      Tensor lengths = zeros({kSamples});
      std::size_t k = 0;
      for (Tensor p : model.parameters()) {
        const Tensor& g = gradients[k++];
        const Tensor each = reshape(g, {kSamples, -1}) * unsqueeze(share, 1);
        lengths = lengths + sum(square(each), {.dim = 1});
        Tensor step_of = sum(each, {.dim = 0});
        if (cut) step_of = step_of + kNoise * kLongest * randn(step_of.shape(), {.generator = &generator});
        const Tensor moved = p.detach() - kRate / kSamples * reshape(step_of, p.shape());
        for (Index i = 0; i < p.numel(); ++i) p.mutable_data<float>()[i] = moved.data<float>()[i];
      }
      most = std::max(most, std::sqrt(max(lengths).item()));
    }
    const double reached = accuracy(model, test_points, test_labels);
    std::printf("%-18s %23.1f %%   %34.2f\n", cut ? "cut, with noise" : "as they are", 100 * reached, most);
    private_accuracy = reached;
  }
  return private_accuracy > 0.9 ? 0 : 1;
}
