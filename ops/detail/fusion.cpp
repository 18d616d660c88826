#include <tapestry/ops/detail/fusion.h>

#include <tapestry/ops/kernels/batch_norm.h>
#include <tapestry/ops/kernels/elementwise.h>

namespace tapestry {
namespace {

// Positions in a ChannelAffine's inputs.
enum : std::size_t { kX, kMean, kScale, kShift, kResidual };

}  // namespace

ChannelAffine::ChannelAffine(const Tensor& x, const Tensor& mean, const Tensor& scale, const Tensor& shift,
                             const Tensor& residual)
    : Deferred(residual.defined() ? std::vector{x, mean, scale, shift, residual} : std::vector{x, mean, scale, shift}) {
}

void ChannelAffine::apply(const std::vector<Tensor>& inputs, bool relu, std::byte* y) {
  const Tensor& x = inputs[kX];
  const Index channels = x.size(-1);
  visit_any_float(x.dtype(), [&]<class T>() {
    using Statistic = ComputeType<T>;
    kernels::channel_affine(
        x.data<T>(), channels == 0 ? 0 : x.numel() / channels, channels, inputs[kMean].data<Statistic>(),
        inputs[kScale].data<Statistic>(), inputs[kShift].data<Statistic>(),
        inputs.size() > kResidual ? inputs[kResidual].data<T>() : nullptr, relu, reinterpret_cast<T*>(y));
  });
}

Tensor add_to_batch_norm(const Tensor& a, const Tensor& b) {
  const auto fused = [](const Tensor& norm, const Tensor& other) -> Tensor {
    const Ref<ChannelAffine> waiting = deferred<ChannelAffine>(norm);
    if (!waiting || norm.shape() != other.shape() || norm.dtype() != other.dtype()) return {};
    const std::vector<Tensor> inputs = waiting->inputs();
    if (inputs.size() != kResidual) return {};  // done meanwhile by another thread, or a sum already
    return defer(norm.shape(), norm.dtype(),
                 Ref<Deferred>::adopt(
                     new ChannelAffine(inputs[kX], inputs[kMean], inputs[kScale], inputs[kShift], other.detach())));
  };
  const Tensor y = fused(a, b);
  return y.defined() ? y : fused(b, a);
}

ReluOfBatchNorm relu_of_batch_norm(const Tensor& x) {
  const Ref<ChannelAffine> waiting = deferred<ChannelAffine>(x);
  const std::vector<Tensor> inputs = waiting ? waiting->inputs() : std::vector<Tensor>();
  if (inputs.empty()) return {};
  Tensor y = empty(x.shape(), x.dtype());
  ChannelAffine::apply(inputs, true, y.impl().bytes());
  return {y, inputs.size() > kResidual ? Tensor() : inputs[kMean]};
}

ReluGrad::ReluGrad(const Tensor& dy, const Tensor& y, const Tensor& mean)
    : Deferred(mean.defined() ? std::vector{dy, y, mean} : std::vector{dy, y}) {}

ReluGrad::Parts ReluGrad::parts() const {
  const std::vector<Tensor> all = inputs();
  if (all.empty()) return {};
  return {all[0], all[1], all.size() > 2 ? all[2] : Tensor()};
}

void ReluGrad::compute(const std::vector<Tensor>& inputs, std::byte* dx) const {
  const Tensor& dy = inputs[0];
  visit_any_float(dy.dtype(), [&]<class T>() {
    kernels::binary(kernels::Binary::relu_grad, {dy.numel(), 1, 1}, dy.data<T>(), inputs[1].data<T>(),
                    reinterpret_cast<T*>(dx));
  });
}

}  // namespace tapestry
