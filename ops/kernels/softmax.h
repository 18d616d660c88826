#pragma once

#include <tapestry/autograd/base/parallel.h>

/// Softmax of x [outer, n, inner] along its middle dimension. T is float or double.
namespace tapestry::kernels {

/// y = exp(x - max) / sum(exp(x - max)).
template <class T>
void softmax(const T* x, Index outer, Index n, Index inner, T* y);

/// y = x - max - log(sum(exp(x - max))).
template <class T>
void log_softmax(const T* x, Index outer, Index n, Index inner, T* y);

/// dx = y (dy - sum(dy y)), with y the output of softmax.
template <class T>
void softmax_gradient(const T* y, const T* dy, Index outer, Index n, Index inner, T* dx);

/// dx = dy - exp(y) sum(dy), with y the output of log_softmax.
template <class T>
void log_softmax_gradient(const T* y, const T* dy, Index outer, Index n, Index inner, T* dx);

}  // namespace tapestry::kernels
