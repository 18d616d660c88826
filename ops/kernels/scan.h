#pragma once

#include <tapestry/autograd/base/parallel.h>

/// Loops in which an element needs the one before it: along the middle dimension of arrays [outer, n, inner], from its
/// end with `reverse`. A line is walked in order, so that the bits do not depend on threads.
namespace tapestry::kernels {

struct Scan {
  Index outer, n, inner;
  bool reverse;
};

/// y[k] = x[0] + ... + x[k]. Sums of float are kept in double.
void cumulative_sum(const Scan& scan, const float* x, float* y);
void cumulative_sum(const Scan& scan, const double* x, double* y);
void cumulative_sum(const Scan& scan, const std::int64_t* x, std::int64_t* y);  ///< wraps around

/// h[k] = a[k] h[k - 1] + b[k], where h[-1] is 0. T is float, double or std::int64_t, which wraps around.
template <class T>
void linear_recurrence(const Scan& scan, const T* a, const T* b, T* h);

}  // namespace tapestry::kernels
