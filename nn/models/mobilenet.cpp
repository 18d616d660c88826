#include <tapestry/nn/models/mobilenet.h>

#include <algorithm>

#include <tapestry/autograd/base/check.h>
#include <tapestry/nn/conv.h>
#include <tapestry/nn/dropout.h>
#include <tapestry/nn/init.h>
#include <tapestry/nn/linear.h>
#include <tapestry/nn/norm.h>
#include <tapestry/ops/activation.h>
#include <tapestry/ops/binary.h>
#include <tapestry/ops/pool2d.h>
#include <tapestry/ops/shape_ops.h>

namespace tapestry::nn::models {
namespace {

struct ConvNorm {
  Index kernel = 1;
  Index stride = 1;
  Index groups = 1;
};

/// Convolution, batch normalisation, RELU6: positions 0 to 2.
Sequential conv_norm_relu6(Index in, Index out, const ConvNorm& c) {
  return Sequential{
      Conv2d{in,
             out,
             {.kernel = c.kernel, .stride = c.stride, .padding = c.kernel / 2, .groups = c.groups, .bias = false}},
      BatchNorm2d{out}, [](const Tensor& x) { return relu6(x); }};
}

Sequential inverted_residual(Index in, Index out, Index stride, Index expansion) {
  const Index width = in * expansion;
  Sequential layers;
  if (expansion != 1) layers.append(conv_norm_relu6(in, width, {}));
  layers.append(conv_norm_relu6(width, width, {.kernel = 3, .stride = stride, .groups = width}));
  layers.append(Conv2d{width, out, {.bias = false}}).append(BatchNorm2d{out});
  return layers;
}

/// The multiple of 8 next to `channels`, at least 8 and not below nine tenths of them.
Index rounded(double channels) {
  constexpr Index kStep = 8;
  const Index nearest = std::max(kStep, static_cast<Index>(channels + kStep / 2) / kStep * kStep);
  return static_cast<double>(nearest) < 0.9 * channels ? nearest + kStep : nearest;
}

struct Stage {
  Index expansion, channels, blocks, stride;
};
constexpr Stage kStages[] = {{1, 16, 1, 1}, {6, 24, 2, 1},  {6, 32, 3, 2}, {6, 64, 4, 2},
                             {6, 96, 3, 1}, {6, 160, 3, 2}, {6, 320, 1, 1}};
constexpr Index kStem = 32, kLast = 1280;

Sequential features(double width) {
  Index in = rounded(kStem * width);
  Sequential layers;  // Sequential{one Sequential} would be that one
  layers.append(conv_norm_relu6(3, in, {.kernel = 3}));
  for (const Stage& stage : kStages) {
    const Index out = rounded(static_cast<double>(stage.channels) * width);
    for (Index i = 0; i < stage.blocks; ++i) {
      layers.append(InvertedResidual{in, out, i == 0 ? stage.stride : 1, stage.expansion});
      in = out;
    }
  }
  return layers.append(conv_norm_relu6(in, rounded(kLast * std::max(1.0, width)), {}));
}

}  // namespace

InvertedResidual::InvertedResidual(Index in, Index out, Index stride, Index expansion)
    : adds_{stride == 1 && in == out}, conv_{child("conv", inverted_residual(in, out, stride, expansion))} {}

Tensor InvertedResidual::operator()(Tensor x, Here here) const {
  const LayerScope scope(*this, here);
  x = scope.input(x);
  return scope.output(adds_ ? x + conv_(x) : conv_(x));
}

MobileNetV2::MobileNetV2(const MobileNetV2Options& options, Here here)
    : features_{[&] {
        const CallSite site(here);
        if (!(options.width > 0)) throw_invalid("MobileNetV2: .width must be positive; got {}", options.width);
        return child("features", features(options.width));
      }()},
      classifier_{child("classifier", Sequential{Dropout{0.2}, Linear{rounded(kLast * std::max(1.0, options.width)),
                                                                      options.classes}})} {
  for (NamedTensor& x : named_parameters()) {
    if (x.tensor.dim() == 4)
      x.tensor.set_data(
          init::kaiming_normal(x.tensor.shape(), {.mode = init::Fan::out, .nonlinearity = init::Nonlinearity::relu}));
    else if (x.tensor.dim() == 2) x.tensor.set_data(init::normal(x.tensor.shape(), 0, 0.01));
    else if (x.name == "classifier.1.bias") x.tensor.set_data(init::zeros(x.tensor.shape()));
  }
}

Tensor MobileNetV2::operator()(Tensor x, Here here) const {
  const LayerScope scope(*this, here);
  x = scope.input(x);
  // Of a block, its input alone is kept, if anything is to be spared.
  x = is_checkpointing() ? features_.in_segments(x, features_.size(), checkpoint_options()) : features_(x);
  return scope.output(classifier_(flatten(global_avg_pool2d(x))));
}

}  // namespace tapestry::nn::models
