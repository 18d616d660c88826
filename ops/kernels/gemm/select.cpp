#include <tapestry/ops/kernels/gemm/select.h>

#include <tapestry/ops/kernels/gemm/gemm.h>
#include <tapestry/ops/kernels/gemm/gemm_bf16.h>
#include <tapestry/ops/kernels/gemm/microkernel.h>

namespace tapestry::kernels {
namespace {

/// Calls f(data) with the elements of x in their type, bf16 or f32.
template <class F>
void visit_low(Elements x, const F& f) {
  x.dtype == bf16 ? f(x.as<BFloat16>()) : f(x.as<float>());
}

/// Calls plain(a, b, c) for numbers that are multiplied as they come, pairs(a, b, c) for the others.
template <class Plain, class Pairs>
void visit_product(Precision precision, Elements a, Elements b, Dtype c_dtype, void* c, const Plain& plain,
                   const Pairs& pairs) {
  if (!multiplies_as_bf16(a.dtype, b.dtype, c_dtype, precision)) {
    if (a.dtype == f64) return plain(a.as<double>(), b.as<double>(), static_cast<double*>(c));
    return plain(a.as<float>(), b.as<float>(), static_cast<float*>(c));
  }
  visit_low(a, [&](const auto* a_data) {
    visit_low(b, [&](const auto* b_data) {
      if (c_dtype == bf16) pairs(a_data, b_data, static_cast<BFloat16*>(c));
      else pairs(a_data, b_data, static_cast<float*>(c));
    });
  });
}

}  // namespace

bool multiplies_as_bf16(Dtype a, Dtype b, Dtype c, Precision precision) {
  if (a == f64) return false;
  if (a == bf16 || b == bf16 || c == bf16) return true;
  return precision == Precision::medium && has_bf16_products();
}

void gemm(const GemmShape& s, Precision precision, Elements a, Elements b, const void* bias, Dtype c_dtype, void* c) {
  visit_product(
      precision, a, b, c_dtype, c,
      [&]<class T>(const T* a_data, const T* b_data, T* to) {
        gemm(s.transpose_a, s.transpose_b, s.m, s.n, s.k, a_data, b_data, static_cast<const T*>(bias), to);
      },
      [&](const auto* a_data, const auto* b_data, auto* to) {
        gemm_bf16(s.transpose_a, s.transpose_b, s.m, s.n, s.k, a_data, b_data, static_cast<const float*>(bias), to);
      });
}

void gemm_batched(const GemmShape& s, Precision precision, Index batch, const Index* a_offset, const Index* b_offset,
                  Elements a, Elements b, Dtype c_dtype, void* c) {
  visit_product(
      precision, a, b, c_dtype, c,
      [&](const auto* a_data, const auto* b_data, auto* to) {
        gemm_batched(batch, a_offset, b_offset, s.transpose_a, s.transpose_b, s.m, s.n, s.k, a_data, b_data, to);
      },
      [&](const auto* a_data, const auto* b_data, auto* to) {
        gemm_bf16_batched(batch, a_offset, b_offset, s.transpose_a, s.transpose_b, s.m, s.n, s.k, a_data, b_data, to);
      });
}

}  // namespace tapestry::kernels
