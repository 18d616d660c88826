#pragma once

#include <tapestry/ops/kernels/batch_norm.h>

/// What batch_norm.cpp does to one block of rows. Private to ops/kernels.
namespace tapestry::kernels {

/// The loops of one element type for one instruction set. Statistics are those of one block of rows.
template <class T>
struct BatchNormLoops {
  void (*block_moments)(const T* x, Index rows, Index width, T* sum, T* square, T* mean);
  void (*merge_block)(const T* x, const T* sum, const T* square, const T* block_mean, Index rows, Index width,
                      double before, double* mean, double* m2);
  void (*gradient_sums)(const T* x, const T* dy, Index rows, Index width, const T* mean, const ReluMask<T>& mask,
                        T* sum_dy, T* sum_dy_x);
  void (*affine)(const T* x, Index rows, Index width, const T* mean, const T* scale, const T* shift, const T* residual,
                 bool relu, T* y);
  void (*gradient)(const T* x, const T* dy, Index rows, Index width, const T* mean, const ReluMask<T>& mask,
                   const T* scale, const T* offset, const T* slope, T* dx);
  void (*scale)(const T* x, const T* dy, Index rows, Index width, const T* mean, const ReluMask<T>& mask,
                const T* scale, T* dx);
};

/// Those of the instruction set in use. T is float or double.
template <class T>
[[nodiscard]] const BatchNormLoops<T>& batch_norm_loops();
template <>
const BatchNormLoops<float>& batch_norm_loops();
template <>
const BatchNormLoops<double>& batch_norm_loops();

}  // namespace tapestry::kernels
