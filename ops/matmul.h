#pragma once

#include <tapestry/autograd/tensor.h>

namespace tapestry {

struct MatmulOptions {
  bool transpose_a = false;  ///< take the last two dimensions of a in the other order
  bool transpose_b = false;
};

/// Matrix product y = op(a) op(b), where op transposes its argument if asked to.
///
///   a  [..., M, K]   or [..., K, M] with .transpose_a
///   b  [..., K, N]   or [..., N, K] with .transpose_b
///   y  [..., M, N]   the leading dimensions broadcast
///
/// A vector a [K] counts as [1, K], a vector b [K] as [K, 1]; that dimension is missing in y. Flags do not go with
/// vectors. Keeps a and b, each only if the other one needs a gradient. Differentiable any number of times; no rule
/// forms a transpose. f32, f64, or bf16, which is added up in f32 and rounded once; see also
/// <tapestry/ops/autocast.h> and <tapestry/ops/precision.h>. Throws std::invalid_argument if the inner extents or the
/// dtypes differ, if the leading dimensions do not broadcast, or for a scalar.
[[nodiscard]] Tensor matmul(const Tensor& a, const Tensor& b, const MatmulOptions& options = {}, Here here = {});

/// y = x w^T + b, a fully connected layer.
///
///   x  [..., in]
///   w  [out, in]
///   b  [out], or undefined
///   y  [..., out]
///
/// Keeps x and w, each only if the other one needs a gradient. Throws std::invalid_argument as matmul does.
[[nodiscard]] Tensor linear(const Tensor& x, const Tensor& w, const Tensor& b = {}, Here here = {});

}  // namespace tapestry
