#pragma once

// The instruction sets compiled in: AVX-512, AVX2 with FMA, and what every x86-64 has. The others that Highway knows on
// x86 bring no wider vectors than these and would lengthen the build. Include before any Highway header.
#define HWY_DISABLED_TARGETS (HWY_SSSE3 | HWY_SSE4 | HWY_AVX3_DL)

namespace tapestry::kernels {

/// Before main(), in every program that has a kernel: TAPESTRY_INSTRUCTION_SET is obeyed, or ends the program with a
/// message and status 2. True.
bool obey_environment() noexcept;
inline const bool environment_obeyed = obey_environment();

}  // namespace tapestry::kernels
