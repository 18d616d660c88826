#pragma once

#include <tapestry/autograd/base/parallel.h>

/// Matrix products of row-major matrices. Pointers and sizes only; any extent may be 0. Operands may share memory with
/// each other, never with the result. The same bits for any number of threads. T is float or double.
namespace tapestry::kernels {

/// c [m, n] = op(a) op(b) + bias, where op transposes its argument if asked to.
///   a     [m, k], or [k, m] with transpose_a
///   b     [k, n], or [n, k] with transpose_b
///   bias  [n], added to every row; null: none
/// k = 0 gives rows of bias, or zeros. Subnormal numbers count as zero.
template <class T>
void gemm(bool transpose_a, bool transpose_b, Index m, Index n, Index k, const T* a, const T* b, const T* bias, T* c);

/// `batch` products of the same shape: c + i m n = op(a + a_offset[i]) op(b + b_offset[i]). Offsets are in elements and
/// may repeat, so a broadcast batch axis costs nothing.
template <class T>
void gemm_batched(Index batch, const Index* a_offset, const Index* b_offset, bool transpose_a, bool transpose_b,
                  Index m, Index n, Index k, const T* a, const T* b, T* c);

/// The instruction set in use: "AVX3" (AVX-512), "AVX2", or "EMU128" or "SCALAR" without either.
[[nodiscard]] const char* simd_target();

extern template void gemm<float>(bool, bool, Index, Index, Index, const float*, const float*, const float*, float*);
extern template void gemm<double>(bool, bool, Index, Index, Index, const double*, const double*, const double*,
                                  double*);
extern template void gemm_batched<float>(Index, const Index*, const Index*, bool, bool, Index, Index, Index,
                                         const float*, const float*, float*);
extern template void gemm_batched<double>(Index, const Index*, const Index*, bool, bool, Index, Index, Index,
                                          const double*, const double*, double*);

}  // namespace tapestry::kernels
