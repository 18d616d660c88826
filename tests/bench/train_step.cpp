// bench_train_step: one training step (forward, cross entropy, backward, SGD with momentum), its forward pass alone,
// and inference, of the zoo's models on random images. "forward" is what a step does first: training mode, recorded.
// Memory is what tensors held at most during a step ("peak") and by how much the process grew since its start
// ("process", VmHWM). Faults are minor page faults per step after three steps. Rates are nominal: taps that fall on
// padding count; the peak is that of f32 multiply-adds, measured right before the model. With --bf16 also f32 at high
// and at medium precision, and autocast to bf16. With --plain residual networks also with each op by itself.
//   bench_train_step [--threads N] [--json] [--budget SECONDS] [--batch N] [--bf16] [--plain] [MODEL...]
#include <string>
#include <vector>

#include <tapestry/tapestry.h>

#include "bench.h"
#include "cases.h"
#include "plain_resnet.h"

using namespace tapestry;

namespace {

constexpr Index kClasses = 100;

enum class Composition { zoo, plain };

void run(const std::string& name, Composition composition, Index batch, const bench::Numbers& numbers,
         double base_bytes, const bench::Options& options, bench::Report& report) {
  constexpr int kWarmUp = 3;  // steps until the allocator holds a block for every request
  constexpr int kCounted = 3;
  manual_seed(1);
  empty_cache();  // of the model before
  bench::reset_process_peak();
  const auto flops = bench::flops_of(name, batch);
  const double peak_flops = bench::fma_peak_flops(options.threads);

  const bool plain = composition == Composition::plain;
  nn::AnyModule model = plain ? bench::plain_resnet(name, kClasses) : nn::models::make(name, kClasses);
  const Tensor images = randn({batch, 32, 32, 3});
  const Tensor labels = randint(0, kClasses, {batch});
  optim::SGD sgd(model.parameters(), {.lr = 0.01, .momentum = 0.9, .weight_decay = 5e-4});
  const MatmulPrecisionGuard products(numbers.products);
  const auto forward = [&] {
    const Autocast autocast(numbers.dtype);
    return model(images);
  };
  const auto step = [&] {
    sgd.zero_grad();
    cross_entropy(forward(), labels).backward();
    sgd.step();
  };
  for (int i = 0; i < kWarmUp; ++i) step();
  reset_peak_bytes();
  const long faults = bench::minor_faults();
  for (int i = 0; i < kCounted; ++i) step();
  const double faults_per_step = static_cast<double>(bench::minor_faults() - faults) / kCounted;
  const double peak_bytes = static_cast<double>(memory_stats().peak_bytes);
  const double process_bytes = bench::process_bytes("VmHWM") - base_bytes;

  const double step_seconds = bench::median_seconds(step, options.budget);
  const double forward_seconds = bench::median_seconds([&] { bench::look_at(forward()); }, options.budget / 2);
  model.eval();
  const double inference_seconds = bench::median_seconds(
      [&] {
        const InferenceMode guard;
        bench::look_at(forward());
      },
      options.budget / 2);

  constexpr double kMiB = 1048576;
  const double rate = flops.step / step_seconds;
  report.row({{"model", name + (plain ? ", plain" : "")},
              {"batch", std::to_string(batch)},
              {"precision", numbers.dtype == bf16 ? "bf16 autocast" : numbers.name}},
             {{"step", step_seconds * 1e3, "ms"},
              {"images", static_cast<double>(batch) / step_seconds, "1/s"},
              {"forward", forward_seconds * 1e3, "ms"},
              {"inference", inference_seconds * 1e3, "ms"},
              {"peak", peak_bytes / kMiB, "MiB"},
              {"process", process_bytes / kMiB, "MiB"},
              {"faults", faults_per_step, ""},
              {"nominal", flops.step * 1e-9, "GFLOP"},
              {"rate", rate * 1e-9, "GFLOP/s"},
              {"of peak", rate / peak_flops, ""}});
}

}  // namespace

int main(int argc, char** argv) {
  bench::Options options = bench::parse_options(argc, argv, 5);
  const bool lower = bench::take_flag(options, "--bf16"), plain = bench::take_flag(options, "--plain");
  const bench::ModelChoice choice = bench::parse_model_choice(options, nn::models::names(), bench::default_models());
  const double base_bytes = bench::process_bytes("VmRSS");
  bench::Report report(options, 16);
  report.note("training steps, " + std::to_string(options.threads) + " threads");
  for (const std::string& name : choice.models) {
    for (const Composition composition : {Composition::zoo, Composition::plain}) {
      if (composition == Composition::plain && !(plain && bench::is_resnet(name))) continue;
      run(name, composition, choice.batch, bench::kF32, base_bytes, options, report);
      if (!lower) continue;
      for (const bench::Numbers& numbers : bench::kLowerNumbers) {
        run(name, composition, choice.batch, numbers, base_bytes, options, report);
      }
    }
  }
}
