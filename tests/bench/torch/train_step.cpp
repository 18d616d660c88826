// torch_train_step: LibTorch's time for what bench_train_step measures: one training step (forward, cross entropy,
// backward, SGD with momentum), its forward pass alone, and inference, in both of its image layouts, with --bf16 also
// under autocast to bf16. Memory ("process") is by how much the process grew since its start at most (VmHWM), which
// counts the scratch of oneDNN and what malloc keeps; faults are minor page faults per step after three steps.
//   torch_train_step [--threads N] [--json] [--budget SECONDS] [--batch N] [--bf16] [MODEL...]
#include <ATen/autocast_mode.h>
#include <malloc.h>

#include "models.h"
#include "twin.h"

namespace nn = torch::nn;
namespace bench = twin::bench;
using twin::make;

namespace {

/// Autocast to bf16 for the time of a scope, if wanted. The end forgets the weights that were converted.
class Autocast {
 public:
  explicit Autocast(bool wanted) {
    if (!wanted) return;
    at::autocast::set_autocast_cpu_dtype(at::kBFloat16);
    at::autocast::set_cpu_enabled(true);
  }
  ~Autocast() {
    at::autocast::set_cpu_enabled(false);
    at::autocast::clear_cache();
  }
  Autocast(const Autocast&) = delete;
  Autocast& operator=(const Autocast&) = delete;
};

void run(const std::string& name, long batch, const twin::Layout& layout, bool bf16, double base_bytes,
         const bench::Options& options, bench::Report& report) {
  constexpr int kWarmUp = 3, kCounted = 3;  // as bench_train_step
  torch::manual_seed(1);
  malloc_trim(0);  // what malloc kept of the model before
  bench::reset_process_peak();
  nn::Sequential net = make(name);
  const torch::Tensor images = torch::randn({batch, 3, 32, 32}).contiguous(layout.format);
  for (torch::Tensor& p : net->parameters()) {
    if (p.dim() == 4) p.set_data(p.data().contiguous(layout.format));
  }
  const torch::Tensor labels = torch::randint(0, 100, {batch}, torch::kLong);
  const std::vector<torch::Tensor> parameters = net->parameters();
  torch::optim::SGD sgd(parameters, torch::optim::SGDOptions(0.01).momentum(0.9).weight_decay(5e-4));
  const auto forward = [&] {
    const Autocast autocast(bf16);
    return net->forward(images);
  };
  const auto step = [&] {
    for (const torch::Tensor& p : parameters) p.mutable_grad().reset();  // cheaper than zero_grad(), which fills
    nn::functional::cross_entropy(forward().to(torch::kFloat), labels).backward();
    sgd.step();
  };
  for (int i = 0; i < kWarmUp; ++i) step();
  const long faults = bench::minor_faults();
  for (int i = 0; i < kCounted; ++i) step();
  const double faults_per_step = static_cast<double>(bench::minor_faults() - faults) / kCounted;
  const double process_bytes = bench::process_bytes("VmHWM") - base_bytes;

  const double step_seconds = bench::median_seconds(step, options.budget);
  const double forward_seconds = bench::median_seconds(forward, options.budget / 2);
  net->eval();
  const double inference_seconds = bench::median_seconds(
      [&] {
        const c10::InferenceMode guard;
        forward();
      },
      options.budget / 2);
  const double rate = bench::flops_of(name, batch).step / step_seconds;
  report.row({{"model", name},
              {"batch", std::to_string(batch)},
              {"layout", layout.name},
              {"precision", bf16 ? "bf16 autocast" : "f32"}},
             {{"step", step_seconds * 1e3, "ms"},
              {"images", static_cast<double>(batch) / step_seconds, "1/s"},
              {"forward", forward_seconds * 1e3, "ms"},
              {"inference", inference_seconds * 1e3, "ms"},
              {"process", process_bytes / 1048576, "MiB"},
              {"faults", faults_per_step, ""},
              {"rate", rate * 1e-9, "GFLOP/s"}});
}

}  // namespace

int main(int argc, char** argv) {
  bench::Options options = twin::parse(argc, argv, 5);
  const bool bf16 = bench::take_flag(options, "--bf16");
  const bench::ModelChoice choice = bench::parse_model_choice(options, twin::kModels, bench::default_models());
  const double base_bytes = bench::process_bytes("VmRSS");
  bench::Report report = twin::report(options, "training steps", 16);
  for (const std::string& name : choice.models) {
    for (const twin::Layout& layout : twin::kLayouts) {
      run(name, choice.batch, layout, false, base_bytes, options, report);
      if (bf16) run(name, choice.batch, layout, true, base_bytes, options, report);
    }
  }
}
