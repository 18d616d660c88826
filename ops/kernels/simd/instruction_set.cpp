#include <tapestry/ops/kernels/simd/instruction_set.h>

#include <tapestry/ops/kernels/simd/targets.h>

#include <hwy/targets.h>

#include <algorithm>
#include <atomic>
#include <cstddef>
#include <cstdint>
#include <cstdio>
#include <cstdlib>

#if defined(__x86_64__) && defined(__linux__)
#include <cpuid.h>
#include <sys/syscall.h>
#include <unistd.h>
#endif

namespace tapestry::kernels {
namespace {

// Highway's bit of each of kInstructionSets; better sets have lower bits. It knows nothing of AMX.
constexpr std::array<std::int64_t, kInstructionSets.size()> kTargets = {HWY_SSE4, HWY_AVX2, HWY_AVX3, HWY_AVX3};
constexpr std::size_t kAvx512 = 2, kAmx = 3;

// Position of what was chosen; -1: nobody has. Not asked of Highway, whose SupportedTargets() forgets on the way what
// was disabled.
std::atomic<int> chosen{-1};

/// Whether CPU and system have AMX, and AVX512_BF16 beside it. The compiler has: its file is compiled on every x86-64.
bool offers_amx() {
#if defined(__x86_64__) && defined(__linux__)
  constexpr unsigned kAmxBf16 = 1U << 22, kAmxTile = 1U << 24;  // CPUID 7, EDX
  constexpr long kSupported = 0x1021;                           // ARCH_GET_XCOMP_SUPP, Linux 5.16
  constexpr unsigned long kTileData = 1UL << 18;
  unsigned a = 0, b = 0, c = 0, d = 0;
  unsigned long components = 0;
  return __builtin_cpu_supports("avx512bf16") != 0 && __get_cpuid_count(7, 0, &a, &b, &c, &d) != 0 &&
         (d & kAmxBf16) != 0 && (d & kAmxTile) != 0 && syscall(SYS_arch_prctl, kSupported, &components) == 0 &&
         (components & kTileData) != 0;
#else
  return false;
#endif
}

/// Linux gives a process the 8 KiB of tiles per thread when it asks.
bool permit_amx() {
#if defined(__x86_64__) && defined(__linux__)
  constexpr long kRequest = 0x1023, kTileData = 18;  // ARCH_REQ_XCOMP_PERM
  static const bool permitted = syscall(SYS_arch_prctl, kRequest, kTileData) == 0;
  return permitted;
#else
  return false;
#endif
}

std::size_t position() {
  const int set = chosen.load(std::memory_order_relaxed);
  return set < 0 ? std::min(best_instruction_set(), kAvx512) : static_cast<std::size_t>(set);
}

}  // namespace

std::size_t best_instruction_set() {
  static const std::size_t best = [] {
    std::size_t i = kAvx512;
    while (i > 0 && (hwy::SupportedTargets() & kTargets[i]) == 0) --i;
    return i == kAvx512 && offers_amx() ? kAmx : i;
  }();
  return best;
}

std::string_view instruction_set() { return kInstructionSets[position()]; }
bool uses_amx() { return position() == kAmx; }

bool use_instruction_set(std::string_view name) {
  const auto at = std::find(kInstructionSets.begin(), kInstructionSets.end(), name);
  const auto set = static_cast<std::size_t>(at - kInstructionSets.begin());
  if (set > best_instruction_set() || (set == kAmx && !permit_amx())) return false;
  chosen = static_cast<int>(set);
  hwy::DisableTargets(set < kAvx512 ? 2 * kTargets[set + 1] - 1 : 0);  // all better ones
  hwy::GetChosenTarget().Update(hwy::SupportedTargets());
  return true;
}

bool obey_environment() noexcept {
  const char* const name = std::getenv("TAPESTRY_INSTRUCTION_SET");
  if (name == nullptr || use_instruction_set(name)) return true;
  std::fprintf(stderr, "TAPESTRY_INSTRUCTION_SET must be one of those that this CPU offers:");
  for (std::size_t i = best_instruction_set() + 1; i-- > 0;) std::fprintf(stderr, " %s", kInstructionSets[i].data());
  std::fprintf(stderr, "; got \"%s\"\n", name);
  std::exit(2);
}

}  // namespace tapestry::kernels
