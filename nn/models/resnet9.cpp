#include <tapestry/nn/models/resnet9.h>

#include <tapestry/nn/conv.h>
#include <tapestry/nn/norm.h>
#include <tapestry/nn/pool.h>
#include <tapestry/ops/binary.h>
#include <tapestry/ops/pool2d.h>
#include <tapestry/ops/shape_ops.h>

namespace tapestry::nn::models {
namespace {

Sequential conv_norm(Index in, Index out) {
  return Sequential{Conv2d{in, out, {.kernel = 3, .padding = 1, .bias = false}}, BatchNorm2d{out, {.relu = true}}};
}

Sequential halved(Index in, Index out) { return conv_norm(in, out).append(MaxPool2d{2}); }

Sequential twice(Index width) { return Sequential{conv_norm(width, width), conv_norm(width, width)}; }

}  // namespace

ResNet9::ResNet9(Index classes)
    : prep_{child("prep", conv_norm(3, 64))},
      layer1_{child("layer1", halved(64, 128))},
      res1_{child("res1", twice(128))},
      layer2_{child("layer2", halved(128, 256))},
      layer3_{child("layer3", halved(256, 512))},
      res3_{child("res3", twice(512))},
      linear_{child("linear", Linear{512, classes, {.bias = false}})} {}

Tensor ResNet9::operator()(Tensor x, Here here) const {
  const LayerScope scope(*this, here);
  x = scope.input(x);
  constexpr double kLogitScale = 0.125;
  x = section(x, prep_);                                                     // [N, 32, 32, 64]
  x = section(x, layer1_);                                                   // [N, 16, 16, 128]
  x = section(x, [res = res1_](const Tensor& at) { return at + res(at); });  // the same
  x = section(x, layer2_);                                                   // [N, 8, 8, 256]
  x = section(x, layer3_);                                                   // [N, 4, 4, 512]
  x = section(x, [res = res3_](const Tensor& at) { return at + res(at); });  // the same
  return scope.output(linear_(flatten(max_pool2d(x, {.kernel = 4}))) * kLogitScale);
}

}  // namespace tapestry::nn::models
