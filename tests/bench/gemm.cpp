// Matrix products: milliseconds, GFLOP/s, and the fraction of the multiply-add peak measured right beside each row.

#include <tapestry/ops/kernels/gemm.h>

#include "bench.h"

namespace {

using namespace tapestry;

struct Case {
  const char* name;
  bool ta, tb;
  Index m, n, k;
};

constexpr Case kCases[] = {
    {"square", false, false, 32, 32, 32},
    {"square", false, false, 64, 64, 64},
    {"square", false, false, 128, 128, 128},
    {"square", false, false, 256, 256, 256},
    {"square", false, false, 512, 512, 512},
    {"square", false, false, 1024, 1024, 1024},
    {"square, a transposed", true, false, 1024, 1024, 1024},
    {"square, b transposed", false, true, 1024, 1024, 1024},
    {"square", false, false, 2048, 2048, 2048},
    {"linear 512>10 forward", false, true, 128, 10, 512},
    {"linear 512>10 dx", false, false, 128, 512, 10},
    {"linear 512>10 dw", true, false, 10, 512, 128},
    {"linear 512>100 forward", false, true, 128, 100, 512},
    {"linear 4096>100 forward", false, true, 128, 100, 4096},
    {"linear 4096>100 dx", false, false, 128, 4096, 100},
    {"linear 4096>100 dw", true, false, 100, 4096, 128},
    {"linear 2048>256 forward", false, true, 128, 256, 2048},
    {"linear 512>512, one row", false, true, 1, 512, 512},
};

void run(const Case& c, const bench::Options& options, bench::Report& report) {
  const std::vector<float> a(static_cast<std::size_t>(c.m * c.k), 0.5F), b(static_cast<std::size_t>(c.k * c.n), 0.25F);
  std::vector<float> y(static_cast<std::size_t>(c.m * c.n));
  const double peak = bench::fma_peak_flops(options.threads);
  const double time = bench::median_seconds(
      [&] { kernels::gemm<float>(c.ta, c.tb, c.m, c.n, c.k, a.data(), b.data(), nullptr, y.data()); });
  const double rate = 2.0 * static_cast<double>(c.m) * static_cast<double>(c.n) * static_cast<double>(c.k) / time;
  const std::string size = std::to_string(c.m) + "x" + std::to_string(c.n) + "x" + std::to_string(c.k);
  report.row({{"case", c.name}, {"m x n x k", size}},
             {{"time", time * 1e3, "ms"}, {"rate", rate * 1e-9, "GFLOP/s"}, {"fraction of peak", rate / peak, ""}});
}

}  // namespace

int main(int argc, char** argv) {
  const bench::Options options = bench::parse_options(argc, argv);
  bench::Report report(options);
  report.note(std::string("f32 matrix products, ") + kernels::simd_target() + ", " + std::to_string(options.threads) +
              " threads");
  for (const Case& c : kCases) run(c, options, report);
}
