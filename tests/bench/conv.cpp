// Convolutions and their gradients, batch 128 unless --batch says otherwise: milliseconds, GFLOP/s (nominal: taps that
// fall on padding count), and the fraction of the multiply-add peak measured right beside each row.

#include <tapestry/ops/kernels/conv2d.h>
#include <tapestry/ops/kernels/gemm.h>

#include "bench.h"

namespace {

using namespace tapestry;

struct Case {
  const char* name;
  Index size, c, k, kernel, stride, groups;
};

constexpr Case kCases[] = {
    {"resnet18 stage 1", 32, 64, 64, 3, 1, 1},
    {"resnet18 stage 2", 16, 128, 128, 3, 1, 1},
    {"resnet18 stage 3", 8, 256, 256, 3, 1, 1},
    {"resnet18 stage 4", 4, 512, 512, 3, 1, 1},
    {"resnet18 stem", 32, 3, 64, 3, 1, 1},
    {"resnet18 down 2", 32, 64, 128, 3, 2, 1},
    {"resnet18 down 3", 16, 128, 256, 3, 2, 1},
    {"resnet18 down 4", 8, 256, 512, 3, 2, 1},
    {"resnet18 shortcut 2", 32, 64, 128, 1, 2, 1},
    {"resnet18 shortcut 4", 8, 256, 512, 1, 2, 1},
    {"resnet20 stem", 32, 3, 16, 3, 1, 1},
    {"resnet20 stage 1", 32, 16, 16, 3, 1, 1},
    {"resnet20 stage 2", 16, 32, 32, 3, 1, 1},
    {"resnet20 stage 3", 8, 64, 64, 3, 1, 1},
    {"resnet20 down 2", 32, 16, 32, 3, 2, 1},
    {"resnet20 down 3", 16, 32, 64, 3, 2, 1},
    {"lecture 1", 32, 3, 32, 3, 1, 1},
    {"lecture 2", 16, 32, 64, 3, 1, 1},
    {"lecture 3", 8, 64, 128, 3, 1, 1},
    {"vgg16 last", 2, 512, 512, 3, 1, 1},
    {"pointwise", 16, 256, 256, 1, 1, 1},
    {"grouped by 4", 16, 128, 128, 3, 1, 4},
    {"depthwise", 16, 256, 256, 3, 1, 256},
};

kernels::Conv2dShape shape_of(const Case& c, Index batch) {
  const Index pad = c.kernel / 2, out = (c.size + 2 * pad - c.kernel) / c.stride + 1;
  return {batch, c.size, c.size, c.c, c.k, c.kernel, c.kernel, out, out, c.stride, c.stride, pad, pad, 1, 1, c.groups};
}

std::string text(const kernels::Conv2dShape& s) {
  return std::to_string(s.c) + ">" + std::to_string(s.k) + " " + std::to_string(s.r) + "x" + std::to_string(s.s) + "/" +
         std::to_string(s.stride_h) + " @" + std::to_string(s.h);
}

void run(const Case& c, Index batch, const bench::Options& options, bench::Report& report) {
  const kernels::Conv2dShape s = shape_of(c, batch);
  const auto filled = [](Index count) { return std::vector<float>(static_cast<std::size_t>(count), 0.25F); };
  auto x = filled(s.n * s.h * s.w * s.c), w = filled(s.k * s.r * s.s * (s.c / s.groups)),
       y = filled(s.n * s.oh * s.ow * s.k);
  auto dx = x, dw = w;
  const double flops = 2.0 * static_cast<double>(y.size()) * static_cast<double>(s.r * s.s * (s.c / s.groups));
  const auto time = [&](const char* pass, const auto& f) {
    const double peak = bench::fma_peak_flops(options.threads);
    const double t = bench::median_seconds(f);
    report.row(
        {{"layer", c.name}, {"shape", text(s)}, {"pass", pass}},
        {{"time", t * 1e3, "ms"}, {"rate", flops / t * 1e-9, "GFLOP/s"}, {"fraction of peak", flops / t / peak, ""}});
  };
  time("forward", [&] { kernels::conv2d<float>(s, x.data(), w.data(), nullptr, y.data()); });
  time("input grad", [&] { kernels::conv2d_input_grad<float>(s, y.data(), w.data(), dx.data()); });
  time("weight grad", [&] { kernels::conv2d_weight_grad<float>(s, x.data(), y.data(), dw.data()); });
}

/// --batch N and --only TEXT (a part of the layer's name).
struct Choice {
  Index batch = 128;
  std::string only;
};

Choice parse_choice(const std::vector<std::string>& rest) {
  Choice choice;
  for (std::size_t i = 0; i < rest.size(); ++i) {
    if (i + 1 < rest.size() && rest[i] == "--only") {
      choice.only = rest[++i];
    } else if (i + 1 < rest.size() && rest[i] == "--batch" && std::atol(rest[i + 1].c_str()) > 0) {
      choice.batch = std::atol(rest[++i].c_str());
    } else {
      std::fprintf(stderr, "bench_conv: takes --threads N, --json, --batch N, --only TEXT; got %s\n", rest[i].c_str());
      std::exit(2);
    }
  }
  return choice;
}

}  // namespace

int main(int argc, char** argv) {
  const bench::Options options = bench::parse_options(argc, argv);
  const Choice choice = parse_choice(options.rest);
  bench::Report report(options);
  report.note(std::string("f32 convolutions, batch ") + std::to_string(choice.batch) + ", " + kernels::simd_target() +
              ", " + std::to_string(options.threads) + " threads");
  for (const Case& c : kCases) {
    if (std::string_view(c.name).find(choice.only) != std::string_view::npos) run(c, choice.batch, options, report);
  }
}
