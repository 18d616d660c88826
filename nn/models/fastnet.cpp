#include <tapestry/nn/models/fastnet.h>

#include <algorithm>

#include <tapestry/autograd/grad_mode.h>
#include <tapestry/nn/activation.h>
#include <tapestry/nn/init.h>
#include <tapestry/nn/pool.h>
#include <tapestry/ops/activation.h>
#include <tapestry/ops/binary.h>
#include <tapestry/ops/cast.h>
#include <tapestry/ops/pool2d.h>
#include <tapestry/ops/reduce.h>
#include <tapestry/ops/shape_ops.h>

namespace tapestry::nn::models {
namespace {

constexpr Index kStem = 24;  // 2 x 2 x 3 directions and their negatives

Conv2d whitening_stem() {
  const Conv2d stem{3, kStem, {.kernel = 2}};
  Tensor weight = stem.weight(), bias = stem.bias();
  weight.requires_grad(false);
  bias.set_data(init::zeros({kStem}));
  return stem;
}

void set_stem(const Conv2d& stem, const Tensor& images) {
  Tensor weight = stem.weight();
  weight.set_data(to(init::whitening(images, {.kernel = 2}), weight.dtype()));
}

/// A convolution of the same size without bias, whose first filters pass a channel on.
Conv2d passing_conv(Index in, Index out, Index kernel) {
  const Conv2d conv{in, out, {.kernel = kernel, .padding = Padding::same, .bias = false}};
  Tensor weight = conv.weight();
  const Index passing = std::min(in, out);
  const Tensor first = slice(init::dirac(weight.shape()), {.end = passing});
  weight.set_data(no_grad([&] { return passing == out ? first : cat({first, slice(weight, {.begin = passing})}); }));
  return conv;
}

}  // namespace

FastGroup::FastGroup(const Options& o)
    : conv1_{child("conv1", passing_conv(o.in, o.out, o.kernel))},
      norm1_{child("norm1", BatchNorm2d{o.out})},
      conv2_{child("conv2", passing_conv(o.out, o.middle, o.first_kernel))},
      norm2_{child("norm2", BatchNorm2d{o.middle})},
      conv3_{child("conv3", passing_conv(o.middle, o.out, o.last_kernel))},
      norm3_{child("norm3", BatchNorm2d{o.out})} {}

Tensor FastGroup::operator()(Tensor x, Here here) const {
  const LayerScope scope(*this, here);
  x = scope.input(x);
  const Tensor y = silu(norm1_(max_pool2d(conv1_(x), {.kernel = 2})));
  return scope.output(y + silu(norm3_(conv3_(silu(norm2_(conv2_(y)))))));
}

FastNet::FastNet(const FastNetOptions& o)
    : stem_{child("stem", whitening_stem())},
      group1_{child("group1", FastGroup({kStem, o.widths[0], o.middles[0], 3, 1, 1}))},
      group2_{child("group2", FastGroup({o.widths[0], o.widths[1], o.middles[1], 3, 3, 1}))},
      group3_{child("group3", FastGroup({o.widths[1], o.widths[2], o.middles[2], 2, 3, 3}))},
      head_{child("head", Linear{o.widths[2], o.classes, {.bias = false}})} {}

Tensor FastNet::operator()(Tensor x, Here here) const {
  const LayerScope scope(*this, here);
  x = scope.input(x);
  constexpr double kLogitScale = 1.25 / 9;
  x = section(x, [stem = stem_](const Tensor& at) { return silu(stem(at)); });
  x = section(x, group1_);
  x = section(x, group2_);
  x = section(x, group3_);
  const Tensor features = amax(x, {.dim = {1, 2}}) + mean(x, {.dim = {1, 2}});
  return scope.output(head_(features) * kLogitScale);
}

void FastNet::whiten(const Tensor& images, Here here) {
  const CallSite site(here);
  set_stem(stem_, images);
}

namespace {

/// Batch normalisation as the recipe has it: its scale stays 1.
BatchNorm2d unscaled_norm(Index channels) {
  const BatchNorm2d norm{channels, {.eps = 1e-12, .momentum = 0.4}};
  Tensor weight = norm.weight();
  weight.requires_grad(false);
  return norm;
}

/// conv1 - POOL - norm1 - GELU - conv2 - norm2 - GELU, under these keys.
class AirGroup : public Module {
 public:
  AirGroup(Index in, Index out)
      : conv1_{child("conv1", passing_conv(in, out, 3))},
        norm1_{child("norm1", unscaled_norm(out))},
        conv2_{child("conv2", passing_conv(out, out, 3))},
        norm2_{child("norm2", unscaled_norm(out))} {}

  [[nodiscard]] Tensor operator()(Tensor x, Here here = {}) const {
    const LayerScope scope(*this, here);
    x = scope.input(x);
    return scope.output(gelu(norm2_(conv2_(gelu(norm1_(max_pool2d(conv1_(x), {.kernel = 2})))))));
  }

 private:
  Conv2d conv1_;
  BatchNorm2d norm1_;
  Conv2d conv2_;
  BatchNorm2d norm2_;
};

}  // namespace

Airbench94::Airbench94(Index classes)
    : stem_{child("stem", whitening_stem())},
      group1_{child("group1", AnyModule(AirGroup{kStem, 64}))},
      group2_{child("group2", AnyModule(AirGroup{64, 256}))},
      group3_{child("group3", AnyModule(AirGroup{256, 256}))},
      head_{child("head", Linear{256, classes, {.bias = false}})} {}

Tensor Airbench94::operator()(Tensor x, Here here) const {
  const LayerScope scope(*this, here);
  x = scope.input(x);
  constexpr double kLogitScale = 1. / 256;
  x = section(x, [stem = stem_](const Tensor& at) { return gelu(stem(at)); });
  x = section(x, group1_);
  x = section(x, group2_);
  x = section(x, group3_);
  return scope.output(head_(flatten(max_pool2d(x, {.kernel = 3}))) * kLogitScale);
}

void Airbench94::whiten(const Tensor& images, Here here) {
  const CallSite site(here);
  set_stem(stem_, images);
}

}  // namespace tapestry::nn::models
