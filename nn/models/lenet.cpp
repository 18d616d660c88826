#include <tapestry/nn/models/lenet.h>

#include <tapestry/autograd/base/check.h>
#include <tapestry/ops/activation.h>
#include <tapestry/ops/pool2d.h>
#include <tapestry/ops/shape_ops.h>

namespace tapestry::nn::models {
namespace {

constexpr Index kMnist = 28;  // whose images are padded by two pixels on each side

Index padding_for(const LeNet5Options& options) {
  constexpr Index kSmallest = 14;  // leaves one pixel
  if (options.size < kSmallest) throw_invalid("LeNet5: .size must be at least {}; got {}", kSmallest, options.size);
  return options.size == kMnist ? 2 : 0;
}

/// Height and width in front of the linear layers.
Index last_size(const LeNet5Options& options) {
  const Index first = (options.size + 2 * padding_for(options) - 4) / 2;
  return (first - 4) / 2;
}

}  // namespace

LeNet5::LeNet5(const LeNet5Options& options, Here here)
    : padding_{[&] {
        const CallSite site(here);
        return padding_for(options);
      }()},
      conv1_{child("conv1", Conv2d{options.channels, 6, {.kernel = 5, .padding = padding_}})},
      conv2_{child("conv2", Conv2d{6, 16, {.kernel = 5}})},
      fc1_{child("fc1", Linear{last_size(options) * last_size(options) * 16,
                               120,
                               {.flattened = {last_size(options), last_size(options)}}})},
      fc2_{child("fc2", Linear{120, 84})},
      fc3_{child("fc3", Linear{84, options.classes})} {}

Tensor LeNet5::operator()(Tensor x, Here here) const {
  const LayerScope scope(*this, here);
  x = scope.input(x);
  const auto stage = [](const Conv2d& conv) {
    return [conv](const Tensor& at) { return max_pool2d(relu(conv(at)), {.kernel = 2}); };
  };
  x = section(x, stage(conv1_));
  x = section(x, stage(conv2_));
  return scope.output(fc3_(relu(fc2_(relu(fc1_(flatten(x)))))));
}

}  // namespace tapestry::nn::models
