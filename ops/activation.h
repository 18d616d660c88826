#pragma once

#include <tapestry/autograd/tensor.h>

/// Activation functions; tanh and sigmoid stand in <tapestry/ops/unary.h>. y has the shape and dtype of x: f32,
/// f64, or bf16, which is computed in f32; else std::invalid_argument.
namespace tapestry {

/// max(x, 0); gradient 0 at 0; NaN stays NaN. Keeps y.
[[nodiscard]] Tensor relu(const Tensor& x, Here here = {});

struct LeakyReluOptions {
  double negative_slope = 0.01;
};
/// x where x > 0, else negative_slope x; the gradient at 0 is the slope. Keeps x.
[[nodiscard]] Tensor leaky_relu(const Tensor& x, const LeakyReluOptions& options = {}, Here here = {});

struct EluOptions {
  double alpha = 1;
};
/// x where x > 0, else alpha (exp(x) - 1). Keeps x.
[[nodiscard]] Tensor elu(const Tensor& x, const EluOptions& options = {}, Here here = {});

/// x sigmoid(x) (also called swish). Keeps x.
[[nodiscard]] Tensor silu(const Tensor& x, Here here = {});

enum class GeluApproximation { none, tanh };
struct GeluOptions {
  GeluApproximation approximate = GeluApproximation::none;
};
/// x Phi(x), with the standard normal distribution function Phi, or its approximation
/// x/2 (1 + tanh(sqrt(2/pi) (x + 0.044715 x^3))) (Hendrycks and Gimpel, 2016). Keeps x.
[[nodiscard]] Tensor gelu(const Tensor& x, const GeluOptions& options = {}, Here here = {});

/// min(max(x, 0), 6), gradient 0 on both bounds. Keeps x.
[[nodiscard]] Tensor relu6(const Tensor& x, Here here = {});

struct HardtanhOptions {
  double min = -1;
  double max = 1;
};
/// min(max(x, options.min), options.max), gradient 0 on both bounds (clamp: 1). Keeps x. Throws std::invalid_argument
/// unless min < max.
[[nodiscard]] Tensor hardtanh(const Tensor& x, const HardtanhOptions& options = {}, Here here = {});

/// x relu6(x + 3) / 6; the gradient at -3 and 3 is that of the middle part, -1/2 and 3/2. Keeps x.
[[nodiscard]] Tensor hardswish(const Tensor& x, Here here = {});

/// log(1 + exp(x)), linear above 20. Keeps x.
[[nodiscard]] Tensor softplus(const Tensor& x, Here here = {});

/// log(sigmoid(x)), without overflow: -1000 gives -1000. Keeps x.
[[nodiscard]] Tensor logsigmoid(const Tensor& x, Here here = {});

}  // namespace tapestry
