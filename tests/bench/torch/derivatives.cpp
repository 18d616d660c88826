// torch_derivatives: LibTorch's time for what bench_derivatives measures, as far as LibTorch has it in C++: a gradient,
// a Hessian-vector product by differentiating twice in reverse, and a Jacobian by as many gradients as it has rows.
//   torch_derivatives [--threads N] [--json] [--budget SECONDS]
#include "models.h"
#include "twin.h"

namespace bench = twin::bench;

namespace {

struct Case {
  twin::nn::Sequential net;
  torch::Tensor images, labels;
  std::vector<torch::Tensor> parameters, directions;

  Case(long batch, bool training, const twin::Layout& layout)
      : net(twin::make("resnet20")),
        images(torch::randn({batch, 3, 32, 32}).contiguous(layout.format)),
        labels(torch::randint(0, 100, {batch}, torch::kLong)) {
    net->train(training);
    for (torch::Tensor& p : net->parameters()) {
      if (p.dim() == 4) p.set_data(p.data().contiguous(layout.format));
      parameters.push_back(p);
      directions.push_back(torch::randn_like(p));
    }
  }
  [[nodiscard]] torch::Tensor loss() { return twin::nn::functional::cross_entropy(net->forward(images), labels); }
};

}  // namespace

int main(int argc, char** argv) {
  const bench::Options options = twin::parse(argc, argv, 3);
  bench::Report report = twin::report(options, "derivatives", 52);
  const auto row = [&](const std::string& what, const std::string& beside, const twin::Layout& layout, const auto& f,
                       const auto& g) {
    f();
    g();
    const double own = bench::median_seconds(f, options.budget), base = bench::median_seconds(g, options.budget);
    report.row({{"what", what}, {"beside", beside}, {"layout", layout.name}},
               {{"time", own * 1e3, "ms"}, {"base", base * 1e3, "ms"}, {"ratio", own / base, ""}});
  };
  for (const twin::Layout& layout : twin::kLayouts) {
    torch::manual_seed(1);
    for (const bool training : {false, true}) {
      Case c(32, training, layout);
      const auto hessian_vector = [&] {
        const auto first = torch::autograd::grad({c.loss()}, c.parameters, {}, true, true);
        torch::autograd::grad(first, c.parameters, c.directions);
      };
      const auto gradient = [&] { torch::autograd::grad({c.loss()}, c.parameters); };
      row(std::string("hvp by the weights, ResNet-20, 32 images") + (training ? ", training" : ", eval"), "gradient",
          layout, hessian_vector, gradient);
    }
    Case one(1, false, layout);
    one.images.requires_grad_(true);
    const auto all_vjps = [&] {
      const torch::Tensor v = torch::zeros({1, 100});
      for (int i = 0; i < 100; ++i) torch::autograd::grad({one.net->forward(one.images)}, {one.images}, {v});
    };
    const auto jacobian = [&] {
      const torch::Tensor y = one.net->forward(one.images);
      for (int i = 0; i < 100; ++i) {
        torch::Tensor v = torch::zeros({1, 100});
        v[0][i] = 1;
        torch::autograd::grad({y}, {one.images}, {v}, true);
      }
    };
    row("jacobian, ResNet-20, 100 outputs", "100 vjp", layout, jacobian, all_vjps);
  }
}
