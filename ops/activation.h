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

/// x where x > 0, else weight x, with a slope that is learnt (He et al., 2015).
///
///   x       [..., C]
///   weight  [1] or [C]; same dtype
///   y       [..., C]
///
/// The gradient of x at 0 is the slope. Keeps x and weight. Throws std::invalid_argument for another weight.
[[nodiscard]] Tensor prelu(const Tensor& x, const Tensor& weight, Here here = {});

struct EluOptions {
  double alpha = 1;
};
/// x where x > 0, else alpha (exp(x) - 1). Keeps x.
[[nodiscard]] Tensor elu(const Tensor& x, const EluOptions& options = {}, Here here = {});

/// scale elu(x) with the scale 1.0507... and alpha 1.6732... that keep mean 0 and variance 1 through layers
/// (Klambauer et al., 2017). Keeps x.
[[nodiscard]] Tensor selu(const Tensor& x, Here here = {});

struct CeluOptions {
  double alpha = 1;
};
/// x where x > 0, else alpha (exp(x / alpha) - 1): elu with slope 1 at 0 for every alpha (Barron, 2017). Keeps x.
/// Throws std::invalid_argument for alpha 0.
[[nodiscard]] Tensor celu(const Tensor& x, const CeluOptions& options = {}, Here here = {});

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

/// relu6(x + 3) / 6, gradient 0 on both bounds. Keeps x.
[[nodiscard]] Tensor hardsigmoid(const Tensor& x, Here here = {});

struct SoftplusOptions {
  double beta = 1;
  double threshold = 20;  ///< linear where beta x is above
};
/// log(1 + exp(beta x)) / beta. Keeps x. Throws std::invalid_argument for beta 0.
[[nodiscard]] Tensor softplus(const Tensor& x, const SoftplusOptions& options = {}, Here here = {});

/// x tanh(softplus(x)) (Misra, 2019). Keeps x.
[[nodiscard]] Tensor mish(const Tensor& x, Here here = {});

/// x / (1 + |x|). Keeps x.
[[nodiscard]] Tensor softsign(const Tensor& x, Here here = {});

struct GluOptions {
  Index dim = -1;
};
/// a sigmoid(b) with the halves a and b of x along dim, whose extent halves (Dauphin et al., 2017). Composed of other
/// ops. Throws std::invalid_argument for an odd extent and for a scalar.
[[nodiscard]] Tensor glu(const Tensor& x, const GluOptions& options = {}, Here here = {});

/// log(sigmoid(x)), without overflow: -1000 gives -1000. Keeps x.
[[nodiscard]] Tensor logsigmoid(const Tensor& x, Here here = {});

}  // namespace tapestry
