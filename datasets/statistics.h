#pragma once

#include <vector>

#include <tapestry/autograd/tensor.h>

/// Numbers about a set of images that a model or a transform begins with.
namespace tapestry::datasets {

/// Mean and standard deviation of every channel, population form: what Normalize takes.
struct ChannelStatistics {
  std::vector<double> mean, std;
};

/// images [N, H, W, C]: u8, taken as x / 255, with sums that are exact; or f32, summed in f64. Throws
/// std::invalid_argument for other shapes and dtypes and no images.
[[nodiscard]] ChannelStatistics channel_statistics(const Tensor& images, Here here = {});

struct WhiteningOptions {
  Index kernel = 2;   ///< sides of the patches, at least 1
  double eps = 5e-4;  ///< is added to the eigenvalues; above 0
};

/// Filters that make patches of images uncorrelated and of variance 1, for a frozen first convolution. The patches, all
/// kernel x kernel x C windows of images f32 [N, H, W, C], have a covariance matrix; its D = kernel^2 C eigenvectors,
/// with the largest component positive and largest eigenvalue first, are divided by sqrt(eigenvalue + eps). Returned
/// are these and their negatives: f32 [2 D, kernel, kernel, C], the weight of a conv2d. Computed in f64, the same bits
/// for any number of threads. Throws std::invalid_argument for other shapes and dtypes, for images without a patch, and
/// for D above 512.
[[nodiscard]] Tensor whitening_filters(const Tensor& images, const WhiteningOptions& options = {}, Here here = {});

}  // namespace tapestry::datasets
