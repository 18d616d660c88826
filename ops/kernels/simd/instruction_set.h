#pragma once

#include <array>
#include <cstddef>
#include <string_view>

/// Which of the instruction sets that kernels are compiled for is in use. Private to ops.
namespace tapestry::kernels {

/// Worst first. "amx" is avx512 with AVX512_BF16, and with products of bf16 on AMX.
inline constexpr std::array<std::string_view, 4> kInstructionSets = {"portable", "avx2", "avx512", "amx"};

/// Position in kInstructionSets of the best that this CPU has; it has all before it as well.
[[nodiscard]] std::size_t best_instruction_set();
/// The one in use. Not "amx" unless asked for: no one has measured it yet.
[[nodiscard]] std::string_view instruction_set();
[[nodiscard]] bool uses_amx();

/// False, and nothing has changed, for a name that is unknown or better than this CPU, or that the system forbids.
bool use_instruction_set(std::string_view name);

}  // namespace tapestry::kernels
