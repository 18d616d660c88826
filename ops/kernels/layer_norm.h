#pragma once

#include <tapestry/autograd/base/parallel.h>

/// Normalisation of every row of x [rows, n]. T is float or double; results depend on the sizes alone, never on the
/// number of threads.
namespace tapestry::kernels {

/// mean[row], rstd[row] = 1 / sqrt(var + eps) with the biased variance, and y = (x - mean) rstd weight[i] + bias[i].
template <class T>
void layer_norm(const T* x, Index rows, Index n, const T* weight, const T* bias, double eps, T* y, T* mean, T* rstd);

/// With u = (x - mean) rstd and g = dy weight, both of a row:
/// dx = rstd (g - average(g) - u average(g u)), dweight[i] = sum over rows of dy u, dbias[i] = sum over rows of dy.
/// dx may be null, and so may both of dweight and dbias together.
template <class T>
void layer_norm_gradient(const T* x, const T* dy, Index rows, Index n, const T* weight, const T* mean, const T* rstd,
                         T* dx, T* dweight, T* dbias);

}  // namespace tapestry::kernels
