#pragma once

#include <tapestry/autograd/base/dtype.h>
#include <tapestry/autograd/base/parallel.h>
#include <tapestry/ops/kernels/simd/pair.h>

/// Moving numbers into and out of bfloat16. Rounding is BFloat16's: to nearest even, with subnormal numbers kept; the
/// same bits on every instruction set.
namespace tapestry::kernels {

template <class T>
struct Microkernels;

/// to[i] = from[i]; all n of them, in parallel.
void narrow(const float* from, BFloat16* to, Index n);
void widen(const BFloat16* from, float* to, Index n);

/// The loops behind them and behind the packing of pairs, for one instruction set; on the calling thread.
struct Bf16Loops {
  void (*narrow)(const float* from, BFloat16* to, Index n);
  void (*widen)(const BFloat16* from, float* to, Index n);
  /// to[i] = (first[i], second[i]), as bfloat16.
  void (*pair_floats)(const float* first, const float* second, Pair* to, Index n);
  void (*pair_bf16)(const BFloat16* first, const BFloat16* second, Pair* to, Index n);
  /// The same beside zeros.
  void (*pair_float_with_zero)(const float* first, Pair* to, Index n);
  void (*pair_bf16_with_zero)(const BFloat16* first, Pair* to, Index n);
};
[[nodiscard]] const Bf16Loops& bf16_loops();

/// to[i] = (first[i], second[i]), or (first[i], 0) without a second, for i < n; on the calling thread.
void pair_up(const float* first, const float* second, Pair* to, Index n);
void pair_up(const BFloat16* first, const BFloat16* second, Pair* to, Index n);

/// Rows [rows, columns] of numbers as pairs [rows, ceil(columns / 2)], an odd last column beside a zero; in parallel.
void pair_columns(const float* from, Index rows, Index columns, Pair* to);
void pair_columns(const BFloat16* from, Index rows, Index columns, Pair* to);

/// Rows [rows, columns] as pairs of neighbouring rows [ceil(rows / 2), columns], likewise; in parallel.
void pair_rows(const float* from, Index rows, Index columns, Pair* to);
void pair_rows(const BFloat16* from, Index rows, Index columns, Pair* to);

}  // namespace tapestry::kernels
