#pragma once

#include <tapestry/ops/kernels/gemm/microkernel.h>

/// Switches for tests of kernels that this CPU would not choose or cannot run. Only tests include this, and the file
/// that obeys.
namespace tapestry::kernels {

/// Makes has_bf16_products() say no, and yes again where the CPU has them.
void enable_bf16_products(bool enabled);

/// Makes microkernels<Pair>() give another table; null: no more.
void replace_pair_kernels(const Microkernels<Pair>* kernels);

}  // namespace tapestry::kernels
