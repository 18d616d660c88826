#pragma once

#include <tapestry/autograd/base/dtype.h>
#include <tapestry/autograd/base/parallel.h>

/// Statistics and affine maps per channel of x [rows, channels]. T is float, double or BFloat16; beside BFloat16
/// everything per channel is float, and so is the arithmetic. The tree of additions depends on the sizes alone.
namespace tapestry::kernels {

/// mean[c] and m2[c] = sum of squared deviations from it, found from (count, mean, m2) of fixed groups of rows, which
/// are merged in order (Chan, Golub and LeVeque, 1983). rows > 0.
template <class T>
void channel_moments(const T* x, Index rows, Index channels, double* mean, double* m2);

/// y = (x - mean[c]) * scale[c] + shift[c], then + residual unless it is null, then max(., 0) if `relu` (NaN stays
/// NaN).
template <class T>
void channel_affine(const T* x, Index rows, Index channels, const ComputeType<T>* mean, const ComputeType<T>* scale,
                    const ComputeType<T>* shift, const T* residual, bool relu, T* y);

/// A gradient that has still to pass through a relu: it counts where the relu's output v > 0 or is NaN, and is 0
/// elsewhere.
template <class T>
struct ReluMask {
  const T* y = nullptr;                   ///< v, or
  const ComputeType<T>* scale = nullptr;  ///< v = (x - mean[c]) * scale[c] + shift[c], both null without a relu
  const ComputeType<T>* shift = nullptr;
  T* masked = nullptr;  ///< where channel_gradient_sums writes the gradient behind the relu; only with y
};

/// sum_dy[c] = sum of dy, sum_dy_x[c] = sum of dy (x - mean[c]), dy being masked first.
template <class T>
void channel_gradient_sums(const T* x, const T* dy, Index rows, Index channels, const ComputeType<T>* mean,
                           const ReluMask<T>& mask, double* sum_dy, double* sum_dy_x);

/// dx = scale[c] * (dy - offset[c] - (x - mean[c]) * slope[c]), dy being masked first.
template <class T>
void channel_gradient(const T* x, const T* dy, Index rows, Index channels, const ComputeType<T>* mean,
                      const ReluMask<T>& mask, const ComputeType<T>* scale, const ComputeType<T>* offset,
                      const ComputeType<T>* slope, T* dx);

/// dx = scale[c] * dy, dy being masked first. x and mean are for a mask that is computed from them, else null.
template <class T>
void channel_scale(const T* x, const T* dy, Index rows, Index channels, const ComputeType<T>* mean,
                   const ReluMask<T>& mask, const ComputeType<T>* scale, T* dx);

}  // namespace tapestry::kernels
