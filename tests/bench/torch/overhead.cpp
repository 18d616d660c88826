// LibTorch's cost of a tiny op: the same chain of multiplications of two floats as bench_overhead.
#include "twin.h"

int main(int argc, char** argv) {
  const auto options = twin::parse(argc, argv);
  constexpr int kChain = 1000;
  const torch::Tensor w = torch::ones({2});
  const torch::Tensor x = torch::ones({2}, torch::requires_grad());
  const auto chain = [&](torch::Tensor y) {
    for (int i = 0; i < kChain; ++i) y = y * w;
    return y;
  };
  const auto per_op = [&](const auto& f) { return twin::median_seconds(f, 1.0) / kChain * 1e9; };
  twin::print(options, "tiny op", "not recorded", per_op([&] {
                const torch::NoGradGuard guard;
                chain(w);
              }),
              "ns");
  twin::print(options, "tiny op", "recorded", per_op([&] { chain(x); }), "ns");
  twin::print(options, "tiny op", "recorded, played", per_op([&] { chain(x).backward(w); }), "ns");
}
