#include <tapestry/ops/linalg.h>

#include <limits>

#include <tapestry/autograd/base/check.h>
#include <tapestry/autograd/record.h>
#include <tapestry/ops/autocast.h>
#include <tapestry/ops/binary.h>
#include <tapestry/ops/broadcast.h>
#include <tapestry/ops/cast.h>
#include <tapestry/ops/compare.h>
#include <tapestry/ops/detail/common.h>
#include <tapestry/ops/kernels/eigh.h>
#include <tapestry/ops/matmul.h>
#include <tapestry/ops/reduce.h>
#include <tapestry/ops/shape_ops.h>
#include <tapestry/ops/unary.h>

namespace tapestry {
namespace {

/// Factors that matmul takes, so that what it would refuse is refused in this op's name.
void check_factors(const char* op, const Tensor& a, const char* name_of_a, const Tensor& b, const char* name_of_b) {
  check_defined(op, name_of_a, a);
  check_defined(op, name_of_b, b);
  if (is_autocast_enabled() && is_f32_or_bf16(a, b)) return;
  check_any_float(op, a, name_of_a);
  check_same_dtype(op, a, b);
}

void check_matrices(const char* op, const Tensor& a, const Tensor& b) {
  check_factors(op, a, "a", b, "b");
  if (a.dim() != 2 || b.dim() != 2 || a.shape()[1] != b.shape()[0]) {
    throw_invalid("{}: a must be [M, K] and b [K, N]; got {} and {}", op, a.shape(), b.shape());
  }
}

Tensor transposed(const Tensor& x) { return transpose(x, -2, -1); }

// --- eigh. The op itself gives one tensor [..., n + 1, n]: a row of eigenvalues above the matrix of eigenvectors.

Tensor values_of(const Tensor& packed) { return select(packed, {.dim = -2, .index = 0}); }
Tensor vectors_of(const Tensor& packed) { return slice(packed, {.dim = -2, .begin = 1}); }

Tensor packed_of(const Tensor& values, const Tensor& vectors) {
  return cat({unsqueeze(values, -2), vectors}, {.dim = -2});
}

/// F_ij = 1 / (values[j] - values[i]), 0 where both count as equal. [..., n, n].
Tensor reciprocal_gaps(const Tensor& values) {
  const Index n = values.size(-1);
  const double eps =
      values.dtype() == f64 ? std::numeric_limits<double>::epsilon() : std::numeric_limits<float>::epsilon();
  const Tensor gaps = unsqueeze(values, -2) - unsqueeze(values, -1);
  if (n == 0) return gaps;  // of which there are none
  const Tensor fixed = detail::without_history(gaps), sizes = abs(detail::without_history(values));
  const Tensor nearest = amax(sizes, {.dim = -1, .keepdim = true}) * (static_cast<double>(n) * eps);
  const Tensor equal = le(abs(fixed), unsqueeze(nearest, -1));
  return where(equal, 0.0, 1 / where(equal, 1.0, gaps));
}

Tensor symmetric_part(const Tensor& x) { return 0.5 * (x + transposed(x)); }

/// The gradient of a, from that of its packed decomposition.
Tensor eigh_gradient(const Tensor& dy, const Tensor& y) {
  const Tensor v = vectors_of(y);
  const Tensor turned = reciprocal_gaps(values_of(y)) * matmul(v, vectors_of(dy), {.transpose_a = true});
  const Tensor scaled = v * unsqueeze(values_of(dy), -2);  // V diag(dvalues)
  return symmetric_part(matmul(scaled + matmul(v, turned), v, {.transpose_b = true}));
}

/// The tangent of the packed decomposition: with T = V^T t V, that of the values is T's diagonal, that of V is V (F o
/// T).
Tensor eigh_tangent(const Tensor& t, const Tensor& y) {
  const Tensor v = vectors_of(y);
  const Tensor into_v = matmul(symmetric_part(t), v);
  const Tensor seen = matmul(v, into_v, {.transpose_a = true});
  return packed_of(sum(v * into_v, {.dim = -2}), matmul(v, reciprocal_gaps(values_of(y)) * seen));
}

}  // namespace

Tensor mm(const Tensor& a, const Tensor& b, Here here) {
  const CallSite site(here);
  check_matrices("mm", a, b);
  return matmul(a, b);
}

Tensor bmm(const Tensor& a, const Tensor& b, Here here) {
  const CallSite site(here);
  check_factors("bmm", a, "a", b, "b");
  const Shape &sa = a.shape(), &sb = b.shape();
  if (sa.rank() != 3 || sb.rank() != 3 || sa[0] != sb[0] || sa[2] != sb[1]) {
    throw_invalid("bmm: a must be [B, M, K] and b [B, K, N]; got {} and {}", sa, sb);
  }
  return matmul(a, b);
}

Tensor mv(const Tensor& a, const Tensor& v, Here here) {
  const CallSite site(here);
  check_factors("mv", a, "a", v, "v");
  if (a.dim() != 2 || v.dim() != 1 || a.shape()[1] != v.shape()[0]) {
    throw_invalid("mv: a must be [M, K] and v [K]; got {} and {}", a.shape(), v.shape());
  }
  return matmul(a, v);
}

Tensor dot(const Tensor& a, const Tensor& b, Here here) {
  const CallSite site(here);
  check_factors("dot", a, "a", b, "b");
  if (a.dim() != 1 || a.shape() != b.shape()) {
    throw_invalid("dot: a and b must be [K]; got {} and {}", a.shape(), b.shape());
  }
  return matmul(a, b);
}

Tensor outer(const Tensor& a, const Tensor& b, Here here) {
  const CallSite site(here);
  check_defined("outer", "a", a);
  check_defined("outer", "b", b);
  check_arithmetic("outer", a.dtype());
  check_same_dtype("outer", a, b);
  if (a.dim() != 1 || b.dim() != 1) {
    throw_invalid("outer: a must be [M] and b [N]; got {} and {}", a.shape(), b.shape());
  }
  return unsqueeze(a, 1) * b;
}

Tensor addmm(const Tensor& c, const Tensor& a, const Tensor& b, const AddmmOptions& options, Here here) {
  const CallSite site(here);
  check_matrices("addmm", a, b);
  const bool lower = is_autocast_enabled() && is_f32_or_bf16(a, b, c);
  const Shape shape{a.shape()[0], b.shape()[1]};
  if (options.beta != 0) check_defined("addmm", "c", c);
  if (c.defined()) {
    if (!lower) check_same_dtype("addmm", a, c);
    if (c.dim() > 2 || broadcast_shape("addmm", c.shape(), shape) != shape) {
      throw_invalid("addmm: c must broadcast to {}; got {}", shape, c.shape());
    }
  }
  Tensor y = matmul(a, b);
  if (options.alpha != 1) y = y * options.alpha;
  if (options.beta == 0) return y;
  const Tensor summand = to(c, y.dtype());
  return y + (options.beta == 1 ? summand : summand * options.beta);
}

Eigh eigh(const Tensor& a, Here here) {
  const CallSite site(here);
  check_float("eigh", a, "a");
  const Index rank = a.dim();
  if (rank < 2 || a.size(-1) != a.size(-2)) throw_invalid("eigh: a must be [..., n, n]; got {}", a.shape());
  const Index n = a.size(-1);
  Tensor packed = empty(a.shape().with(rank - 2, n + 1), a.dtype());
  visit_float(a.dtype(), [&]<class T>() {
    kernels::eigh(a.data<T>(), a.shape().numel(0, rank - 2), n, packed.mutable_data<T>());
  });
  packed = record("eigh", std::move(packed), wrt(a, eigh_gradient, eigh_tangent));
  return {values_of(packed), vectors_of(packed)};
}

}  // namespace tapestry
