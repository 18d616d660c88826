#pragma once

#include <tapestry/autograd/base/parallel.h>
#include <tapestry/ops/kernels/elements.h>

namespace tapestry::kernels {

/// y[i] = x[i] as an element of `to`, any type to any: rounded to nearest even, floats to whole numbers towards zero;
/// what a whole number cannot hold becomes the nearest that it can, NaN 0, and what is not 0 true.
void cast(Elements x, Dtype to, void* y, Index n);

}  // namespace tapestry::kernels
