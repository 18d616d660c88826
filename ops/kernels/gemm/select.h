#pragma once

#include <tapestry/autograd/base/dtype.h>
#include <tapestry/autograd/base/parallel.h>
#include <tapestry/ops/kernels/elements.h>
#include <tapestry/ops/kernels/precision.h>

/// The one door to matrix products of any types: whether numbers are multiplied as they come (gemm.h, whose tiling
/// follows the extents) or as pairs of bfloat16 (gemm_bf16.h). Contracts are those of gemm.h, but for what `precision`
/// allows. Private to ops.
namespace tapestry::kernels {

struct GemmShape {
  bool transpose_a, transpose_b;
  Index m, n, k;
};

/// Operands and c are multiplied as bf16: one of them is, or all are f32 and the precision and the CPU allow it.
[[nodiscard]] bool multiplies_as_bf16(Dtype a, Dtype b, Dtype c, Precision precision);

/// c [m, n] = op(a) op(b) + bias. Operands and c are f64, or any of f32 and bf16; the bias, null for none, is f64 or
/// f32.
void gemm(const GemmShape& shape, Precision precision, Elements a, Elements b, const void* bias, Dtype c_dtype,
          void* c);

/// `batch` products: c + i m n = op(a + a_offset[i]) op(b + b_offset[i]), offsets in elements.
void gemm_batched(const GemmShape& shape, Precision precision, Index batch, const Index* a_offset,
                  const Index* b_offset, Elements a, Elements b, Dtype c_dtype, void* c);

}  // namespace tapestry::kernels
