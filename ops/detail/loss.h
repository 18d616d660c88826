#pragma once

#include <tapestry/autograd/tensor.h>
#include <tapestry/ops/reduction.h>

/// What all losses share.
namespace tapestry {

/// The reduction is one that every loss has. Throws std::invalid_argument for batchmean.
void check_reduction(const char* op, Reduction reduction);

/// A factor of x's dtype that is no subject of differentiation, else std::invalid_argument; `what` names it.
void check_constant(const char* op, const char* what, const Tensor& factor, const Tensor& x);

/// One loss per element -> the result. The reduction has been checked.
[[nodiscard]] Tensor reduced(const Tensor& losses, Reduction reduction);

}  // namespace tapestry
