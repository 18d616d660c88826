#pragma once

// The instruction sets compiled in: AVX-512, AVX2 with FMA, and what every x86-64 has. The others that Highway knows on
// x86 bring no wider vectors than these and would lengthen the build. Include before any Highway header.
#define HWY_DISABLED_TARGETS (HWY_SSSE3 | HWY_SSE4 | HWY_AVX3_DL)
