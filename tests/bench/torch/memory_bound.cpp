// torch_memory_bound: LibTorch's ops of bench_memory_bound, with outputs allocated by the op, in both image layouts
// where ops look at images. GB/s are over the same traffic, which LibTorch's own algorithms may exceed.
//   torch_memory_bound [--threads N] [--json] [--budget SECONDS] [--only TEXT]
#include "twin.h"

namespace {

namespace bench = twin::bench;
namespace F = torch::nn::functional;

class Runner {
 public:
  explicit Runner(const bench::Options& options)
      : options_(options),
        only_(bench::parse_only(options)),
        report_(twin::report(options, "ops bound by memory, [128, 64, 32, 32] f32")) {}

  [[nodiscard]] bool wants(const char* op) const { return std::string_view(op).find(only_) != std::string_view::npos; }

  template <class Call>
  void time(const char* op, const char* pass, const Call& f, const char* layout = twin::kNoLayout) {
    if (!wants(op)) return;
    constexpr int kWarmUp = 12;  // malloc grows for some calls of this size before it finds what was freed
    const bench::Measured m = bench::measure(f, options_.budget, kWarmUp);
    report_.row({{"op", op}, {"pass", pass}, {"layout", layout}},
                {{"time", m.seconds * 1e3, "ms"},
                 {"rate", bench::traffic_bytes(op, pass) / m.seconds * 1e-9, "GB/s"},
                 {"faults", m.faults, ""}});
  }

  /// Forward, recorded, and backward alone, with a gradient dy of y's shape and layout.
  template <class Forward>
  void both(const char* op, const std::vector<torch::Tensor>& leaves, const Forward& forward,
            const char* layout = twin::kNoLayout) {
    if (!wants(op)) return;
    time(
        op, "forward", [&] { forward(); }, layout);
    const torch::Tensor y = forward();
    const torch::Tensor dy = torch::randn_like(y);
    time(
        op, "backward", [&] { torch::autograd::grad({y}, leaves, {dy}, /*retain_graph=*/true); }, layout);
  }

 private:
  bench::Options options_;
  std::string only_;
  bench::Report report_;
};

torch::Tensor leaf(const torch::Tensor& x) { return x.detach().requires_grad_(); }

void images(Runner& runner, const twin::Layout& layout) {
  const torch::Tensor x =
      leaf(torch::randn({bench::kImages, bench::kImageChannels, bench::kImageSize, bench::kImageSize})
               .contiguous(layout.format));
  runner.both(
      "max_pool2d", {x},
      [&] {
        return at::max_pool2d(x, {2, 2});
      },
      layout.name);

  const int64_t channels = bench::kImageChannels;
  const torch::Tensor weight = leaf(torch::ones({channels})), bias = leaf(torch::zeros({channels}));
  const torch::Tensor mean = torch::zeros({channels}), var = torch::ones({channels});
  const auto norm = [&] { return at::batch_norm(x, weight, bias, mean, var, true, 0.1, 1e-5, false); };
  runner.both("batch_norm", {x, weight, bias}, norm, layout.name);
  runner.both(
      "batch_norm, relu", {x, weight, bias}, [&] { return norm().relu_(); }, layout.name);
  const torch::Tensor residual = leaf(torch::randn_like(x));
  runner.both(
      "batch_norm, add, relu", {x, weight, bias, residual}, [&] { return (norm() + residual).relu_(); }, layout.name);
  runner.both(
      "global_avg_pool2d", {x},
      [&] {
        return at::adaptive_avg_pool2d(x, {1, 1});
      },
      layout.name);
}

/// A step of an optimizer with one parameter, whose gradient stays.
template <class Optimizer, class Options>
void step(Runner& runner, const char* op, const Options& options) {
  if (!runner.wants(op)) return;
  torch::Tensor parameter =
      leaf(torch::randn({bench::kImages, bench::kImageSize, bench::kImageSize, bench::kImageChannels}));
  parameter.mutable_grad() = torch::randn_like(parameter);
  Optimizer optimizer({parameter}, options);
  runner.time(op, "step", [&] { optimizer.step(); });
}

}  // namespace

int main(int argc, char** argv) {
  const bench::Options options = twin::parse(argc, argv);
  torch::manual_seed(1);
  Runner runner(options);
  const auto image = [] {
    return torch::randn({bench::kImages, bench::kImageSize, bench::kImageSize, bench::kImageChannels});
  };
  const torch::Tensor x = leaf(image()), other = image();
  runner.both("relu", {x}, [&] { return at::relu(x); });
  runner.time("add", "forward", [&] { at::add(x, other); });
  runner.time("mul", "forward", [&] { at::mul(x, other); });
  for (const twin::Layout& layout : twin::kLayouts) images(runner, layout);
  runner.time("sum", "forward", [&] { x.sum(); });
  const torch::Tensor rows =
      leaf(torch::randn({bench::kImages * bench::kImageSize * bench::kImageSize, bench::kImageChannels}));
  runner.both("softmax", {rows}, [&] { return at::softmax(rows, 1); });
  const torch::Tensor logits = leaf(torch::randn({bench::kLogitRows, bench::kLogitClasses}));
  const torch::Tensor labels = torch::randint(0, bench::kLogitClasses, {bench::kLogitRows}, torch::kLong);
  runner.time("cross_entropy", "forward, backward",
              [&] { torch::autograd::grad({F::cross_entropy(logits, labels)}, {logits}); });
  runner.both("dropout", {x}, [&] { return at::dropout(x, 0.5, true); });
  runner.time("cast to f64", "forward", [&] { other.to(torch::kDouble); });
  step<torch::optim::SGD>(runner, "SGD, momentum", torch::optim::SGDOptions(0.01).momentum(0.9));
  step<torch::optim::AdamW>(runner, "AdamW", torch::optim::AdamWOptions());
}
