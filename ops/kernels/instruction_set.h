#pragma once

#include <array>
#include <string_view>

/// Which of the instruction sets that kernels are compiled for is in use. Private to ops.
namespace tapestry::kernels {

enum class InstructionSet { portable, avx2, avx512 };
inline constexpr std::array<std::string_view, 3> kInstructionSetNames = {"portable", "avx2", "avx512"};

/// The best that this CPU has.
[[nodiscard]] InstructionSet best_instruction_set();
[[nodiscard]] InstructionSet instruction_set();

/// At most best_instruction_set().
void use_instruction_set(InstructionSet set);

}  // namespace tapestry::kernels
