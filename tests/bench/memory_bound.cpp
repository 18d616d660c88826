// bench_memory_bound: ops whose time is memory traffic, through the public API on 33.5 MB f32 tensors, outputs
// allocated by the op: milliseconds, GB/s over the least traffic the algorithm needs, its fraction of the rate of a
// copy of the same size measured right before (with plain stores, whose lines are read first: an op that avoids that,
// or reads more than it writes, can exceed 1), and minor page faults per call. The traffic of each op is stated in
// cases.h. Forward passes are recorded, as in training, unless the op has no gradient.
//   bench_memory_bound [--threads N] [--json] [--budget SECONDS] [--only TEXT]

#include <tapestry/tapestry.h>

#include "bench.h"
#include "cases.h"

namespace {

using namespace tapestry;

const Shape kImageShape{bench::kImages, bench::kImageSize, bench::kImageSize, bench::kImageChannels};

class Runner {
 public:
  explicit Runner(const bench::Options& options)
      : options_(options), only_(bench::parse_only(options)), report_(options) {
    report_.note("ops bound by memory, [128, 32, 32, 64] f32, " + std::to_string(options.threads) + " threads");
  }

  [[nodiscard]] bool wants(const char* op) const { return std::string_view(op).find(only_) != std::string_view::npos; }

  /// Times f(), which returns a tensor to look at, or nothing.
  template <class F>
  void time(const char* op, const char* pass, const F& f) {
    if (!wants(op)) return;
    const double copy =
        bench::bandwidth(bench::Traffic::copy, 2 * bench::kTensorBytes / options_.threads, options_.threads);
    const auto call = [&] {
      if constexpr (std::is_void_v<decltype(f())>) {
        f();
      } else {
        bench::look_at(f());
      }
    };
    const bench::Measured m = bench::measure(call, options_.budget, 3);
    const double rate = bench::traffic_bytes(op, pass) / m.seconds;
    report_.row({{"op", op}, {"pass", pass}}, {{"time", m.seconds * 1e3, "ms"},
                                               {"rate", rate * 1e-9, "GB/s"},
                                               {"of copy", rate / copy, ""},
                                               {"copy", copy * 1e-9, "GB/s"},
                                               {"faults", m.faults, ""}});
  }

  /// Forward, recorded, and backward alone, with a gradient dy of y's shape.
  template <class F>
  void both(const char* op, const std::vector<Tensor>& leaves, const F& forward) {
    if (!wants(op)) return;
    time(op, "forward", [&] { return forward(); });
    const Tensor y = forward();
    const Tensor dy = randn(y.shape());
    time(op, "backward", [&] {
      for (const Tensor& g : grad(y, leaves, {.grad_outputs = {dy}, .retain_graph = true})) bench::look_at(g);
    });
  }

 private:
  bench::Options options_;
  std::string only_;
  bench::Report report_;
};

/// A step of an optimizer with one parameter of the size of all others here, whose gradient stays.
template <class Optimizer, class Options>
void step(Runner& runner, const char* op, const Options& options) {
  if (!runner.wants(op)) return;
  Tensor parameter = randn(kImageShape);
  parameter.requires_grad(true);
  parameter.set_grad(randn(parameter.shape()));
  Optimizer optimizer({parameter}, options);
  runner.time(op, "step", [&] { optimizer.step(); });
}

void run_all(Runner& runner) {
  const auto leaf = [](Tensor x) { return x.requires_grad(true); };
  const Tensor x = leaf(randn(kImageShape)), other = randn(kImageShape);
  const Index channels = bench::kImageChannels;
  runner.both("relu", {x}, [&] { return relu(x); });
  runner.time("add", "forward", [&] { return x + other; });
  runner.time("mul", "forward", [&] { return x * other; });
  runner.both("max_pool2d", {x}, [&] { return max_pool2d(x, {.kernel = 2}); });

  const Tensor weight = leaf(ones({channels})), bias = leaf(zeros({channels}));
  const Tensor mean = zeros({channels}), var = ones({channels});
  const auto norm = [&](bool then_relu, const Tensor& residual) {
    return batch_norm(x, {.running_mean = mean, .running_var = var, .weight = weight, .bias = bias},
                      {.training = true, .relu = then_relu, .residual = residual});
  };
  const Tensor residual = leaf(randn(kImageShape));
  runner.both("batch_norm", {x, weight, bias}, [&] { return norm(false, {}); });
  runner.both("batch_norm, relu", {x, weight, bias}, [&] { return norm(true, {}); });
  runner.both("batch_norm, add, relu", {x, weight, bias, residual}, [&] { return norm(true, residual); });
  // What it costs to write them as ops of their own.
  runner.both("relu(batch_norm)", {x, weight, bias}, [&] { return relu(norm(false, {})); });
  runner.both("relu(batch_norm + x)", {x, weight, bias, residual}, [&] { return relu(norm(false, {}) + residual); });

  runner.both("global_avg_pool2d", {x}, [&] { return global_avg_pool2d(x); });
  runner.time("sum", "forward", [&] { return sum(x); });
  const Tensor rows = leaf(randn({bench::kImages * bench::kImageSize * bench::kImageSize, channels}));
  runner.both("softmax", {rows}, [&] { return softmax(rows); });
  const Tensor logits = leaf(randn({bench::kLogitRows, bench::kLogitClasses}));
  const Tensor labels = randint(0, bench::kLogitClasses, {bench::kLogitRows});
  runner.time("cross_entropy", "forward, backward", [&] { return grad(cross_entropy(logits, labels), logits); });
  runner.both("dropout", {x}, [&] { return dropout(x, {.p = 0.5}); });
  runner.time("cast to f64", "forward", [&] { return to(other, f64); });

  step<optim::SGD>(runner, "SGD, momentum", optim::SGDOptions{.lr = 0.01, .momentum = 0.9});
  step<optim::AdamW>(runner, "AdamW", optim::AdamWOptions{});
}

}  // namespace

int main(int argc, char** argv) {
  const bench::Options options = bench::parse_options(argc, argv);
  manual_seed(1);
  Runner runner(options);
  run_all(runner);
}
