#pragma once

#include <array>
#include <cstddef>
#include <string_view>

/// Which of the instruction sets that kernels are compiled for is in use. Private to ops.
namespace tapestry::kernels {

/// Worst first.
inline constexpr std::array<std::string_view, 3> kInstructionSets = {"portable", "avx2", "avx512"};

/// Position in kInstructionSets of the best that this CPU has; it has all before it as well.
[[nodiscard]] std::size_t best_instruction_set();
[[nodiscard]] std::string_view instruction_set();

/// False, and nothing has changed, for a name that is unknown or better than this CPU.
bool use_instruction_set(std::string_view name);

}  // namespace tapestry::kernels
