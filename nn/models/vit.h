#pragma once

#include <tapestry/nn/attention.h>
#include <tapestry/nn/conv.h>
#include <tapestry/nn/linear.h>
#include <tapestry/nn/norm.h>
#include <tapestry/nn/sequential.h>

namespace tapestry::nn::models {

struct VitOptions {
  Index size = 32;     ///< height and width of the images
  Index patch = 4;     ///< height and width of a patch; divides the size
  Index width = 192;   ///< features of a token
  Index layers = 6;    ///< of the encoder
  Index heads = 3;     ///< per layer; divides the width
  Index hidden = 384;  ///< features within the feed-forward part of a layer
  double dropout = 0;  ///< in all of them
  Index classes = 100;
};

/// A vision transformer (Dosovitskiy et al., 2021): patches of the image, each mapped to a token by one linear map, and
/// a learnt token for the class in front of them; learnt positions are added; encoder layers that normalise first, with
/// GELU; a norm and a linear layer of the class's token. x [N, size, size, 3] -> [N, classes]. 1,823,908 parameters as
/// by default. Keys class_token, pos_embedding, conv_proj.weight, layers.0.self_attn.in_proj_weight, ..., norm.weight,
/// head.bias. Throws std::invalid_argument unless patch divides size and heads the width.
class Vit : public Module {
 public:
  explicit Vit(const VitOptions& options = {}, Here here = {});
  [[nodiscard]] Tensor operator()(Tensor x, Here here = {}) const;

 private:
  Conv2d conv_proj_;
  Tensor class_token_, pos_embedding_;
  Sequential layers_;
  LayerNorm norm_;
  Linear head_;
};

}  // namespace tapestry::nn::models
