#include <tapestry/nn/models/vgg.h>

#include <vector>

#include <tapestry/nn/activation.h>
#include <tapestry/nn/conv.h>
#include <tapestry/nn/dropout.h>
#include <tapestry/nn/identity.h>
#include <tapestry/nn/init.h>
#include <tapestry/nn/linear.h>
#include <tapestry/nn/norm.h>
#include <tapestry/nn/pool.h>
#include <tapestry/ops/shape_ops.h>

namespace tapestry::nn::models {
namespace {

constexpr Index kPool = 0;

std::vector<Index> layers_of(VggConfiguration configuration) {
  if (configuration == VggConfiguration::A)
    return {64, kPool, 128, kPool, 256, 256, kPool, 512, 512, kPool, 512, 512, kPool};
  return {64, 64, kPool, 128, 128, kPool, 256, 256, 256, kPool, 512, 512, 512, kPool, 512, 512, 512, kPool};
}

Sequential features(VggConfiguration configuration) {
  Sequential layers;
  Index in = 3;
  for (const Index out : layers_of(configuration)) {
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

Linear last_layer(Index classes) {
  const Linear layer{512, classes};
  Tensor weight = layer.weight(), bias = layer.bias();
  weight.set_data(init::normal(weight.shape(), 0, 0.01));
  bias.set_data(init::zeros({classes}));
  return layer;
}

AnyModule classifier(const VggOptions& options) {
  if (!options.hidden) return AnyModule(last_layer(options.classes));
  // In the order of the network that the keys come from, whose dropouts stand behind each RELU.
  return AnyModule(Sequential{Linear{512, 512}, ReLU{}, Dropout{0.5}, Linear{512, 512}, ReLU{}, Dropout{0.5},
                              last_layer(options.classes)});
}

}  // namespace

Vgg::Vgg(const VggOptions& options)
    : features_{child("features", features(options.configuration))},
      classifier_{child("classifier", classifier(options))} {}

Tensor Vgg::operator()(Tensor x, Here here) const {
  const LayerScope scope(*this, here);
  x = scope.input(x);
  constexpr std::size_t kSegments = 6;  // the first two, of full size, with one convolution or two each
  x = is_checkpointing() ? features_.in_segments(x, kSegments, checkpoint_options()) : features_(x);
  return scope.output(classifier_(flatten(x)));
}

}  // namespace tapestry::nn::models
