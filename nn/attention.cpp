#include <tapestry/nn/attention.h>

#include <fmt/format.h>

#include <algorithm>
#include <cmath>
#include <limits>

#include <tapestry/autograd/base/check.h>
#include <tapestry/autograd/base/extent.h>
#include <tapestry/autograd/grad_mode.h>
#include <tapestry/nn/detail/layer.h>
#include <tapestry/nn/init.h>
#include <tapestry/ops/activation.h>
#include <tapestry/ops/binary.h>
#include <tapestry/ops/cast.h>
#include <tapestry/ops/compare.h>
#include <tapestry/ops/dropout.h>
#include <tapestry/ops/matmul.h>
#include <tapestry/ops/shape_ops.h>
#include <tapestry/ops/softmax.h>

namespace tapestry::nn {
namespace {

constexpr double kMinusInfinity = -std::numeric_limits<double>::infinity();

void check_sequence(const char* what, const Tensor& x, Index embed_dim) {
  if (x.dim() != 3 || x.size(2) != embed_dim) {
    throw_invalid("MultiheadAttention: {} must be [N, length, {}]; got {}", what, embed_dim, x.shape());
  }
}

/// [N, L, heads d] -> [N, heads, L, d].
Tensor by_heads(const Tensor& x, Index heads) {
  return permute(reshape(x, {x.size(0), x.size(1), heads, x.size(2) / heads}), {0, 2, 1, 3});
}

Tensor masked(Tensor scores, const AttentionOptions& options) {
  const Index samples = scores.size(0), queries = scores.size(2), keys = scores.size(3);
  if (options.is_causal) {
    const Tensor later = gt(reshape(arange(keys), {1, keys}), reshape(arange(queries), {queries, 1}));
    scores = masked_fill(scores, later, kMinusInfinity);
  }
  if (const Tensor& mask = options.attn_mask; mask.defined()) {
    if (mask.dtype() == boolean) scores = masked_fill(scores, mask, kMinusInfinity);
    else if (is_float(mask.dtype())) scores = (scores.dtype() == bf16 ? to(scores, f32) : scores) + mask;
    else throw_invalid("MultiheadAttention: attn_mask must be bool or a float; got {}", mask.dtype());
  }
  if (const Tensor& mask = options.key_padding_mask; mask.defined()) {
    if (mask.dtype() != boolean || mask.shape() != Shape{samples, keys}) {
      throw_invalid("MultiheadAttention: key_padding_mask must be bool {}; got {} {}", Shape{samples, keys},
                    mask.dtype(), mask.shape());
    }
    scores = masked_fill(scores, reshape(mask, {samples, 1, 1, keys}), kMinusInfinity);
  }
  return scores;
}

Index checked_heads(Index embed_dim, Index heads) {
  detail::check_positive("MultiheadAttention", "embed_dim", embed_dim);
  detail::check_positive("MultiheadAttention", "heads", heads);
  if (embed_dim % heads != 0) {
    throw_invalid("MultiheadAttention: heads must divide embed_dim; got {} and {}", heads, embed_dim);
  }
  return heads;
}

Linear output_projection(Index embed_dim, bool bias, const Here& here) {
  const CallSite site(here);
  const NoGradGuard guard;
  Linear linear(embed_dim, embed_dim, {.bias = bias});
  if (bias) {
    Tensor zero = linear.bias();
    std::fill_n(zero.mutable_data<float>(), embed_dim, 0.0F);
  }
  return linear;
}

}  // namespace

MultiheadAttention::MultiheadAttention(Index embed_dim, Index heads, const Options& options, Here here)
    : embed_dim_(embed_dim),
      heads_([&] {
        const CallSite site(here);
        return checked_heads(embed_dim, heads);
      }()),
      dropout_(options.dropout),
      out_proj_(output_projection(embed_dim, options.bias, here)) {
  const CallSite site(here);
  if (!(options.dropout >= 0 && options.dropout <= 1)) {
    throw_invalid("MultiheadAttention: dropout must be in [0, 1]; got {}", options.dropout);
  }
  const Index rows = checked_product("MultiheadAttention", 3, embed_dim);
  in_proj_weight_ = param("in_proj_weight", init::xavier_uniform({rows, embed_dim}));
  if (options.bias) in_proj_bias_ = param("in_proj_bias", init::zeros({rows}));
  child("out_proj", out_proj_);
  describe(fmt::format("MultiheadAttention {}, {} heads", embed_dim, heads));
}

MultiheadAttention::Result MultiheadAttention::with_weights(const Tensor& query, const Tensor& key, const Tensor& value,
                                                            const AttentionOptions& options, Here here) const {
  const LayerScope scope(*this, here);
  const bool is_self = key.is_same(query) && value.is_same(query);
  const Tensor q_in = scope.input(query), k_in = is_self ? q_in : key, v_in = is_self ? q_in : value;
  check_sequence("the query", q_in, embed_dim_);
  check_sequence("the key", k_in, embed_dim_);
  check_sequence("the value", v_in, embed_dim_);
  if (k_in.size(0) != q_in.size(0) || v_in.shape() != k_in.shape()) {
    throw_invalid("MultiheadAttention: query [N, L, E], key and value [N, S, E] must agree; got {}, {} and {}",
                  q_in.shape(), k_in.shape(), v_in.shape());
  }

  std::vector<Tensor> projected;
  if (is_self) {
    projected = chunk(linear(q_in, in_proj_weight_, in_proj_bias_), 3, {.dim = -1});
  } else {
    const std::vector<Tensor> weights = chunk(in_proj_weight_, 3);
    const std::vector<Tensor> biases = in_proj_bias_.defined() ? chunk(in_proj_bias_, 3) : std::vector<Tensor>(3);
    projected = {linear(q_in, weights[0], biases[0]), linear(k_in, weights[1], biases[1]),
                 linear(v_in, weights[2], biases[2])};
  }
  const double scale = 1 / std::sqrt(static_cast<double>(embed_dim_ / heads_));
  const Tensor q = by_heads(projected[0] * scale, heads_);
  const Tensor k = by_heads(projected[1], heads_), v = by_heads(projected[2], heads_);
  const Tensor weights = softmax(masked(matmul(q, k, {.transpose_b = true}), options));
  const Tensor kept = dropout(weights, {.p = dropout_, .training = is_training()});
  const Tensor joined = reshape(permute(matmul(kept, v), {0, 2, 1, 3}), q_in.shape());
  // In the query's dtype, so that a residual can be added: under autocast products are bf16.
  return {.output = scope.output(tapestry::to(out_proj_(joined), q_in.dtype())), .weights = weights};
}

Tensor MultiheadAttention::operator()(const Tensor& query, const Tensor& key, const Tensor& value,
                                      const AttentionOptions& options, Here here) const {
  return with_weights(query, key, value, options, here).output;
}

Tensor MultiheadAttention::operator()(const Tensor& x, const AttentionOptions& options, Here here) const {
  return with_weights(x, x, x, options, here).output;
}

TransformerEncoderLayer::TransformerEncoderLayer(Index d_model, Index heads, const Options& options, Here here)
    : activation_(options.activation),
      norm_first_(options.norm_first),
      self_attn_(child("self_attn", MultiheadAttention(d_model, heads, {.dropout = options.dropout}, here))),
      linear1_(child("linear1", Linear(d_model, options.dim_feedforward, here))),
      dropout_(child("dropout", Dropout(options.dropout, here))),
      linear2_(child("linear2", Linear(options.dim_feedforward, d_model, here))),
      norm1_(child("norm1", LayerNorm(d_model, {.eps = options.layer_norm_eps}, here))),
      norm2_(child("norm2", LayerNorm(d_model, {.eps = options.layer_norm_eps}, here))),
      dropout1_(child("dropout1", Dropout(options.dropout, here))),
      dropout2_(child("dropout2", Dropout(options.dropout, here))) {
  describe(fmt::format("TransformerEncoderLayer {}, {} heads, {} between{}", d_model, heads, options.dim_feedforward,
                       options.norm_first ? ", norm first" : ""));
}

Tensor TransformerEncoderLayer::attend(const Tensor& x, const AttentionOptions& options) const {
  return dropout1_(self_attn_(x, options));
}

Tensor TransformerEncoderLayer::feed_forward(const Tensor& x) const {
  const Tensor between = linear1_(x);
  const Tensor active = activation_ == TransformerActivation::relu ? relu(between) : gelu(between);
  return dropout2_(tapestry::to(linear2_(dropout_(active)), x.dtype()));
}

Tensor TransformerEncoderLayer::operator()(const Tensor& from, const AttentionOptions& options, Here here) const {
  const LayerScope scope(*this, here);
  Tensor x = scope.input(from);
  if (norm_first_) {
    x = x + attend(norm1_(x), options);
    return scope.output(x + feed_forward(norm2_(x)));
  }
  x = norm1_(x + attend(x, options));
  return scope.output(norm2_(x + feed_forward(x)));
}

}  // namespace tapestry::nn
