#pragma once

#include <tapestry/ops/kernels/gemm/pair_tile.h>

namespace tapestry::kernels {

/// Tiles on VDPBF16PS; null if the compiler cannot make them. Whoever calls one has asked the CPU first.
[[nodiscard]] const Microkernels<Pair>* avx512_bf16_table();

}  // namespace tapestry::kernels
