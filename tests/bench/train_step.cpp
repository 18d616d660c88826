// bench_train_step: one training step (forward, cross entropy, backward, SGD with momentum) and one inference pass of
// the zoo's models on random images, with the memory they need at their peak.
//   bench_train_step [--threads N] [--json] [--batch N] [--budget SECONDS] [MODEL...]
#include <cstdlib>
#include <string>
#include <vector>

#include <tapestry/tapestry.h>

#include "bench.h"

using namespace tapestry;

int main(int argc, char** argv) {
  const bench::Options options = bench::parse_options(argc, argv);
  Index batch = 128;
  double budget = 5;
  std::vector<std::string> models;
  for (std::size_t i = 0; i < options.rest.size(); ++i) {
    const bool has_value = i + 1 < options.rest.size();
    if (options.rest[i] == "--batch" && has_value) batch = std::atol(options.rest[++i].c_str());
    else if (options.rest[i] == "--budget" && has_value) budget = std::atof(options.rest[++i].c_str());
    else models.push_back(options.rest[i]);
  }
  if (models.empty()) models = {"lecture_cnn", "resnet20", "resnet18"};
  bench::Report report(options);
  for (const std::string& name : models) {
    manual_seed(1);
    auto model = nn::models::make(name, 100);
    const Tensor images = randn({batch, 32, 32, 3});
    const Tensor labels = randint(0, 100, {batch});
    optim::SGD sgd(model.parameters(), {.lr = 0.01, .momentum = 0.9, .weight_decay = 5e-4});
    const auto step = [&] {
      sgd.zero_grad();
      cross_entropy(model(images), labels).backward();
      sgd.step();
    };
    step();
    reset_peak_bytes();
    const double step_seconds = bench::median_seconds(step, budget);
    const double peak = static_cast<double>(memory_stats().peak_bytes);
    model.eval();
    const double inference_seconds =
        bench::median_seconds([&] { no_grad([&] { bench::keep(model(images)); }); }, budget / 2);
    report.row({{"model", name}, {"batch", std::to_string(batch)}},
               {{"step", step_seconds * 1e3, "ms"},
                {"images", static_cast<double>(batch) / step_seconds, "1/s"},
                {"inference", inference_seconds * 1e3, "ms"},
                {"peak", peak / 1048576, "MiB"}});
  }
}
