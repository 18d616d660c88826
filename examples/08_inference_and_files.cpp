// A trained model's way into a file, out of it again, and into use.
#include <chrono>
#include <cstdio>
#include <exception>
#include <string>

#include <tapestry/tapestry.h>

using namespace tapestry;
using Clock = std::chrono::steady_clock;

const datasets::Compose to_numbers{datasets::ToFloat(), datasets::Normalize({.4, .4, .4}, {.2, .2, .2})};

/// Trains for one pass over a part of the embedded data set: enough to be better than guessing.
void learn(const nn::AnyModule& model) {
  const datasets::Patterns data({.size = 4096, .labels = datasets::Labels::coarse, .transform = to_numbers});
  optim::SGD sgd(model.parameters(), {.lr = 0.05, .momentum = 0.9, .nesterov = true});
  for (auto [images, labels] : datasets::Loader(data, {.batch = 64, .shuffle = true, .seed = 7})) {
    sgd.zero_grad();
    cross_entropy(model(images), labels).backward();
    sgd.step();
  }
}

int main() try {
  manual_seed(1);
  nn::AnyModule trained = nn::models::make("lecture_cnn_bn", 20);
  learn(trained);

  // Parameters and buffers, under PyTorch's keys and in its layouts; what else belongs to them goes along as text.
  nn::save(trained, "model.safetensors", {{"model", "lecture_cnn_bn"}, {"labels", "coarse"}});

  // Another program, another day.
  nn::AnyModule model = nn::models::make("lecture_cnn_bn", 20);
  const nn::Metadata about = nn::load(model, "model.safetensors");
  std::printf("model.safetensors holds a %s for %s labels\n", about.at("model").c_str(), about.at("labels").c_str());

  model.eval();               // batch normalisation uses the statistics of training
  const InferenceMode guard;  // nothing is recorded, and convolutions keep their weights as they read them

  // How good it is: over pictures that it has never seen.
  const datasets::Patterns test(
      {.train = false, .size = 1000, .labels = datasets::Labels::coarse, .transform = to_numbers});
  Index right = 0;
  const auto began = Clock::now();
  for (auto [images, labels] : datasets::Loader(test, {.batch = 100})) {
    right += sum(eq(argmax(model(images)), labels)).item<Index>();
  }
  const double seconds = std::chrono::duration<double>(Clock::now() - began).count();
  std::printf("%.1f %% of %zu test pictures right (guessing: 5 %%), %.0f pictures per second\n",
              100 * static_cast<double>(right) / static_cast<double>(test.size()), test.size(),
              static_cast<double>(test.size()) / seconds);

  // One picture from a file. A model takes batches: one picture is a batch of one, [1, H, W, C].
  const datasets::Patterns pictures({.train = false, .size = 1, .labels = datasets::Labels::coarse});
  datasets::write_png("picture.png", pictures.get(0).image);
  const Tensor picture = to_numbers(datasets::read_image("picture.png"));  // u8 -> f32 [32, 32, 3]
  const Tensor scores = model(unsqueeze(picture, 0));                      // [1, 20]
  const auto [chances, classes] = topk(softmax(scores), 3);
  std::printf("picture.png shows %s; the model says\n",
              pictures.classes()[static_cast<std::size_t>(pictures.get(0).target)].c_str());
  for (std::size_t i = 0; i < 3; ++i) {
    const auto number = static_cast<std::size_t>(classes.data<std::int64_t>()[i]);
    std::printf("  %5.1f %%  %s\n", 100 * chances.data<float>()[i], pictures.classes()[number].c_str());
  }

  // The file is plain safetensors: any tensors may be in such a file, and any can be taken out of it.
  const nn::TensorFile file = nn::load_tensors("model.safetensors");
  const Tensor& weight = file.tensors.at("conv1.weight");
  std::printf("conv1.weight in the file %s, as PyTorch has it; %zu tensors in all\n", to_string(weight.shape()).c_str(),
              file.tensors.size());

  // A file that does not fit is refused as a whole, and the model stays as it was.
  nn::AnyModule other = nn::models::make("lecture_cnn", 20);
  try {
    nn::load(other, "model.safetensors");
  } catch (const FileError& error) {
    std::printf("%s\n", error.what());
  }
} catch (const std::exception& error) {
  std::fprintf(stderr, "08_inference_and_files: %s\n", error.what());
  return 1;
}
