#include <tapestry/ops/kernels/instruction_set.h>

#include <tapestry/ops/kernels/simd_targets.h>

#include <hwy/targets.h>

#include <atomic>
#include <cstddef>
#include <cstdint>
#include <cstdio>
#include <cstdlib>

namespace tapestry::kernels {
namespace {

InstructionSet best_of(std::int64_t targets) {
  if ((targets & HWY_AVX3) != 0) return InstructionSet::avx512;
  return (targets & HWY_AVX2) != 0 ? InstructionSet::avx2 : InstructionSet::portable;
}

// -1: nobody has chosen. Not asked of Highway, whose SupportedTargets() forgets on the way what was disabled.
std::atomic<int> chosen{-1};

void allow_all_but(std::int64_t targets) {
  hwy::DisableTargets(targets);
  hwy::GetChosenTarget().Update(hwy::SupportedTargets());
}

}  // namespace

InstructionSet best_instruction_set() {
  static const InstructionSet best = best_of(hwy::SupportedTargets());
  return best;
}

InstructionSet instruction_set() {
  const int set = chosen.load();
  return set < 0 ? best_instruction_set() : static_cast<InstructionSet>(set);
}

void use_instruction_set(InstructionSet set) {
  static_cast<void>(best_instruction_set());  // before anything is taken away
  chosen = static_cast<int>(set);
  // Highway numbers better sets lower: what is better than a set are the bits below its own.
  switch (set) {
    case InstructionSet::avx512: return allow_all_but(0);
    case InstructionSet::avx2: return allow_all_but(HWY_AVX2 - 1);
    case InstructionSet::portable: return allow_all_but(2 * static_cast<std::int64_t>(HWY_AVX2) - 1);
  }
}

bool obey_environment() noexcept {
  const char* const name = std::getenv("TAPESTRY_INSTRUCTION_SET");
  if (name == nullptr) return true;
  const auto best = static_cast<std::size_t>(best_instruction_set());
  for (std::size_t i = 0; i <= best; ++i) {
    if (kInstructionSetNames[i] != name) continue;
    use_instruction_set(static_cast<InstructionSet>(i));
    return true;
  }
  std::fprintf(stderr, "TAPESTRY_INSTRUCTION_SET must be one of those that this CPU offers:");
  for (std::size_t i = best + 1; i-- > 0;) std::fprintf(stderr, " %s", kInstructionSetNames[i].data());
  std::fprintf(stderr, "; got \"%s\"\n", name);
  std::exit(2);
}

}  // namespace tapestry::kernels
