// torch_conv: LibTorch's f32 convolutions and their gradients, of the shapes of bench_conv, in both of its image
// layouts; outputs are allocated by the op.
//   torch_conv [--threads N] [--json] [--budget SECONDS] [--batch N] [--only TEXT]
#include "twin.h"

namespace {

namespace bench = twin::bench;

void run(const bench::ConvCase& c, long batch, const twin::Layout& layout, const bench::Options& options,
         bench::Report& report) {
  const auto filled = [&](at::IntArrayRef shape) { return torch::full(shape, 0.25).contiguous(layout.format); };
  const torch::Tensor x = filled({batch, c.c, c.size, c.size}), w = filled({c.k, c.c / c.groups, c.kernel, c.kernel});
  const torch::Tensor dy = filled({batch, c.k, c.out_size(), c.out_size()});
  const std::vector<int64_t> stride{c.stride, c.stride}, padding{c.padding(), c.padding()}, dilation{1, 1}, none{0, 0};
  const double nominal = bench::flops_nominal(c, batch), real = bench::flops_real(c, batch);
  const torch::NoGradGuard guard;
  const auto time = [&](const char* pass, const auto& f) {
    const double t = bench::median_seconds(f, options.budget);
    report.row(
        {{"layer", c.name},
         {"shape", bench::text(c) + " x" + std::to_string(batch)},
         {"pass", pass},
         {"layout", layout.name}},
        {{"time", t * 1e3, "ms"}, {"nominal", nominal / t * 1e-9, "GFLOP/s"}, {"real", real / t * 1e-9, "GFLOP/s"}});
  };
  // What autograd calls, with one of the gradients of input, weight and bias asked for.
  const auto backward = [&](const std::array<bool, 3>& wanted) {
    at::convolution_backward(dy, x, w, at::nullopt, stride, padding, dilation, false, none, c.groups, wanted);
  };
  time("forward", [&] { at::conv2d(x, w, {}, stride, padding, dilation, c.groups); });
  time("input grad", [&] { backward({true, false, false}); });
  time("weight grad", [&] { backward({false, true, false}); });
}

}  // namespace

int main(int argc, char** argv) {
  const bench::Options options = twin::parse(argc, argv);
  const bench::ConvChoice choice = bench::parse_conv_choice(options);
  bench::Report report = twin::report(options, "f32 convolutions");
  for (const bench::ConvCase& c : bench::kConvCases) {
    if (std::string_view(c.name).find(choice.only) == std::string_view::npos) continue;
    for (const twin::Layout& layout : twin::kLayouts) {
      run(c, c.batch > 0 ? c.batch : choice.batch, layout, options, report);
    }
  }
}
