#pragma once

#include <optional>

#include <tapestry/autograd/tensor.h>

namespace tapestry {

class Generator;

struct ScaledDotProductAttentionOptions {
  Tensor attn_mask = {};             ///< what broadcasts to [..., L, S]: bool, or a number to be added to each score
  double dropout_p = 0;              ///< chance of a weight to be dropped; 0 in eval mode, which the op does not know
  bool is_causal = false;            ///< query i sees keys 0 ... i only
  std::optional<double> scale = {};  ///< of the scores; 1 / sqrt(E) when absent
  Generator* generator = nullptr;    ///< of the dropout; null: default_generator()
};

/// Attention (Vaswani et al., 2017): of each query the mean of all values, weighted by how well their keys fit it,
///
///     y = dropout(softmax(scale q k^T + mask)) v,   the softmax over the S keys.
///
///   q  [..., L, E]
///   k  [..., S, E]
///   v  [..., S, Ev]
///   y  [..., L, Ev]    the leading dimensions broadcast
///
/// A key takes part where a bool mask is true and where a float mask is above -inf; with .is_causal it must also not
/// come after the query (with a mask, both must allow it). A query that sees no key at all gives 0, and so are its
/// gradients. A float mask has the dtype of q and a gradient.
///
/// Tensors are f32, f64 or bf16, the softmax of which is computed in f32; under autocast products are bf16. Composed of
/// other ops: keeps q, k, v, and some numbers per score, [..., L, S]. Differentiable any number of times. Throws
/// std::invalid_argument for shapes that do not fit, another dtype, a scale that is not finite and a dropout_p outside
/// [0, 1].
[[nodiscard]] Tensor scaled_dot_product_attention(const Tensor& q, const Tensor& k, const Tensor& v,
                                                  const ScaledDotProductAttentionOptions& options = {}, Here here = {});

}  // namespace tapestry
