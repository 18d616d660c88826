#pragma once

#include <optional>

#include <tapestry/autograd/tensor.h>

/// Normalisation. Tensors are f32 or f64, all of one call alike; batch_norm also takes bf16 (x and residual) beside f32
/// parameters and statistics, and gives bf16. Every op of this file throws std::invalid_argument for other dtypes, for
/// a parameter of the wrong shape and for a negative eps.
namespace tapestry {

/// The tensors of batch_norm beside x, each [C], and each may be left out: given by name, since an order is easily
/// taken for another one. That of the fields is PyTorch's.
struct BatchNormTensors {
  Tensor running_mean = {};  ///< with running_var or not at all; no gradient
  Tensor running_var = {};
  Tensor weight = {};  ///< 1 when undefined
  Tensor bias = {};    ///< 0 when undefined
};

struct BatchNormOptions {
  bool training = false;                 ///< statistics of the batch, which also move the running ones
  std::optional<double> momentum = 0.1;  ///< weight of the new batch; nullopt: the average of all batches so far
  double eps = 1e-5;                     ///< added to the variance
  Tensor num_batches_tracked = {};       ///< i64 [], incremented when training; needed without a momentum
  bool relu = false;                     ///< y = max(., 0) at the end
  Tensor residual = {};                  ///< added before that; differentiable, as x is
};

/// Batch normalisation (Ioffe and Szegedy, 2015), channels last, and what mostly follows it:
///
///     y = (x - mean) / sqrt(var + eps) * weight + bias      by default
///     y = relu(... + residual)                              with .relu, .residual or both
///
///   x         [..., C]
///   residual  as x, in shape and dtype; may be undefined (0)
///   y         as x
///
///     batch_norm(x, {.running_mean = mean, .running_var = var, .weight = w, .bias = b}, {.training = true})
///
/// When training, mean and (biased) var are those of x over all dimensions but the last, and the running statistics are
/// updated in place, also under NoGradGuard: r = (1 - momentum) r + momentum batch, with the unbiased variance. An x
/// without elements leaves them as they are. Otherwise the running statistics take the place of mean and var, as
/// constants.
///
/// .relu and .residual cost no pass over memory of their own, forward or backward, where relu(batch_norm(x) + residual)
/// reads and writes everything three times; values, first derivatives and the treatment of NaN are the same, bit for
/// bit. Keeps x, weight and at most four [C] tensors; with both .relu and .residual also y. Differentiable any number
/// of times, with respect to x, weight, bias and residual.
///
/// Throws std::invalid_argument for a residual that is not as x, when training with one value per channel, without
/// running statistics when not training, and without num_batches_tracked when there is no momentum; nothing has changed
/// then.
[[nodiscard]] Tensor batch_norm(const Tensor& x, const BatchNormTensors& tensors, const BatchNormOptions& options = {},
                                Here here = {});

struct LayerNormOptions {
  double eps = 1e-5;  ///< added to the variance
};

/// Layer normalisation (Ba, Kiros and Hinton, 2016): y = (x - mean) / sqrt(var + eps) * weight + bias, with mean and
/// biased var of each row.
///
///   x             [..., normalized_shape], a row being the elements of the last dimensions
///   weight, bias  normalized_shape, each may be undefined (1 and 0)
///   y             as x
///
/// Keeps x, weight and two numbers per row. Differentiable any number of times. Throws std::invalid_argument unless x
/// ends in normalized_shape, which must have a dimension.
[[nodiscard]] Tensor layer_norm(const Tensor& x, const Shape& normalized_shape, const Tensor& weight = {},
                                const Tensor& bias = {}, const LayerNormOptions& options = {}, Here here = {});

struct GroupNormOptions {
  Index groups = 1;   ///< equal parts that the channels are cut into
  double eps = 1e-5;  ///< added to the variance
};

/// Group normalisation (Wu and He, 2018): as layer_norm, over all pixels and the channels of a group.
///
///   x             [N, ..., C]
///   weight, bias  [C], each may be undefined (1 and 0)
///   y             as x
///
/// Composed of other ops. Throws std::invalid_argument unless groups divides C.
[[nodiscard]] Tensor group_norm(const Tensor& x, const Tensor& weight, const Tensor& bias,
                                const GroupNormOptions& options = {}, Here here = {});

struct InstanceNormOptions {
  double eps = 1e-5;  ///< added to the variance
};

/// Instance normalisation (Ulyanov, Vedaldi and Lempitsky, 2016): y = (x - mean) / sqrt(var + eps) * weight + bias,
/// with mean and biased var of each channel over the pixels of one image.
///
///   x             [N, ..., C]
///   weight, bias  [C], each may be undefined (1 and 0)
///   y             as x
///
/// There are no running statistics: images are normalised alike in training and after it. Composed of other ops. Throws
/// std::invalid_argument for images of one pixel, which would all become 0.
[[nodiscard]] Tensor instance_norm(const Tensor& x, const Tensor& weight = {}, const Tensor& bias = {},
                                   const InstanceNormOptions& options = {}, Here here = {});

struct LocalResponseNormOptions {
  Index size = 5;  ///< neighbouring channels that are added up
  double alpha = 1e-4;
  double beta = 0.75;
  double k = 1;  ///< added to the sum
};

/// Local response normalisation (Krizhevsky, Sutskever and Hinton, 2012): x divided by
///
///     (k + alpha / size * sum of x^2 over the channels c - size / 2 ... c + (size - 1) / 2)^beta
///
/// of its pixel, where channels that there are not count as 0. x [..., C], y as x. Composed of other ops. Throws
/// std::invalid_argument for a scalar and a size below 1.
[[nodiscard]] Tensor local_response_norm(const Tensor& x, const LocalResponseNormOptions& options = {}, Here here = {});

struct RmsNormOptions {
  std::optional<double> eps = {};  ///< added to the mean square; nullopt: the dtype's machine epsilon
};

/// x / sqrt(mean(x^2) + eps) * weight over rows (Zhang and Sennrich, 2019); shapes as for layer_norm. Composed of other
/// ops.
[[nodiscard]] Tensor rms_norm(const Tensor& x, const Shape& normalized_shape, const Tensor& weight = {},
                              const RmsNormOptions& options = {}, Here here = {});

struct NormalizeOptions {
  Index dim = -1;
  double eps = 1e-12;  ///< smallest length to divide by
};

/// x / max(|x|, eps) with the Euclidean length |x| along a dimension. Composed of other ops.
[[nodiscard]] Tensor normalize(const Tensor& x, const NormalizeOptions& options = {}, Here here = {});

struct CosineSimilarityOptions {
  Index dim = -1;
  double eps = 1e-8;  ///< smallest length to divide by
};

/// sum(a b) / (max(|a|, eps) max(|b|, eps)) along a dimension, which disappears. Shapes must be equal. Composed of
/// other ops.
[[nodiscard]] Tensor cosine_similarity(const Tensor& a, const Tensor& b, const CosineSimilarityOptions& options = {},
                                       Here here = {});

}  // namespace tapestry
