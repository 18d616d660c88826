// bench_derivatives: what derivatives cost beside what they are derivatives of, in the same run: a jvp beside a forward
// pass, a Hessian-vector product beside a gradient, gradients per sample beside those of the batch, a Jacobian beside
// as many gradients, a checkpointed step beside a plain one (time, and memory held by tensors at most), a gradient
// check.
//   bench_derivatives [--threads N] [--json] [--budget SECONDS]
#include <string>
#include <vector>

#include <tapestry/tapestry.h>

#include "bench.h"

using namespace tapestry;

namespace {

constexpr Index kClasses = 100;

struct Case {
  nn::AnyModule model;
  Tensor images, labels;
  std::vector<Tensor> parameters, directions;

  Case(const char* name, Index batch, bool training)
      : model(nn::models::make(name, kClasses)),
        images(randn({batch, 32, 32, 3})),
        labels(randint(0, kClasses, {batch})) {
    model.train(training);
    for (const Tensor& p : model.parameters()) {
      parameters.push_back(p.detach());
      directions.push_back(randn(p.shape()));
    }
  }
  [[nodiscard]] Tensor loss(const std::vector<Tensor>& at) const {
    return cross_entropy(nn::functional_call(model, at, images), labels);
  }
  void gradient() const {
    model.zero_grad();
    cross_entropy(model(images), labels).backward();
    bench::look_at(model.parameters().front().grad());
  }
};

class Table {
 public:
  Table(const bench::Options& options, bench::Report& report) : options_(options), report_(report) {}

  template <class F, class G>
  void row(const std::string& what, const std::string& beside, const F& f, const G& g, double bound) {
    f();
    g();
    const double own = bench::median_seconds(f, options_.budget), base = bench::median_seconds(g, options_.budget);
    report_.row(
        {{"what", what}, {"beside", beside}},
        {{"time", own * 1e3, "ms"}, {"base", base * 1e3, "ms"}, {"ratio", own / base, ""}, {"goal", bound, ""}});
  }

 private:
  const bench::Options& options_;
  bench::Report& report_;
};

std::int64_t peak_of(const Case& c) {
  c.gradient();
  reset_peak_bytes();
  const std::int64_t before = memory_stats().live_bytes;
  c.gradient();
  return memory_stats().peak_bytes - before;
}

}  // namespace

int main(int argc, char** argv) {
  const bench::Options options = bench::parse_options(argc, argv, 3);
  if (!options.rest.empty()) bench::usage_error("the flags are " + std::string(bench::kCommonFlags));
  bench::Report report(options, 52);
  Table table(options, report);
  manual_seed(1);

  for (const bool training : {false, true}) {
    const Case c("resnet20", 32, training);
    const std::string name = std::string("ResNet-20, 32 images") + (training ? ", training" : ", eval");
    const auto forward = [&] { no_grad([&] { bench::look_at(c.model(c.images)); }); };
    const auto by_input = [&] { bench::look_at(jvp([&](const Tensor& x) { return c.model(x); }, c.images, c.images)); };
    const auto by_weights = [&] {
      bench::look_at(jvp([&](const std::vector<Tensor>& p) { return c.loss(p); }, c.parameters, c.directions));
    };
    const auto hessian_vector = [&] {
      bench::look_at(hvp([&](const std::vector<Tensor>& p) { return c.loss(p); }, c.parameters, c.directions).front());
    };
    table.row("jvp by the images, " + name, "forward", by_input, forward, 2.5);
    table.row("jvp by the weights, " + name, "forward", by_weights, forward, 2.5);
    table.row(
        "hvp by the weights, " + name, "gradient", hessian_vector, [&] { c.gradient(); }, 2.5);
  }
  const auto sample_loss = [](const nn::AnyModule& m, const std::vector<Tensor>& s) {
    return cross_entropy(m(s[0]), s[1]);
  };
  for (const auto& [name, bound] : {std::pair("resnet20", 1.5), std::pair("mlp", 1.2)}) {
    const Case c(name, 128, false);
    table.row(
        std::string("gradients per sample, ") + name + ", 128 images", "gradient",
        [&] {
          bench::look_at(nn::per_sample_grads(sample_loss, c.model, {c.images, c.labels}).front());
        },
        [&] { c.gradient(); }, bound);
  }
  {
    const Case c("resnet20", 1, false);
    const UnaryFunction f = [&](const Tensor& x) { return c.model(x); };
    const auto all_vjps = [&] {
      Tensor v = zeros({1, kClasses});
      for (Index i = 0; i < kClasses; ++i) bench::look_at(vjp(f, c.images, v));
    };
    table.row(
        "jacobian, ResNet-20, 100 outputs", "100 vjp", [&] { bench::look_at(jacobian(f, c.images)); }, all_vjps, 1);
    table.row(
        "jacobian in chunks of 50", "100 vjp", [&] { bench::look_at(jacobian(f, c.images, {.chunk = 50})); }, all_vjps,
        1);
  }
  {
    Case plain("resnet18", 32, true), spared("resnet18", 32, true);
    spared.model.set_checkpointing();
    table.row(
        "checkpointed gradient, ResNet-18, 32 images", "gradient", [&] { spared.gradient(); },
        [&] { plain.gradient(); }, 1.35);
    const auto with = static_cast<double>(peak_of(spared)), without = static_cast<double>(peak_of(plain));
    constexpr double kMiB = 1048576;
    report.row({{"what", "its tensors at most, beyond weights and gradients"}, {"beside", "gradient"}},
               {{"time", with / kMiB, "MiB"},
                {"base", without / kMiB, "MiB"},
                {"ratio", with / without, ""},
                {"goal", 0.45, ""}});
  }
  {
    const Case c("resnet20", 32, true);
    const auto watched = [&] {
      const AnomalyMode on;
      c.gradient();
    };
    table.row(
        "gradient in anomaly mode, ResNet-20, 32 images", "gradient", watched, [&] { c.gradient(); }, 1.5);
  }
  {
    constexpr double kLimit = 2;  // seconds that a test may take
    const auto normal = [](const Shape& shape) { return randn(shape, {.dtype = f64}); };
    const std::vector<Tensor> at{normal({2, 8, 8, 3}), normal({4, 3, 3, 3}), normal({4}), normal({4}),
                                 normal({10, 64})};
    const Tensor labels = tensor({3, 7});
    const auto stack = [&](const std::vector<Tensor>& x) {
      const Tensor mean = zeros({4}, {.dtype = f64}), variance = ones({4}, {.dtype = f64});
      const Tensor y =
          batch_norm(conv2d(x[0], x[1], {.padding = 1}),
                     {.running_mean = mean, .running_var = variance, .weight = x[2], .bias = x[3]}, {.training = true});
      return cross_entropy(linear(flatten(max_pool2d(relu(y))), x[4]), labels);
    };
    check_grads(stack, at, {.order = 2});
    const double time = bench::median_seconds([&] { check_grads(stack, at, {.order = 2}); }, options.budget);
    report.row(
        {{"what", "check_grads to order 2, conv - norm - relu - pool - fc, 8 x 8"}, {"beside", "2 s"}},
        {{"time", time * 1e3, "ms"}, {"base", kLimit * 1e3, "ms"}, {"ratio", time / kLimit, ""}, {"goal", 1, ""}});
  }
  return 0;
}
