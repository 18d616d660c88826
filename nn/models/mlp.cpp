#include <tapestry/nn/models/mlp.h>

#include <tapestry/ops/activation.h>
#include <tapestry/ops/shape_ops.h>

namespace tapestry::nn::models {

Mlp::Mlp(Index classes)
    : fc1_{child("fc1", Linear{32 * 32 * 3, 1024, {.flattened = {32, 32}}})},
      fc2_{child("fc2", Linear{1024, 1024})},
      fc3_{child("fc3", Linear{1024, classes})} {}

Tensor Mlp::operator()(const Tensor& x, Here here) const {
  const LayerScope scope(*this, here);
  const auto layer = [](const Linear& fc) { return [fc](const Tensor& at) { return relu(fc(at)); }; };
  return scope.output(fc3_(section(section(flatten(scope.input(x)), layer(fc1_)), layer(fc2_))));
}

}  // namespace tapestry::nn::models
