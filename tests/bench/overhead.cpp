// bench_overhead: what the library costs around a tiny op. A chain of multiplications of two floats, whose arithmetic
// takes no time, not recorded, recorded, and recorded and played back.
//   bench_overhead [--threads N] [--json] [--budget SECONDS]
#include <tapestry/autograd/backward.h>
#include <tapestry/autograd/grad_mode.h>
#include <tapestry/ops/binary.h>

#include "bench.h"

namespace {

using namespace tapestry;

constexpr int kChain = 1000;

Tensor chain(Tensor y, const Tensor& w) {
  for (int i = 0; i < kChain; ++i) y = y * w;
  return y;
}

}  // namespace

int main(int argc, char** argv) {
  const bench::Options options = bench::parse_options(argc, argv);
  bench::expect_no_more(options);
  const Tensor w = ones({2});
  const Tensor x = ones({2}, {.requires_grad = true});
  bench::Report report(options);
  const auto row = [&](const char* mode, const auto& f) {
    report.row({{"tiny op", mode}}, {{"time", bench::median_seconds(f, options.budget) / kChain * 1e9, "ns"}});
  };
  row("not recorded", [&] { no_grad([&] { bench::look_at(chain(w, w)); }); });
  row("recorded", [&] { bench::look_at(chain(x, w)); });
  row("recorded, played", [&] { chain(x, w).backward({.gradient = w}); });
}
