#include <tapestry/nn/models/vgg.h>

#include <tapestry/nn/conv.h>
#include <tapestry/nn/identity.h>
#include <tapestry/nn/init.h>
#include <tapestry/nn/norm.h>
#include <tapestry/nn/pool.h>
#include <tapestry/ops/shape_ops.h>

namespace tapestry::nn::models {
namespace {

constexpr Index kPool = 0;
constexpr Index kConfigurationD[] = {64,    64,  kPool, 128, 128,   kPool, 256, 256, 256,
                                     kPool, 512, 512,   512, kPool, 512,   512, 512, kPool};

Sequential features() {
  Sequential layers;
  Index in = 3;
  for (const Index out : kConfigurationD) {
    if (out == kPool) {
      layers.append(MaxPool2d{2});
      continue;
    }
    Conv2d conv{in, out, {.kernel = 3, .padding = 1}};
    // As in the recipes whose accuracy is quoted for this network.
    Tensor weight = conv.weight();
    weight.set_data(
        init::kaiming_normal(weight.shape(), {.mode = init::Fan::out, .nonlinearity = init::Nonlinearity::relu}));
    Tensor bias = conv.bias();
    bias.set_data(init::zeros({out}));
    // Published weights count a relu behind each norm: its place is kept, and with it everybody's key.
    layers.append(conv).append(BatchNorm2d{out, {.relu = true}}).append(Identity{});
    in = out;
  }
  return layers;
}

}  // namespace

Vgg16Bn::Vgg16Bn(Index classes)
    : features_{child("features", features())}, classifier_{child("classifier", Linear{512, classes})} {
  Tensor weight = classifier_.weight();
  weight.set_data(init::normal(weight.shape(), 0, 0.01));
  Tensor bias = classifier_.bias();
  bias.set_data(init::zeros({classes}));
}

Tensor Vgg16Bn::operator()(Tensor x, Here here) const {
  const LayerScope scope(*this, here);
  x = scope.input(x);
  constexpr std::size_t kSegments = 6;  // the first two, of full size, with one convolution or two each
  x = is_checkpointing() ? features_.in_segments(x, kSegments, checkpoint_options()) : features_(x);
  return scope.output(classifier_(flatten(x)));
}

}  // namespace tapestry::nn::models
