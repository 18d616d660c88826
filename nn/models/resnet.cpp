#include <tapestry/nn/models/resnet.h>

#include <tapestry/autograd/base/check.h>
#include <tapestry/nn/init.h>
#include <tapestry/ops/pool2d.h>
#include <tapestry/ops/shape_ops.h>

namespace tapestry::nn::models {

BasicBlock::BasicBlock(Index in, Index out, Index stride, Shortcut shortcut)
    : conv1_{child("conv1", Conv2d{in, out, {.kernel = 3, .stride = stride, .padding = 1, .bias = false}})},
      bn1_{child("bn1", BatchNorm2d{out})},
      conv2_{child("conv2", Conv2d{out, out, {.kernel = 3, .padding = 1, .bias = false}})},
      bn2_{child("bn2", BatchNorm2d{out})} {
  if (stride == 1 && in == out) return;
  if (shortcut == Shortcut::padded) {
    missing_ = out - in;
  } else {
    downsample_ = child("downsample",
                        Sequential{Conv2d{in, out, {.kernel = 1, .stride = stride, .bias = false}}, BatchNorm2d{out}});
  }
}

namespace {

/// Every second pixel of x, with as many channels of zeros more on both sides, as nearly as that goes.
Tensor padded_shortcut(const Tensor& x, Index missing) {
  const Tensor pixels = slice(slice(x, {.dim = 1, .step = 2}), {.dim = 2, .step = 2});
  return pad(pixels, {{0, 0}, {0, 0}, {0, 0}, {missing / 2, missing - missing / 2}});
}

}  // namespace

Tensor BasicBlock::operator()(Tensor x, Here here) const {
  const LayerScope scope(*this, here);
  x = scope.input(x);
  const Tensor y = conv2_(bn1_(conv1_(x), {.relu = true}));
  const Tensor shortcut = downsample_ ? (*downsample_)(x) : missing_ > 0 ? padded_shortcut(x, missing_) : x;
  return scope.output(bn2_(y, {.relu = true, .residual = shortcut}));
}

namespace {

Sequential stage(Index in, Index out, Index stride, const ResNetOptions& options) {
  Sequential layers;
  for (Index i = 0; i < options.blocks; ++i)
    layers.append(BasicBlock{i == 0 ? in : out, out, i == 0 ? stride : 1, options.shortcut});
  return layers;
}

Index first_width(const ResNetOptions& options) {
  if (options.widths.empty() || options.blocks < 1) {
    throw_invalid("ResNet: there must be at least one stage of at least one block; got {} and {}",
                  options.widths.size(), options.blocks);
  }
  return options.widths.front();
}

}  // namespace

ResNet::ResNet(const ResNetOptions& options, Here here)
    : conv1_{child("conv1", Conv2d{3, first_width(options), {.kernel = 3, .padding = 1, .bias = false}})},
      bn1_{child("bn1", BatchNorm2d{options.widths.front()})},
      stages_{[&] {
        std::vector<Sequential> stages;
        Index in = options.widths.front();
        for (const Index width : options.widths) {
          const std::string name = "layer" + std::to_string(stages.size() + 1);
          stages.push_back(child(name, stage(in, width, stages.empty() ? 1 : 2, options)));
          in = width;
        }
        return stages;
      }()},
      fc_{child("fc", Linear{options.widths.back(), options.classes})} {
  const CallSite site(here);
  if (options.init == ConvInit::fan_in_uniform) return;
  for (NamedTensor& x : named_parameters()) {
    if (x.tensor.dim() != 4) continue;
    x.tensor.set_data(
        init::kaiming_normal(x.tensor.shape(), {.mode = init::Fan::out, .nonlinearity = init::Nonlinearity::relu}));
  }
}

Tensor ResNet::operator()(Tensor x, Here here) const {
  const LayerScope scope(*this, here);
  x = scope.input(x);
  x = section(x, [conv = conv1_, bn = bn1_](const Tensor& at) { return bn(conv(at), {.relu = true}); });
  // Of a block, its input alone is kept, if anything is to be spared.
  for (const Sequential& blocks : stages_)
    x = is_checkpointing() ? blocks.in_segments(x, blocks.size(), checkpoint_options()) : blocks(x);
  return scope.output(fc_(flatten(global_avg_pool2d(x))));
}

ResNet resnet_cifar(Index depth, Index classes, Shortcut shortcut, Here here) {
  const CallSite site(here);
  if (depth < 8 || (depth - 2) % 6 != 0) throw_invalid("resnet_cifar: depth must be 6 n + 2; got {}", depth);
  return ResNet({.widths = {16, 32, 64}, .blocks = (depth - 2) / 6, .classes = classes, .shortcut = shortcut});
}

ResNet resnet18(Index classes, Here here) {
  const CallSite site(here);
  return ResNet({.widths = {64, 128, 256, 512}, .blocks = 2, .classes = classes, .init = ConvInit::fan_in_uniform});
}

}  // namespace tapestry::nn::models
