#include <tapestry/nn/norm.h>

#include <fmt/format.h>

#include <tapestry/autograd/base/check.h>
#include <tapestry/nn/detail/layer.h>
#include <tapestry/nn/init.h>

namespace tapestry::nn {

BatchNorm2d::BatchNorm2d(Index channels, const Options& options, Here here) : channels_(channels), options_(options) {
  const CallSite site(here);
  detail::check_positive("BatchNorm2d", "channels", channels);
  if (options.affine) {
    weight_ = param("weight", init::ones({channels}));
    bias_ = param("bias", init::zeros({channels}));
  }
  if (options.track_running_stats) {
    running_mean_ = buffer("running_mean", init::zeros({channels}));
    running_var_ = buffer("running_var", init::ones({channels}));
    num_batches_tracked_ = buffer("num_batches_tracked", init::zeros({}, i64));
  }
  describe(fmt::format("BatchNorm2d {}{}", channels, options.relu ? ", relu" : ""));
}

Tensor BatchNorm2d::operator()(const Tensor& x, Here here) const { return (*this)(x, After{}, here); }

Tensor BatchNorm2d::operator()(const Tensor& image, const After& after, Here here) const {
  const LayerScope scope(*this, here);
  const Tensor x = scope.input(image);
  if (x.dim() != 4 || x.size(3) != channels_) {
    const bool channels_first = x.dim() == 4 && x.size(1) == channels_;
    throw_invalid("BatchNorm2d: the input must be [N, H, W, {}]; got {}{}", channels_, x.shape(),
                  channels_first ? "; if it is [N, C, H, W], permute(x, {0, 2, 3, 1}) makes it [N, H, W, C]" : "");
  }
  return scope.output(batch_norm(x, weight_, bias_, running_mean_, running_var_,
                                 {.training = is_training() || !options_.track_running_stats,
                                  .momentum = options_.track_running_stats ? options_.momentum : 0.0,
                                  .eps = options_.eps,
                                  .num_batches_tracked = num_batches_tracked_,
                                  .relu = after.relu || options_.relu,
                                  .residual = after.residual}));
}

LayerNorm::LayerNorm(const Shape& normalized_shape, const Options& options, Here here)
    : normalized_shape_(normalized_shape), eps_(options.eps) {
  const CallSite site(here);
  if (options.affine) {
    weight_ = param("weight", init::ones(normalized_shape));
    bias_ = param("bias", init::zeros(normalized_shape));
  }
  describe("LayerNorm " + to_string(normalized_shape));
}

Tensor LayerNorm::operator()(const Tensor& x, Here here) const {
  const LayerScope scope(*this, here);
  return scope.output(layer_norm(scope.input(x), normalized_shape_, weight_, bias_, {.eps = eps_}));
}

}  // namespace tapestry::nn
