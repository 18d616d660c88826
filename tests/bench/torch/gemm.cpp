// torch_gemm: LibTorch's matrix products of the shapes of bench_gemm. Transposed operands are views, which it hands to
// its BLAS as such; outputs are allocated by the op.
//   torch_gemm [--threads N] [--json] [--budget SECONDS] [--only TEXT]
#include "twin.h"

namespace {

namespace bench = twin::bench;

void run(const bench::GemmCase& c, const bench::Options& options, bench::Report& report) {
  torch::Tensor a = torch::full(c.transpose_a ? at::IntArrayRef{c.k, c.m} : at::IntArrayRef{c.m, c.k}, 0.5);
  torch::Tensor b = torch::full(c.transpose_b ? at::IntArrayRef{c.n, c.k} : at::IntArrayRef{c.k, c.n}, 0.25);
  if (c.transpose_a) a = a.t();
  if (c.transpose_b) b = b.t();
  const torch::NoGradGuard guard;
  const double time = bench::median_seconds([&] { at::mm(a, b); }, options.budget);
  report.row({{"case", c.name}, {"m x n x k", bench::text(c)}, {"layout", twin::kNoLayout}},
             {{"time", time * 1e3, "ms"}, {"rate", bench::flops(c) / time * 1e-9, "GFLOP/s"}});
}

}  // namespace

int main(int argc, char** argv) {
  const bench::Options options = twin::parse(argc, argv);
  const std::string only = bench::parse_only(options);
  bench::Report report = twin::report(options, "f32 matrix products");
  for (const bench::GemmCase& c : bench::kGemmCases) {
    if (std::string_view(c.name).find(only) != std::string_view::npos) run(c, options, report);
  }
}
