#include <tapestry/ops/attention.h>

#include <cmath>
#include <limits>

#include <tapestry/autograd/base/check.h>
#include <tapestry/ops/autocast.h>
#include <tapestry/ops/binary.h>
#include <tapestry/ops/broadcast.h>
#include <tapestry/ops/cast.h>
#include <tapestry/ops/compare.h>
#include <tapestry/ops/detail/common.h>
#include <tapestry/ops/dropout.h>
#include <tapestry/ops/matmul.h>
#include <tapestry/ops/reduce.h>
#include <tapestry/ops/shape_ops.h>
#include <tapestry/ops/softmax.h>

namespace tapestry {
namespace {

constexpr const char* kOp = "scaled_dot_product_attention";
constexpr double kMinusInfinity = -std::numeric_limits<double>::infinity();

/// Leading dimensions.
Shape batch_of(const Tensor& x) { return Shape(x.shape().extents().first(static_cast<std::size_t>(x.dim() - 2))); }

void check_operands(const Tensor& q, const Tensor& k, const Tensor& v, const ScaledDotProductAttentionOptions& o) {
  check_defined(kOp, "q", q);
  check_defined(kOp, "k", k);
  check_defined(kOp, "v", v);
  if (!is_autocast_enabled() || !is_f32_or_bf16(q, k, v)) {
    check_any_float(kOp, q, "q");
    check_same_dtype(kOp, q, k);
    check_same_dtype(kOp, q, v);
  }
  if (q.dim() < 2 || k.dim() < 2 || v.dim() < 2 || q.size(-1) != k.size(-1) || k.size(-2) != v.size(-2)) {
    throw_invalid("{}: q must be [..., L, E], k [..., S, E] and v [..., S, Ev]; got {}, {} and {}", kOp, q.shape(),
                  k.shape(), v.shape());
  }
  const Shape batch = broadcast_shape(kOp, batch_of(q), batch_of(k));
  static_cast<void>(broadcast_shape(kOp, batch, batch_of(v)));
  if (!(o.dropout_p >= 0 && o.dropout_p <= 1)) {
    throw_invalid("{}: dropout_p must be in [0, 1]; got {}", kOp, o.dropout_p);
  }
  if (o.scale && !std::isfinite(*o.scale)) throw_invalid("{}: scale must be finite; got {}", kOp, *o.scale);
  const Tensor& mask = o.attn_mask;
  if (!mask.defined()) return;
  const bool fits =
      mask.dtype() == boolean || mask.dtype() == q.dtype() || (is_autocast_enabled() && is_f32_or_bf16(q, mask));
  if (!fits) throw_invalid("{}: the mask must be bool or of the dtype of q, {}; got {}", kOp, q.dtype(), mask.dtype());
  const Shape scores = batch.inserted(batch.rank(), q.size(-2)).inserted(batch.rank() + 1, k.size(-2));
  if (mask.dim() > scores.rank() || broadcast_shape(kOp, mask.shape(), scores) != scores) {
    throw_invalid("{}: the mask must broadcast to {}; got {}", kOp, scores, mask.shape());
  }
}

/// [L, S], true where key j does not come after query i.
Tensor causal(Index queries, Index keys) { return ge(unsqueeze(arange(queries), 1), unsqueeze(arange(keys), 0)); }

/// Where a query may look; undefined: everywhere.
Tensor allowed(const Tensor& q, const Tensor& k, const ScaledDotProductAttentionOptions& o) {
  Tensor seen;
  if (o.attn_mask.defined()) {
    seen = o.attn_mask.dtype() == boolean ? o.attn_mask : ne(detail::without_history(o.attn_mask), kMinusInfinity);
  }
  if (!o.is_causal) return seen;
  const Tensor before = causal(q.size(-2), k.size(-2));
  if (!seen.defined()) return before;
  const Shape both = broadcast_shape(kOp, seen.shape(), before.shape());
  return logical_and(broadcast_to(seen, both), broadcast_to(before, both));
}

}  // namespace

Tensor scaled_dot_product_attention(const Tensor& q, const Tensor& k, const Tensor& v,
                                    const ScaledDotProductAttentionOptions& options, Here here) {
  const CallSite site(here);
  check_operands(q, k, v, options);
  const double scale = options.scale.value_or(1 / std::sqrt(static_cast<double>(q.size(-1))));
  const Tensor& mask = options.attn_mask;
  // With no features every score is 0, whatever the scale.
  Tensor scores = widened(matmul(q.size(-1) == 0 ? q : q * scale, k, {.transpose_b = true}));
  const Tensor seen = allowed(q, k, options);
  Tensor weights;
  if (!seen.defined()) {
    weights = softmax(scores);
  } else {
    if (mask.defined() && mask.dtype() != boolean)
      scores = scores + widened(where(eq(mask, kMinusInfinity), 0.0, mask));
    // A row without a key: its scores become 0 for a softmax that is finite, of which then nothing is taken.
    const Tensor some = any(seen, {.dim = -1, .keepdim = true});
    weights = softmax(where(seen, scores, where(some, full({}, kMinusInfinity, {.dtype = scores.dtype()}), 0.0)));
    weights = where(some, weights, 0.0);
  }
  if (options.dropout_p > 0) weights = dropout(weights, {.p = options.dropout_p, .generator = options.generator});
  return matmul(to(weights, v.dtype()), v);
}

}  // namespace tapestry
