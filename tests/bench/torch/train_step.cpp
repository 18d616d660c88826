// torch_train_step: LibTorch's time for what bench_train_step measures: one training step (forward, cross entropy,
// backward, SGD with momentum), its forward pass alone, and inference, in both of its image layouts, with --bf16 also
// under autocast to bf16. Memory ("process") is by how much the process grew since its start at most (VmHWM), which
// counts the scratch of oneDNN and what malloc keeps; faults are minor page faults per step after three steps.
//   torch_train_step [--threads N] [--json] [--budget SECONDS] [--batch N] [--bf16] [MODEL...]
#include <ATen/autocast_mode.h>
#include <malloc.h>

#include "twin.h"

namespace nn = torch::nn;
namespace bench = twin::bench;

namespace {

nn::Conv2d conv(int in, int out, int kernel, int stride = 1, int padding = 0, bool bias = true) {
  return nn::Conv2d(nn::Conv2dOptions(in, out, kernel).stride(stride).padding(padding).bias(bias));
}

nn::ReLU relu() { return nn::ReLU(nn::ReLUOptions(true)); }  // in place, as torchvision's models have it

nn::Sequential mlp() {
  return nn::Sequential(nn::Flatten(), nn::Linear(3072, 1024), relu(), nn::Linear(1024, 1024), relu(),
                        nn::Linear(1024, 100));
}

nn::Sequential lecture(bool norm) {
  nn::Sequential net;
  int in = 3;
  for (const int out : {32, 64, 128}) {
    net->push_back(conv(in, out, 3, 1, 1, !norm));
    if (norm) net->push_back(nn::BatchNorm2d(out));
    net->push_back(relu());
    net->push_back(nn::MaxPool2d(2));
    in = out;
  }
  net->push_back(nn::Flatten());
  net->push_back(nn::Linear(2048, 256));
  net->push_back(relu());
  net->push_back(nn::Linear(256, 100));
  return net;
}

struct BlockImpl : nn::Module {
  BlockImpl(int in, int out, int stride)
      : conv1(register_module("conv1", conv(in, out, 3, stride, 1, false))),
        conv2(register_module("conv2", conv(out, out, 3, 1, 1, false))),
        bn1(register_module("bn1", nn::BatchNorm2d(out))),
        bn2(register_module("bn2", nn::BatchNorm2d(out))) {
    if (stride != 1 || in != out) {
      shortcut = register_module("shortcut", nn::Sequential(conv(in, out, 1, stride, 0, false), nn::BatchNorm2d(out)));
    }
  }
  torch::Tensor forward(const torch::Tensor& x) {
    torch::Tensor y = bn1(conv1(x));
    y = bn2(conv2(y.relu_()));
    y += shortcut ? shortcut->forward(x) : x;
    return y.relu_();
  }
  nn::Conv2d conv1, conv2;
  nn::BatchNorm2d bn1, bn2;
  nn::Sequential shortcut{nullptr};
};
TORCH_MODULE(Block);

nn::Sequential resnet(const std::vector<int>& widths, int blocks) {
  nn::Sequential net(conv(3, widths[0], 3, 1, 1, false), nn::BatchNorm2d(widths[0]), relu());
  int in = widths[0];
  for (std::size_t stage = 0; stage < widths.size(); ++stage) {
    for (int b = 0; b < blocks; ++b) {
      net->push_back(Block(in, widths[stage], stage > 0 && b == 0 ? 2 : 1));
      in = widths[stage];
    }
  }
  net->push_back(nn::AdaptiveAvgPool2d(1));
  net->push_back(nn::Flatten());
  net->push_back(nn::Linear(in, 100));
  return net;
}

nn::Sequential vgg16() {
  nn::Sequential net;
  int in = 3;
  for (const int out : {64, 64, 0, 128, 128, 0, 256, 256, 256, 0, 512, 512, 512, 0, 512, 512, 512, 0}) {
    if (out == 0) {
      net->push_back(nn::MaxPool2d(2));
      continue;
    }
    net->push_back(conv(in, out, 3, 1, 1));
    net->push_back(nn::BatchNorm2d(out));
    net->push_back(relu());
    in = out;
  }
  net->push_back(nn::Flatten());
  net->push_back(nn::Linear(512, 100));
  return net;
}

const std::vector<std::string> kModels{"mlp", "lecture_cnn", "lecture_cnn_bn", "resnet20", "resnet18", "vgg16_bn"};

nn::Sequential make(const std::string& name) {
  if (name == "mlp") return mlp();
  if (name == "lecture_cnn") return lecture(false);
  if (name == "lecture_cnn_bn") return lecture(true);
  if (name == "resnet20") return resnet({16, 32, 64}, 3);
  if (name == "resnet18") return resnet({64, 128, 256, 512}, 2);
  return vgg16();
}

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
  const bench::ModelChoice choice = bench::parse_model_choice(options, kModels, bench::default_models());
  const double base_bytes = bench::process_bytes("VmRSS");
  bench::Report report = twin::report(options, "training steps", 16);
  for (const std::string& name : choice.models) {
    for (const twin::Layout& layout : twin::kLayouts) {
      run(name, choice.batch, layout, false, base_bytes, options, report);
      if (bf16) run(name, choice.batch, layout, true, base_bytes, options, report);
    }
  }
}
