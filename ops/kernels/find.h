#pragma once

#include <tapestry/autograd/base/parallel.h>

namespace tapestry::kernels {

/// The first i with x[i] < least or x[i] > most; n if there is none. NaN is neither. T is float, double or
/// std::int64_t.
template <class T>
[[nodiscard]] Index first_outside(const T* x, Index n, T least, T most);

}  // namespace tapestry::kernels
