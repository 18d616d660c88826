#pragma once

#include <tapestry/autograd/tensor.h>
#include <tapestry/ops/kernels/elements.h>
#include <tapestry/ops/kernels/precision.h>

/// How tensors and settings are handed to kernels that take their types at run time.
///
/// Loops over elements are kernels: an op checks, makes its result, calls them, and records. What may stay with an op
/// are loops over dimensions, windows and parameters, which are as short for large tensors as for small ones.
namespace tapestry {

/// The elements of x.
[[nodiscard]] inline kernels::Elements elements(const Tensor& x) { return {x.impl().bytes(), x.dtype()}; }

/// Where the elements of a fresh result are written.
[[nodiscard]] inline void* result(const Tensor& y) { return y.impl().bytes(); }

/// float32_matmul_precision(), in the kernels' words.
[[nodiscard]] kernels::Precision kernel_precision() noexcept;

}  // namespace tapestry
