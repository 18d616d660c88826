#include <tapestry/autograd/philox.h>

namespace tapestry {
namespace {

/// kLanes consecutive blocks, word by word, so that the compiler works on a vector of blocks in every step.
template <int kLanes>
[[gnu::always_inline]] inline void run(std::uint64_t key, std::uint64_t counter_low, std::uint64_t counter_high,
                                       std::uint32_t* out) {
  // Multipliers and key increments as published; ten rounds.
  constexpr std::uint64_t m0 = 0xD2511F53U;
  constexpr std::uint64_t m1 = 0xCD9E8D57U;
  auto k0 = static_cast<std::uint32_t>(key);
  auto k1 = static_cast<std::uint32_t>(key >> 32);
  std::uint32_t c0[kLanes], c1[kLanes], c2[kLanes], c3[kLanes];
  for (int i = 0; i < kLanes; ++i) {
    const std::uint64_t low = counter_low + static_cast<std::uint64_t>(i);
    c0[i] = static_cast<std::uint32_t>(low);
    c1[i] = static_cast<std::uint32_t>(low >> 32);
    c2[i] = static_cast<std::uint32_t>(counter_high);
    c3[i] = static_cast<std::uint32_t>(counter_high >> 32);
  }
  for (int round = 0; round < 10; ++round) {
    for (int i = 0; i < kLanes; ++i) {
      const std::uint64_t p0 = m0 * c0[i];
      const std::uint64_t p1 = m1 * c2[i];
      c0[i] = static_cast<std::uint32_t>(p1 >> 32) ^ c1[i] ^ k0;
      c1[i] = static_cast<std::uint32_t>(p1);
      c2[i] = static_cast<std::uint32_t>(p0 >> 32) ^ c3[i] ^ k1;
      c3[i] = static_cast<std::uint32_t>(p0);
    }
    k0 += 0x9E3779B9U;
    k1 += 0xBB67AE85U;
  }
  for (int i = 0; i < kLanes; ++i) {
    out[4 * i] = c0[i];
    out[4 * i + 1] = c1[i];
    out[4 * i + 2] = c2[i];
    out[4 * i + 3] = c3[i];
  }
}

constexpr int kLanes = 64;  // 1 KiB: stays in L1, and loops over it are long enough for any vectors

using Run = void (*)(std::uint64_t key, std::uint64_t counter_low, std::uint64_t counter_high, std::uint32_t* out);

void run_plain(std::uint64_t key, std::uint64_t counter_low, std::uint64_t counter_high, std::uint32_t* out) {
  run<kLanes>(key, counter_low, counter_high, out);
}

// Not a kernel with the choice of ops/kernels: whole numbers are the same whatever computes them, and autograd stands
// below the ops. AVX2 gained nothing over SSE2.
#if defined(__x86_64__)
[[gnu::target("avx512f,avx512vl,avx512bw,avx512dq")]] void run_avx512(std::uint64_t key, std::uint64_t counter_low,
                                                                      std::uint64_t counter_high, std::uint32_t* out) {
  run<kLanes>(key, counter_low, counter_high, out);
}

Run best() {
  const bool wide = __builtin_cpu_supports("avx512f") && __builtin_cpu_supports("avx512vl") &&
                    __builtin_cpu_supports("avx512bw") && __builtin_cpu_supports("avx512dq");
  return wide ? run_avx512 : run_plain;
}
#else
Run best() { return run_plain; }
#endif

}  // namespace

std::array<std::uint32_t, 4> philox(std::uint64_t key, std::uint64_t counter_low, std::uint64_t counter_high) noexcept {
  std::array<std::uint32_t, 4> block;
  run<1>(key, counter_low, counter_high, block.data());
  return block;
}

void philox_blocks(std::uint64_t key, std::uint64_t counter_low, std::uint64_t counter_high, Index n,
                   std::uint32_t* out) noexcept {
  static const Run many = best();
  for (; n >= kLanes; n -= kLanes, counter_low += kLanes, out += 4 * kLanes) many(key, counter_low, counter_high, out);
  for (; n > 0; --n, ++counter_low, out += 4) run<1>(key, counter_low, counter_high, out);
}

}  // namespace tapestry
