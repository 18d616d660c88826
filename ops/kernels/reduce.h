#pragma once

#include <tapestry/autograd/base/parallel.h>

/// Reductions of x [outer, n, inner] over its middle dimension. The tree of additions depends on the sizes alone.
namespace tapestry::kernels {

/// y [outer, inner] = factor * sum over n. Added up in double. T is float or double.
template <class T>
void reduce_sum(const T* x, Index outer, Index n, Index inner, double factor, T* y);

/// Integer sums, wrapping around. T is an integer type or bool.
template <class T>
void reduce_sum_integer(const T* x, Index outer, Index n, Index inner, std::int64_t* y);

/// Largest (or smallest) value and the position in [0, n) where it first stands; NaN wins. n > 0. Either of values and
/// indices may be null. T is any element type but bfloat16 and bool.
template <class T>
void reduce_extreme(bool largest, const T* x, Index outer, Index n, Index inner, T* values, std::int64_t* indices);

}  // namespace tapestry::kernels
