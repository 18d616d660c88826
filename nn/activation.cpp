#include <tapestry/nn/activation.h>

#include <fmt/format.h>

namespace tapestry::nn {

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
  const LayerScope scope(*this, here);
  return relu(x);
}

Tensor Sigmoid::operator()(const Tensor& x, Here here) const {
  const LayerScope scope(*this, here);
  return sigmoid(x);
}

Tensor Tanh::operator()(const Tensor& x, Here here) const {
  const LayerScope scope(*this, here);
  return tanh(x);
}

Tensor SiLU::operator()(const Tensor& x, Here here) const {
  const LayerScope scope(*this, here);
  return silu(x);
}

Tensor GELU::operator()(const Tensor& x, Here here) const {
  const LayerScope scope(*this, here);
  return gelu(x, options_);
}

Tensor LeakyReLU::operator()(const Tensor& x, Here here) const {
  const LayerScope scope(*this, here);
  return leaky_relu(x, options_);
}

}  // namespace tapestry::nn
