#pragma once

#include <tapestry/autograd/base/parallel.h>

namespace tapestry::kernels {

/// What of two truth values makes a third one true.
enum class Logical { both, either, one, none };

/// y[i] = op(a[i], b[i]).
void logical(Logical op, const bool* a, const bool* b, bool* y, Index n);

}  // namespace tapestry::kernels
