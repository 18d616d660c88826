#pragma once

#include <tapestry/autograd/base/dtype.h>
#include <tapestry/autograd/base/parallel.h>

/// Matrix products whose operands are bfloat16, added up in float; as gemm.h in everything else. Operands that come as
/// float are rounded to bfloat16 on the way in. Results are float, or rounded to bfloat16 once.
namespace tapestry::kernels {

/// c [m, n] = op(a) op(b) + bias. (A, B, C) is any of BFloat16 and float.
template <class A, class B, class C>
void gemm_bf16(bool transpose_a, bool transpose_b, Index m, Index n, Index k, const A* a, const B* b, const float* bias,
               C* c);

/// `batch` products of the same shape: c + i m n = op(a + a_offset[i]) op(b + b_offset[i]).
template <class A, class B, class C>
void gemm_bf16_batched(Index batch, const Index* a_offset, const Index* b_offset, bool transpose_a, bool transpose_b,
                       Index m, Index n, Index k, const A* a, const B* b, C* c);

}  // namespace tapestry::kernels
