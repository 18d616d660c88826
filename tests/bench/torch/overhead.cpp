// torch_overhead: LibTorch's cost of a tiny op, the same chain of multiplications of two floats as bench_overhead.
//   torch_overhead [--threads N] [--json] [--budget SECONDS]
#include "twin.h"

int main(int argc, char** argv) {
  const auto options = twin::parse(argc, argv);
  twin::bench::expect_no_more(options);
  constexpr int kChain = 1000;
  const torch::Tensor w = torch::ones({2});
  const torch::Tensor x = torch::ones({2}, torch::requires_grad());
  const auto chain = [&](torch::Tensor y) {
    for (int i = 0; i < kChain; ++i) y = y * w;
    return y;
  };
  auto report = twin::report(options, "tiny ops");
  const auto row = [&](const char* mode, const auto& f) {
    report.row({{"tiny op", mode}, {"layout", twin::kNoLayout}},
               {{"time", twin::bench::median_seconds(f, options.budget) / kChain * 1e9, "ns"}});
  };
  row("not recorded", [&] {
    const torch::NoGradGuard guard;
    chain(w);
  });
  row("recorded", [&] { chain(x); });
  row("recorded, played", [&] { chain(x).backward(w); });
}
