#pragma once

#include <tapestry/autograd/base/parallel.h>

namespace tapestry::kernels {

/// y = mask ? scale * x : 0 for x [outer, repeat, inner] and mask [outer, inner]. T is float or double.
template <class T>
void masked_scale(const T* x, const bool* mask, Index outer, Index repeat, Index inner, T scale, T* y);

}  // namespace tapestry::kernels
