#include <tapestry/ops/kernels/instruction_set.h>

#include <tapestry/ops/kernels/simd_targets.h>

#include <hwy/targets.h>

#include <algorithm>
#include <atomic>
#include <cstddef>
#include <cstdint>
#include <cstdio>
#include <cstdlib>

namespace tapestry::kernels {
namespace {

// Highway's bit of each of kInstructionSets; better sets have lower bits.
constexpr std::array<std::int64_t, 3> kTargets = {HWY_SSE4, HWY_AVX2, HWY_AVX3};

// Position of what was chosen; -1: nobody has. Not asked of Highway, whose SupportedTargets() forgets on the way what
// was disabled.
std::atomic<int> chosen{-1};

}  // namespace

std::size_t best_instruction_set() {
  static const std::size_t best = [] {
    std::size_t i = kTargets.size() - 1;
    while (i > 0 && (hwy::SupportedTargets() & kTargets[i]) == 0) --i;
    return i;
  }();
  return best;
}

std::string_view instruction_set() {
  const int set = chosen.load();
  return kInstructionSets[set < 0 ? best_instruction_set() : static_cast<std::size_t>(set)];
}

bool use_instruction_set(std::string_view name) {
  const auto at = std::find(kInstructionSets.begin(), kInstructionSets.end(), name);
  const auto set = static_cast<std::size_t>(at - kInstructionSets.begin());
  if (set > best_instruction_set()) return false;
  chosen = static_cast<int>(set);
  hwy::DisableTargets(set + 1 < kTargets.size() ? 2 * kTargets[set + 1] - 1 : 0);  // all better ones
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
