#pragma once

#include <tapestry/autograd/tensor.h>

namespace tapestry {
class Generator;
}

/// Initial values for parameters. All return new tensors, of default_dtype() unless .dtype says otherwise, and draw
/// from .generator or, without one, from default_generator(). What depends on fans counts the connections of one output
/// or input element:
///
///     linear weight [out, in]             fan in = in             fan out = out
///     conv weight   [K, R, S, C/groups]   fan in = R S C/groups   fan out = K R S
///
/// and throws std::invalid_argument for a shape of fewer than two dimensions.
namespace tapestry::nn::init {

struct Fans {
  Index in;
  Index out;
};
[[nodiscard]] Fans fans(const Shape& shape, Here here = {});

enum class Fan { in, out };
enum class Nonlinearity { linear, sigmoid, tanh, relu, leaky_relu, selu };

/// What keeps the variance of values through a nonlinearity: 1 for linear and sigmoid, 5/3 for tanh, sqrt(2) for relu,
/// sqrt(2 / (1 + slope^2)) for leaky_relu, 3/4 for selu.
[[nodiscard]] double gain(Nonlinearity nonlinearity, double slope = 0.01);

struct InitOptions {
  Dtype dtype = default_dtype();
  Generator* generator = nullptr;
};

[[nodiscard]] Tensor zeros(const Shape& shape, Dtype dtype = default_dtype(), Here here = {});
[[nodiscard]] Tensor ones(const Shape& shape, Dtype dtype = default_dtype(), Here here = {});
[[nodiscard]] Tensor constant(const Shape& shape, double value, Dtype dtype = default_dtype(), Here here = {});
[[nodiscard]] Tensor uniform(const Shape& shape, double low, double high, const InitOptions& options = {},
                             Here here = {});
[[nodiscard]] Tensor normal(const Shape& shape, double mean, double std, const InitOptions& options = {},
                            Here here = {});

struct TruncNormalOptions {
  double mean = 0;
  double std = 1;
  double low = -2;  ///< absolute bounds, not multiples of std
  double high = 2;
  Dtype dtype = default_dtype();
  Generator* generator = nullptr;
};
/// A normal distribution cut off at [low, high], by inversion of its distribution function. Throws
/// std::invalid_argument unless std > 0 and low < high.
[[nodiscard]] Tensor trunc_normal(const Shape& shape, const TruncNormalOptions& options = {}, Here here = {});

struct XavierOptions {
  double gain = 1;
  Dtype dtype = default_dtype();
  Generator* generator = nullptr;
};
/// Deviation gain sqrt(2 / (fan in + fan out)) (Glorot and Bengio, 2010).
[[nodiscard]] Tensor xavier_uniform(const Shape& shape, const XavierOptions& options = {}, Here here = {});
[[nodiscard]] Tensor xavier_normal(const Shape& shape, const XavierOptions& options = {}, Here here = {});

struct KaimingOptions {
  double slope = 0;  ///< of leaky_relu
  Fan mode = Fan::in;
  Nonlinearity nonlinearity = Nonlinearity::leaky_relu;
  Dtype dtype = default_dtype();
  Generator* generator = nullptr;
};
/// Deviation gain / sqrt(fan) (He et al., 2015).
[[nodiscard]] Tensor kaiming_uniform(const Shape& shape, const KaimingOptions& options = {}, Here here = {});
[[nodiscard]] Tensor kaiming_normal(const Shape& shape, const KaimingOptions& options = {}, Here here = {});

/// U(-b, b) with b = 1 / sqrt(fan_in), 0 for fan_in 0: what Linear and Conv2d begin with, weight and bias alike.
[[nodiscard]] Tensor fan_in_uniform(const Shape& shape, Index fan_in, const InitOptions& options = {}, Here here = {});

struct OrthogonalOptions {
  double gain = 1;
  Dtype dtype = default_dtype();
  Generator* generator = nullptr;
};
/// As a matrix w [first extent, rest]: w w^T = gain^2 I, or w^T w = gain^2 I if it is taller than wide; uniformly
/// distributed among those (Saxe et al., 2013). Throws std::invalid_argument for fewer than two dimensions.
[[nodiscard]] Tensor orthogonal(const Shape& shape, const OrthogonalOptions& options = {}, Here here = {});

struct DiracOptions {
  Index groups = 1;
  Dtype dtype = default_dtype();
};
/// A convolution that passes channels on: 1 at the kernel's centre (R / 2, S / 2) between filter and channel i for the
/// first min(K / groups, C / groups) filters of each group, else 0. shape [K, R, S, C / groups]; throws
/// std::invalid_argument for another rank, or groups that do not divide K.
[[nodiscard]] Tensor dirac(const Shape& shape, const DiracOptions& options = {}, Here here = {});

/// 1 on the diagonal of a matrix, else 0. Throws std::invalid_argument unless shape has two dimensions.
[[nodiscard]] Tensor eye(const Shape& shape, Dtype dtype = default_dtype(), Here here = {});

struct WhiteningOptions {
  Index kernel = 2;   ///< height and width of the patches
  double eps = 5e-4;  ///< added to eigenvalues
};
/// The filters that make patches of images uncorrelated, of variance 1, and their negatives: [2 n, R, S, C] for images
/// [N, H, W, C], with R = S = kernel and n = R S C. With eigenvectors v and eigenvalues l of the covariance of all
/// patches, largest first, they are v / sqrt(l + eps). In f64, whatever the images are; the sign of a v is that with
/// which its largest component is positive. Throws std::invalid_argument for images without a patch.
[[nodiscard]] Tensor whitening(const Tensor& images, const WhiteningOptions& options = {}, Here here = {});

}  // namespace tapestry::nn::init
