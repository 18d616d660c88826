#include <tapestry/nn/norm.h>

#include <fmt/format.h>

#include <utility>

#include <tapestry/autograd/base/check.h>
#include <tapestry/nn/detail/layer.h>
#include <tapestry/nn/init.h>

namespace tapestry::nn {
namespace {

constinit thread_local bool counts_alike = false;

/// The momentum of a layer that keeps running statistics, or of one that does not.
std::optional<double> momentum_of(const BatchNorm2d::Options& options) {
  if (!options.track_running_stats) return 0.0;
  return CumulativeStatistics::is_active() ? std::nullopt : options.momentum;
}

/// x is [N, H, W, channels].
void check_channels(const char* layer, const Tensor& x, Index channels) {
  if (x.dim() == 4 && x.size(3) == channels) return;
  const bool channels_first = x.dim() == 4 && x.size(1) == channels;
  throw_invalid("{}: the input must be [N, H, W, {}]; got {}{}", layer, channels, x.shape(),
                channels_first ? "; if it is [N, C, H, W], permute(x, {0, 2, 3, 1}) makes it [N, H, W, C]" : "");
}

}  // namespace

CumulativeStatistics::CumulativeStatistics() noexcept : outer_(std::exchange(counts_alike, true)) {}
CumulativeStatistics::~CumulativeStatistics() { counts_alike = outer_; }
bool CumulativeStatistics::is_active() noexcept { return counts_alike; }

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
  check_channels("BatchNorm2d", x, channels_);
  return scope.output(
      batch_norm(x, {.running_mean = running_mean_, .running_var = running_var_, .weight = weight_, .bias = bias_},
                 {.training = is_training() || !options_.track_running_stats,
                  .momentum = momentum_of(options_),
                  .eps = options_.eps,
                  .num_batches_tracked = num_batches_tracked_,
                  .relu = after.relu || options_.relu,
                  .residual = after.residual}));
}

InstanceNorm2d::InstanceNorm2d(Index channels, const Options& options, Here here)
    : channels_(channels), eps_(options.eps) {
  const CallSite site(here);
  detail::check_positive("InstanceNorm2d", "channels", channels);
  if (options.affine) {
    weight_ = param("weight", init::ones({channels}));
    bias_ = param("bias", init::zeros({channels}));
  }
  describe(fmt::format("InstanceNorm2d {}", channels));
}

Tensor InstanceNorm2d::operator()(const Tensor& image, Here here) const {
  const LayerScope scope(*this, here);
  const Tensor x = scope.input(image);
  check_channels("InstanceNorm2d", x, channels_);
  return scope.output(instance_norm(x, weight_, bias_, {.eps = eps_}));
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

BatchNorm1d::BatchNorm1d(Index channels, const Options& options, Here here) : channels_(channels), options_(options) {
  const CallSite site(here);
  detail::check_positive("BatchNorm1d", "channels", channels);
  if (options.affine) {
    weight_ = param("weight", init::ones({channels}));
    bias_ = param("bias", init::zeros({channels}));
  }
  if (options.track_running_stats) {
    running_mean_ = buffer("running_mean", init::zeros({channels}));
    running_var_ = buffer("running_var", init::ones({channels}));
    num_batches_tracked_ = buffer("num_batches_tracked", init::zeros({}, i64));
  }
  describe(fmt::format("BatchNorm1d {}{}", channels, options.relu ? ", relu" : ""));
}

Tensor BatchNorm1d::operator()(const Tensor& values, Here here) const {
  const LayerScope scope(*this, here);
  const Tensor x = scope.input(values);
  const Index rank = x.dim();
  if ((rank != 2 && rank != 3) || x.size(-1) != channels_) {
    const bool channels_first = rank == 3 && x.size(1) == channels_;
    throw_invalid("BatchNorm1d: the input must be [N, {}] or [N, L, {}]; got {}{}", channels_, channels_, x.shape(),
                  channels_first ? "; if it is [N, C, L], transpose(x, 1, 2) makes it [N, L, C]" : "");
  }
  return scope.output(
      batch_norm(x, {.running_mean = running_mean_, .running_var = running_var_, .weight = weight_, .bias = bias_},
                 {.training = is_training() || !options_.track_running_stats,
                  .momentum = momentum_of(options_),
                  .eps = options_.eps,
                  .num_batches_tracked = num_batches_tracked_,
                  .relu = options_.relu}));
}

GroupNorm::GroupNorm(Index groups, Index channels, const Options& options, Here here)
    : groups_(groups), channels_(channels), eps_(options.eps) {
  const CallSite site(here);
  detail::check_positive("GroupNorm", "groups", groups);
  detail::check_positive("GroupNorm", "channels", channels);
  if (channels % groups != 0) {
    throw_invalid("GroupNorm: groups must divide channels; got groups {}, channels {}", groups, channels);
  }
  if (options.affine) {
    weight_ = param("weight", init::ones({channels}));
    bias_ = param("bias", init::zeros({channels}));
  }
  describe(fmt::format("GroupNorm {}, groups {}", channels, groups));
}

Tensor GroupNorm::operator()(const Tensor& values, Here here) const {
  const LayerScope scope(*this, here);
  const Tensor x = scope.input(values);
  if (x.dim() < 2 || x.size(-1) != channels_) {
    const bool channels_first = x.dim() == 4 && x.size(1) == channels_;
    throw_invalid("GroupNorm: the input must be [N, ..., {}]; got {}{}", channels_, x.shape(),
                  channels_first ? "; if it is [N, C, H, W], permute(x, {0, 2, 3, 1}) makes it [N, H, W, C]" : "");
  }
  return scope.output(group_norm(x, weight_, bias_, {.groups = groups_, .eps = eps_}));
}

RMSNorm::RMSNorm(const Shape& normalized_shape, const Options& options, Here here)
    : normalized_shape_(normalized_shape), eps_(options.eps) {
  const CallSite site(here);
  if (options.affine) weight_ = param("weight", init::ones(normalized_shape));
  describe("RMSNorm " + to_string(normalized_shape));
}

Tensor RMSNorm::operator()(const Tensor& x, Here here) const {
  const LayerScope scope(*this, here);
  return scope.output(rms_norm(scope.input(x), normalized_shape_, weight_, {.eps = eps_}));
}

}  // namespace tapestry::nn
