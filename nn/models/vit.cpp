#include <tapestry/nn/models/vit.h>

#include <tapestry/autograd/base/check.h>
#include <tapestry/nn/init.h>
#include <tapestry/ops/binary.h>
#include <tapestry/ops/broadcast.h>
#include <tapestry/ops/shape_ops.h>

namespace tapestry::nn::models {
namespace {

constexpr double kPositionDeviation = 0.02;

Index patches(const VitOptions& o) {
  if (o.patch < 1 || o.size < o.patch || o.size % o.patch != 0)
    throw_invalid("Vit: .patch must divide .size; got {} and {}", o.patch, o.size);
  return (o.size / o.patch) * (o.size / o.patch);
}

Sequential encoder(const VitOptions& o) {
  Sequential layers;
  for (Index i = 0; i < o.layers; ++i) {
    layers.append(TransformerEncoderLayer{o.width,
                                          o.heads,
                                          {.dim_feedforward = o.hidden,
                                           .dropout = o.dropout,
                                           .activation = TransformerActivation::gelu,
                                           .norm_first = true}});
  }
  return layers;
}

}  // namespace

Vit::Vit(const VitOptions& o, Here here)
    : conv_proj_{[&] {
        const CallSite site(here);
        static_cast<void>(patches(o));
        return child("conv_proj", Conv2d{3, o.width, {.kernel = o.patch, .stride = o.patch}});
      }()},
      class_token_{param("class_token", init::zeros({1, 1, o.width}))},
      pos_embedding_{param("pos_embedding", init::normal({1, patches(o) + 1, o.width}, 0, kPositionDeviation))},
      layers_{child("layers", encoder(o))},
      norm_{child("norm", LayerNorm{o.width})},
      head_{child("head", Linear{o.width, o.classes})} {}

Tensor Vit::operator()(Tensor x, Here here) const {
  const LayerScope scope(*this, here);
  x = scope.input(x);
  const Tensor tokens = flatten(conv_proj_(x), {.start_dim = 1, .end_dim = 2});  // [N, patches, width]
  const Tensor first = broadcast_to(class_token_, {tokens.shape()[0], 1, tokens.shape()[2]});
  x = cat({first, tokens}, {.dim = 1}) + pos_embedding_;
  x = is_checkpointing() ? layers_.in_segments(x, layers_.size(), checkpoint_options()) : layers_(x);
  return scope.output(head_(norm_(select(x, {.dim = 1, .index = 0}))));
}

}  // namespace tapestry::nn::models
