#include <tapestry/nn/models/wide_resnet.h>

#include <string>

#include <tapestry/autograd/base/check.h>
#include <tapestry/nn/init.h>
#include <tapestry/ops/binary.h>
#include <tapestry/ops/pool2d.h>
#include <tapestry/ops/shape_ops.h>

namespace tapestry::nn::models {

WideBlock::WideBlock(Index in, Index out, Index stride, double dropout)
    : bn1_{child("bn1", BatchNorm2d{in, {.relu = true}})},
      conv1_{child("conv1", Conv2d{in, out, {.kernel = 3, .stride = stride, .padding = 1, .bias = false}})},
      bn2_{child("bn2", BatchNorm2d{out, {.relu = true}})},
      dropout_{child("dropout", Dropout{dropout})},
      conv2_{child("conv2", Conv2d{out, out, {.kernel = 3, .padding = 1, .bias = false}})} {
  if (in != out || stride != 1)
    shortcut_ = child("convShortcut", Conv2d{in, out, {.kernel = 1, .stride = stride, .bias = false}});
}

Tensor WideBlock::operator()(Tensor x, Here here) const {
  const LayerScope scope(*this, here);
  x = scope.input(x);
  const Tensor active = bn1_(x);
  const Tensor y = conv2_(dropout_(bn2_(conv1_(active))));
  return scope.output(y + (shortcut_ ? (*shortcut_)(active) : x));
}

Tensor WideStage::operator()(Tensor x, Here here) const {
  const LayerScope scope(*this, here);
  x = scope.input(x);
  return scope.output(layer_(x));
}

Tensor WideStage::in_segments(Tensor x, const CheckpointOptions& options, Here here) const {
  const LayerScope scope(*this, here);
  x = scope.input(x);
  return scope.output(layer_.in_segments(x, layer_.size(), options));
}

namespace {

constexpr Index kStem = 16;

Sequential blocks(Index in, Index out, Index count, Index stride, double dropout) {
  Sequential layers;
  for (Index i = 0; i < count; ++i) layers.append(WideBlock{i == 0 ? in : out, out, i == 0 ? stride : 1, dropout});
  return layers;
}

Index blocks_per_stage(const WideResNetOptions& options) {
  if (options.depth < 10 || (options.depth - 4) % 6 != 0)
    throw_invalid("WideResNet: .depth must be 6 n + 4; got {}", options.depth);
  if (options.width < 1) throw_invalid("WideResNet: .width must be at least 1; got {}", options.width);
  return (options.depth - 4) / 6;
}

}  // namespace

WideResNet::WideResNet(const WideResNetOptions& options, Here here)
    : conv1_{child("conv1", Conv2d{3, kStem, {.kernel = 3, .padding = 1, .bias = false}})},
      stages_{[&] {
        const CallSite site(here);
        const Index count = blocks_per_stage(options);
        std::vector<WideStage> stages;
        Index in = kStem;
        for (const Index factor : {1, 2, 4}) {
          const Index out = kStem * options.width * factor;
          const std::string name = "block" + std::to_string(stages.size() + 1);
          stages.push_back(child(name, WideStage{blocks(in, out, count, stages.empty() ? 1 : 2, options.dropout)}));
          in = out;
        }
        return stages;
      }()},
      bn1_{child("bn1", BatchNorm2d{kStem * options.width * 4, {.relu = true}})},
      fc_{child("fc", Linear{kStem * options.width * 4, options.classes})} {
  for (NamedTensor& x : named_parameters()) {
    if (x.tensor.dim() != 4) continue;
    x.tensor.set_data(
        init::kaiming_normal(x.tensor.shape(), {.mode = init::Fan::out, .nonlinearity = init::Nonlinearity::relu}));
  }
  Tensor bias = fc_.bias();
  bias.set_data(init::zeros({options.classes}));
}

Tensor WideResNet::operator()(Tensor x, Here here) const {
  const LayerScope scope(*this, here);
  x = scope.input(x);
  x = conv1_(x);
  for (const WideStage& stage : stages_) x = is_checkpointing() ? stage.in_segments(x, checkpoint_options()) : stage(x);
  return scope.output(fc_(flatten(global_avg_pool2d(bn1_(x)))));
}

}  // namespace tapestry::nn::models
