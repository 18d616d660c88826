#include <algorithm>

#include <fmt/format.h>

#include <tapestry/autograd/base/check.h>
#include <tapestry/nn/activation.h>
#include <tapestry/nn/conv.h>
#include <tapestry/nn/dropout.h>
#include <tapestry/nn/flatten.h>
#include <tapestry/nn/identity.h>
#include <tapestry/nn/init.h>
#include <tapestry/nn/linear.h>
#include <tapestry/nn/norm.h>
#include <tapestry/nn/pool.h>
#include <tapestry/ops/dropout.h>
#include <tapestry/ops/matmul.h>

namespace tapestry::nn {
namespace {

void check_positive(const char* layer, const char* what, Index value) {
  if (value < 1) throw_invalid("{}: {} must be at least 1; got {}", layer, what, value);
}

std::string text(const Pair2& pair) { return fmt::format("{}x{}", pair.h, pair.w); }

}  // namespace

// --- convolution

Conv2d::Conv2d(Index in, Index out, const Conv2dOptions& options)
    : options_{.stride = options.stride,
               .padding = options.padding,
               .dilation = options.dilation,
               .groups = options.groups} {
  check_positive("Conv2d", "in", in);
  check_positive("Conv2d", "out", out);
  check_positive("Conv2d", "kernel", std::min(options.kernel.h, options.kernel.w));
  check_positive("Conv2d", "groups", options.groups);
  if (in % options.groups != 0 || out % options.groups != 0) {
    throw_invalid("Conv2d: groups must divide in and out; got groups {}, in {}, out {}", options.groups, in, out);
  }
  const Shape shape{out, options.kernel.h, options.kernel.w, in / options.groups};
  const Index fan_in = init::fans(shape).in;
  weight_ = param("weight", init::fan_in_uniform(shape, fan_in));
  if (options.bias) bias_ = param("bias", init::fan_in_uniform({out}, fan_in));
  std::string description = fmt::format("Conv2d {} -> {}, kernel {}", in, out, text(options.kernel));
  if (options.stride != Pair2(1)) description += ", stride " + text(options.stride);
  if (options.dilation != Pair2(1)) description += ", dilation " + text(options.dilation);
  if (options.groups != 1) description += fmt::format(", groups {}", options.groups);
  describe(std::move(description));
}

Tensor Conv2d::operator()(const Tensor& x, Here here) const {
  const CallSite site(here);
  const ModuleScope scope(path());
  return conv2d(x, weight_, bias_, options_);
}

// --- linear

Linear::Linear(Index in, Index out, const LinearOptions& options) {
  check_positive("Linear", "in", in);
  check_positive("Linear", "out", out);
  const FlattenedImage& image = options.flattened;
  if (image.h < 1 || image.w < 1 || in % (image.h * image.w) != 0) {
    throw_invalid("Linear: in must be a multiple of flattened.h x flattened.w; got {} and {} x {}", in, image.h,
                  image.w);
  }
  weight_ = param("weight", init::fan_in_uniform({out, in}, in), image);
  if (options.bias) bias_ = param("bias", init::fan_in_uniform({out}, in));
  describe(fmt::format("Linear {} -> {}", in, out));
}

Tensor Linear::operator()(const Tensor& x, Here here) const {
  const CallSite site(here);
  const ModuleScope scope(path());
  return linear(x, weight_, bias_);
}

// --- normalisation

BatchNorm2d::BatchNorm2d(Index channels, const BatchNormOptions& options) : channels_(channels), options_(options) {
  check_positive("BatchNorm2d", "channels", channels);
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

Tensor BatchNorm2d::operator()(const Tensor& x, Here here) const { return (*this)(x, AfterBatchNorm{}, here); }

Tensor BatchNorm2d::operator()(const Tensor& x, const AfterBatchNorm& after, Here here) const {
  const CallSite site(here);
  const ModuleScope scope(path());
  if (x.dim() != 4 || x.size(3) != channels_) {
    throw_invalid("BatchNorm2d: the input must be [N, H, W, {}]; got {}", channels_, x.shape());
  }
  return batch_norm(x, weight_, bias_, running_mean_, running_var_,
                    {.training = is_training() || !options_.track_running_stats,
                     .momentum = options_.track_running_stats ? options_.momentum : 0.0,
                     .eps = options_.eps,
                     .num_batches_tracked = num_batches_tracked_,
                     .relu = after.relu || options_.relu,
                     .residual = after.residual});
}

LayerNorm::LayerNorm(const Shape& normalized_shape, const LayerNormOptions& options)
    : normalized_shape_(normalized_shape), eps_(options.eps) {
  if (options.affine) {
    weight_ = param("weight", init::ones(normalized_shape));
    bias_ = param("bias", init::zeros(normalized_shape));
  }
  describe("LayerNorm " + to_string(normalized_shape));
}

Tensor LayerNorm::operator()(const Tensor& x, Here here) const {
  const CallSite site(here);
  const ModuleScope scope(path());
  return layer_norm(x, normalized_shape_, weight_, bias_, {.eps = eps_});
}

// --- dropout

Dropout::Dropout(double p) : p_(p) {
  if (!(p >= 0 && p <= 1)) throw_invalid("Dropout: p must be in [0, 1]; got {}", p);
  describe(fmt::format("Dropout {}", p));
}

Tensor Dropout::operator()(const Tensor& x, Here here) const {
  const CallSite site(here);
  const ModuleScope scope(path());
  return dropout(x, {.p = p_, .training = is_training()});
}

// --- pooling

MaxPool2d::MaxPool2d(const MaxPool2dOptions& options) : options_(options) {
  describe(fmt::format("MaxPool2d {}, stride {}", text(options.kernel), text(options.stride.value_or(options.kernel))));
}

Tensor MaxPool2d::operator()(const Tensor& x, Here here) const {
  const CallSite site(here);
  const ModuleScope scope(path());
  return max_pool2d(x, options_);
}

AvgPool2d::AvgPool2d(const AvgPool2dOptions& options) : options_(options) {
  describe(fmt::format("AvgPool2d {}, stride {}", text(options.kernel), text(options.stride.value_or(options.kernel))));
}

Tensor AvgPool2d::operator()(const Tensor& x, Here here) const {
  const CallSite site(here);
  const ModuleScope scope(path());
  return avg_pool2d(x, options_);
}

AdaptiveAvgPool2d::AdaptiveAvgPool2d(Pair2 output) : output_(output) {
  check_positive("AdaptiveAvgPool2d", "output", std::min(output.h, output.w));
  describe("AdaptiveAvgPool2d to " + text(output));
}

Tensor AdaptiveAvgPool2d::operator()(const Tensor& x, Here here) const {
  const CallSite site(here);
  const ModuleScope scope(path());
  return adaptive_avg_pool2d(x, output_);
}

GlobalAvgPool2d::GlobalAvgPool2d() { describe("GlobalAvgPool2d"); }

Tensor GlobalAvgPool2d::operator()(const Tensor& x, Here here) const {
  const CallSite site(here);
  const ModuleScope scope(path());
  return global_avg_pool2d(x);
}

// --- activations

ReLU::ReLU() { describe("ReLU"); }
Sigmoid::Sigmoid() { describe("Sigmoid"); }
Tanh::Tanh() { describe("Tanh"); }
SiLU::SiLU() { describe("SiLU"); }
GELU::GELU(const GeluOptions& options) : options_(options) {
  describe(options.approximate == GeluApproximation::tanh ? "GELU by tanh" : "GELU");
}
LeakyReLU::LeakyReLU(const LeakyReluOptions& options) : options_(options) {
  describe(fmt::format("LeakyReLU {}", options.negative_slope));
}

Tensor ReLU::operator()(const Tensor& x, Here here) const {
  const CallSite site(here);
  const ModuleScope scope(path());
  return relu(x);
}

Tensor Sigmoid::operator()(const Tensor& x, Here here) const {
  const CallSite site(here);
  const ModuleScope scope(path());
  return sigmoid(x);
}

Tensor Tanh::operator()(const Tensor& x, Here here) const {
  const CallSite site(here);
  const ModuleScope scope(path());
  return tanh(x);
}

Tensor SiLU::operator()(const Tensor& x, Here here) const {
  const CallSite site(here);
  const ModuleScope scope(path());
  return silu(x);
}

Tensor GELU::operator()(const Tensor& x, Here here) const {
  const CallSite site(here);
  const ModuleScope scope(path());
  return gelu(x, options_);
}

Tensor LeakyReLU::operator()(const Tensor& x, Here here) const {
  const CallSite site(here);
  const ModuleScope scope(path());
  return leaky_relu(x, options_);
}

// --- shape

Identity::Identity() { describe("Identity"); }

Tensor Identity::operator()(const Tensor& x, Here) const { return x; }

Flatten::Flatten(const FlattenOptions& options) : options_(options) { describe("Flatten"); }

Tensor Flatten::operator()(const Tensor& x, Here here) const {
  const CallSite site(here);
  const ModuleScope scope(path());
  return flatten(x, options_);
}

}  // namespace tapestry::nn
