// bench_gemm: f32 matrix products through the public API, outputs allocated by the op: milliseconds, GFLOP/s, and the
// fraction of the multiply-add peak measured right before each row. The traffic counts operands and result once:
// products of few rows are bound by it.
//   bench_gemm [--threads N] [--json] [--budget SECONDS] [--only TEXT]

#include <tapestry/ops/kernels/gemm.h>
#include <tapestry/ops/matmul.h>

#include "bench.h"
#include "cases.h"

namespace {

using namespace tapestry;

void run(const bench::GemmCase& c, const bench::Options& options, bench::Report& report) {
  const Tensor a = full(c.transpose_a ? Shape{c.k, c.m} : Shape{c.m, c.k}, 0.5);
  const Tensor b = full(c.transpose_b ? Shape{c.n, c.k} : Shape{c.k, c.n}, 0.25);
  const double peak = bench::fma_peak_flops(options.threads);
  const double time = bench::median_seconds(
      [&] { bench::look_at(matmul(a, b, {.transpose_a = c.transpose_a, .transpose_b = c.transpose_b})); },
      options.budget);
  const double rate = bench::flops(c) / time;
  report.row({{"case", c.name}, {"m x n x k", bench::text(c)}}, {{"time", time * 1e3, "ms"},
                                                                 {"rate", rate * 1e-9, "GFLOP/s"},
                                                                 {"fraction of peak", rate / peak, ""},
                                                                 {"traffic", bench::bytes(c) / time * 1e-9, "GB/s"}});
}

}  // namespace

int main(int argc, char** argv) {
  const bench::Options options = bench::parse_options(argc, argv);
  const std::string only = bench::parse_only(options);
  bench::Report report(options);
  report.note(std::string("f32 matrix products, ") + kernels::simd_target() + ", " + std::to_string(options.threads) +
              " threads");
  for (const bench::GemmCase& c : bench::kGemmCases) {
    if (std::string_view(c.name).find(only) != std::string_view::npos) run(c, options, report);
  }
}
