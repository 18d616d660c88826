#pragma once

#include <tapestry/ops/kernels/gemm/pair_tile.h>

namespace tapestry::kernels {

/// Tiles on AMX, helped by VDPBF16PS; null if the compiler cannot make them. Whoever calls one has asked the CPU, and
/// the system for permission (instruction_set.cpp).
[[nodiscard]] const Microkernels<Pair>* amx_table();

}  // namespace tapestry::kernels
