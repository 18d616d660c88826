#pragma once

#include <cstdint>

#include <tapestry/autograd/base/parallel.h>
#include <tapestry/ops/kernels/elements.h>

namespace tapestry::kernels {

/// order [outer, count, inner]: positions along the middle dimension of x [outer, n, inner] in the order of the
/// elements, the first `count` of them. Equal elements stay in their order; NaN is the largest. n >= 1.
void sort_order(Elements x, Index outer, Index n, Index inner, bool descending, Index count, std::int64_t* order);

}  // namespace tapestry::kernels
