#pragma once

#include <tapestry/autograd/base/parallel.h>

namespace tapestry::kernels {

/// Eigenvalues, ascending, and eigenvectors of the symmetric parts of `count` matrices a [n, n], computed in double. Of
/// each, out [n + 1, n] has the values in its first row, and below them one vector per column, whose largest component
/// is positive. NaN throughout for a matrix with an element that is not finite. T is float or double. The same bits
/// for any number of threads.
template <class T>
void eigh(const T* a, Index count, Index n, T* out);

}  // namespace tapestry::kernels
