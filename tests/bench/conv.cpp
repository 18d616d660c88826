// bench_conv: convolutions and their gradients in f32, through the public API, outputs allocated by the op, batch 128
// unless --batch or the case says otherwise: milliseconds, GFLOP/s, and the fraction of the multiply-add peak measured
// right before each row. Nominal rates count taps that fall on padding, real ones do not; a kernel that leaves such
// taps out can exceed the peak nominally, never really. The traffic counts images, weights and outputs once: depthwise
// layers and stems are bound by it. With --bf16 also f32 at high and at medium precision, and bf16 tensors; the peak
// stays that of f32 multiply-adds.
//   bench_conv [--threads N] [--json] [--budget SECONDS] [--batch N] [--only TEXT] [--bf16]

#include <tapestry/ops/conv2d.h>
#include <tapestry/ops/instruction_set.h>

#include "bench.h"
#include "cases.h"

namespace {

using namespace tapestry;

void run(const bench::ConvCase& c, Index batch, const bench::Numbers& numbers, const bench::Options& options,
         bench::Report& report) {
  const MatmulPrecisionGuard products(numbers.products);
  const Conv2dOptions conv{.stride = c.stride, .padding = c.padding(), .groups = c.groups};
  const auto filled = [&](const Shape& shape) { return full(shape, 0.25, {.dtype = numbers.dtype}); };
  const Tensor x = filled({batch, c.size, c.size, c.c}), w = filled({c.k, c.kernel, c.kernel, c.c / c.groups});
  const Tensor dy = filled({batch, c.out_size(), c.out_size(), c.k});
  const double bytes = bench::bytes(c, batch) * static_cast<double>(item_bytes(numbers.dtype)) / sizeof(float);
  const double nominal = bench::flops_nominal(c, batch), real = bench::flops_real(c, batch);
  const auto time = [&](const char* pass, const auto& f) {
    const double peak = bench::fma_peak_flops(options.threads);
    const double t = bench::median_seconds([&] { bench::look_at(f()); }, options.budget);
    report.row({{"layer", c.name},
                {"shape", bench::text(c) + " x" + std::to_string(batch)},
                {"pass", pass},
                {"precision", numbers.name}},
               {{"time", t * 1e3, "ms"},
                {"nominal", nominal / t * 1e-9, "GFLOP/s"},
                {"real", real / t * 1e-9, "GFLOP/s"},
                {"nominal / peak", nominal / t / peak, ""},
                {"real / peak", real / t / peak, ""},
                {"traffic", bytes / t * 1e-9, "GB/s"}});
  };
  time("forward", [&] { return conv2d(x, w, {}, conv); });
  time("input grad", [&] { return conv2d_input_grad(dy, w, x.shape(), conv); });
  time("weight grad", [&] { return conv2d_weight_grad(x, dy, w.shape(), conv); });
}

}  // namespace

int main(int argc, char** argv) {
  bench::Options options = bench::parse_options(argc, argv);
  const bool lower = bench::take_flag(options, "--bf16");
  const bench::ConvChoice choice = bench::parse_conv_choice(options);
  bench::Report report(options);
  report.note("convolutions, " + std::string(instruction_set()) + ", " + std::to_string(options.threads) + " threads");
  for (const bench::ConvCase& c : bench::kConvCases) {
    if (std::string_view(c.name).find(choice.only) == std::string_view::npos) continue;
    const Index batch = c.batch > 0 ? c.batch : choice.batch;
    run(c, batch, bench::kF32, options, report);
    if (!lower) continue;
    for (const bench::Numbers& numbers : bench::kLowerNumbers) run(c, batch, numbers, options, report);
  }
}
