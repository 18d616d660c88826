#pragma once

#include <tapestry/nn/activation.h>
#include <tapestry/nn/dropout.h>
#include <tapestry/nn/linear.h>
#include <tapestry/nn/module.h>
#include <tapestry/nn/norm.h>

namespace tapestry::nn {

/// What one call of MultiheadAttention takes besides its inputs.
struct AttentionOptions {
  /// Broadcasts to [N, heads, L, S]. bool: true where a query must not see a key; a float of the input's dtype: added
  /// to the scores.
  Tensor attn_mask = {};
  /// [N, S], bool: true for keys that nobody sees, which fill a shorter sequence up.
  Tensor key_padding_mask = {};
  bool is_causal = false;  ///< query i sees keys 0 ... i
};

/// Attention with several heads (Vaswani et al., 2017), batch first. With E = embed_dim, d = E / heads, and for each
/// head its d columns:
///
///     Q = query Wq^T + bq    K = key Wk^T + bk    V = value Wv^T + bv
///     y = concat over heads of softmax(Q K^T / sqrt(d) + mask) V,  projected by out_proj
///
///   query [N, L, E]   key, value [N, S, E]   y [N, L, E]
///
///   in_proj_weight [3 E, E]   Wq, Wk, Wv one below another; begins as xavier_uniform
///   in_proj_bias   [3 E]      begins with 0
///   out_proj       Linear E -> E, its bias begins with 0
///
/// Under autocast products are bf16, the softmax and the result f32. A query that may see no key gives NaN, as in
/// PyTorch. In training mode weights are dropped by .dropout. Composed of
/// other ops: differentiable any number of times. Throws std::invalid_argument unless heads divides embed_dim, and for
/// inputs and masks of other shapes and dtypes.
class MultiheadAttention : public Module {
 public:
  struct Options {
    double dropout = 0;  ///< chance of an attention weight to be dropped in training
    bool bias = true;
  };

  MultiheadAttention(Index embed_dim, Index heads, Here here = {})
      : MultiheadAttention(embed_dim, heads, Options{}, here) {}
  MultiheadAttention(Index embed_dim, Index heads, const Options& options, Here here = {});

  /// Of a sequence to itself.
  [[nodiscard]] Tensor operator()(const Tensor& x, Here here = {}) const {
    return (*this)(x, AttentionOptions{}, here);
  }
  [[nodiscard]] Tensor operator()(const Tensor& x, const AttentionOptions& options, Here here = {}) const;
  [[nodiscard]] Tensor operator()(const Tensor& query, const Tensor& key, const Tensor& value,
                                  const AttentionOptions& options = {}, Here here = {}) const;

  /// What attention gives and by which weights.
  struct Result {
    Tensor output;   ///< [N, L, E]
    Tensor weights;  ///< [N, heads, L, S], each row adds up to 1 (before dropout)
  };
  /// The same with the weights; PyTorch gives their mean over the heads.
  [[nodiscard]] Result with_weights(const Tensor& query, const Tensor& key, const Tensor& value,
                                    const AttentionOptions& options = {}, Here here = {}) const;

 private:
  Index embed_dim_, heads_;
  double dropout_;
  Tensor in_proj_weight_, in_proj_bias_;
  Linear out_proj_;
};

/// What stands between the two linear layers of a TransformerEncoderLayer.
enum class TransformerActivation { relu, gelu };

/// A layer of a transformer's encoder (Vaswani et al., 2017), x [N, L, E] -> [N, L, E]:
///
///     x = norm1(x + drop(self_attn(x)))              x = norm2(x + drop(linear2(drop(act(linear1(x))))))
///     x = x + drop(self_attn(norm1(x)))              x = x + drop(linear2(drop(act(linear1(norm2(x))))))   .norm_first
///
/// Keys are PyTorch's: self_attn.*, linear1.*, linear2.*, norm1.*, norm2.*.
class TransformerEncoderLayer : public Module {
 public:
  struct Options {
    Index dim_feedforward = 2048;                                    ///< features between linear1 and linear2
    double dropout = 0.1;                                            ///< of attention weights and of what is added to x
    TransformerActivation activation = TransformerActivation::relu;  ///< between linear1 and linear2
    double layer_norm_eps = 1e-5;                                    ///< added to the variance
    bool norm_first = false;                                         ///< norms in front of what is added, not behind it
  };

  TransformerEncoderLayer(Index d_model, Index heads, Here here = {})
      : TransformerEncoderLayer(d_model, heads, Options{}, here) {}
  TransformerEncoderLayer(Index d_model, Index heads, const Options& options, Here here = {});

  [[nodiscard]] Tensor operator()(const Tensor& x, Here here = {}) const {
    return (*this)(x, AttentionOptions{}, here);
  }
  [[nodiscard]] Tensor operator()(const Tensor& x, const AttentionOptions& options, Here here = {}) const;

 private:
  [[nodiscard]] Tensor attend(const Tensor& x, const AttentionOptions& options) const;
  [[nodiscard]] Tensor feed_forward(const Tensor& x) const;

  TransformerActivation activation_;
  bool norm_first_;
  MultiheadAttention self_attn_;
  Linear linear1_;
  Dropout dropout_;
  Linear linear2_;
  LayerNorm norm1_, norm2_;
  Dropout dropout1_, dropout2_;
};

}  // namespace tapestry::nn
