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
  return scope.output(relu(scope.input(x)));
}

Tensor Sigmoid::operator()(const Tensor& x, Here here) const {
  const LayerScope scope(*this, here);
  return scope.output(sigmoid(scope.input(x)));
}

Tensor Tanh::operator()(const Tensor& x, Here here) const {
  const LayerScope scope(*this, here);
  return scope.output(tanh(scope.input(x)));
}

Tensor SiLU::operator()(const Tensor& x, Here here) const {
  const LayerScope scope(*this, here);
  return scope.output(silu(scope.input(x)));
}

Tensor GELU::operator()(const Tensor& x, Here here) const {
  const LayerScope scope(*this, here);
  return scope.output(gelu(scope.input(x), options_));
}

Tensor LeakyReLU::operator()(const Tensor& x, Here here) const {
  const LayerScope scope(*this, here);
  return scope.output(leaky_relu(scope.input(x), options_));
}

}  // namespace tapestry::nn
