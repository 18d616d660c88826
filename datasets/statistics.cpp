#include <tapestry/datasets/statistics.h>

#include <algorithm>
#include <cmath>
#include <cstdint>

#include <tapestry/autograd/base/check.h>
#include <tapestry/autograd/base/parallel.h>
#include <tapestry/datasets/detail/eigen.h>

namespace tapestry::datasets {
namespace {

constexpr Index kImagesPerTask = 64;

/// Sums over all images, of `size` numbers each: add(i, sums) adds those of image i. Tasks have sums of their own,
/// which are joined in order.
template <class Add>
std::vector<double> sum_over(Index images, std::size_t size, const Add& add) {
  const auto tasks = static_cast<std::size_t>((images + kImagesPerTask - 1) / kImagesPerTask);
  std::vector<std::vector<double>> parts(tasks);
  parallel_for(static_cast<Index>(tasks), 1, [&](Index begin, Index end) {
    for (Index task = begin; task < end; ++task) {
      std::vector<double>& sums = parts[static_cast<std::size_t>(task)];
      sums.resize(size);
      const Index last = std::min(images, (task + 1) * kImagesPerTask);
      for (Index i = task * kImagesPerTask; i < last; ++i) add(i, sums.data());
    }
  });
  std::vector<double> sums(size);
  for (const std::vector<double>& part : parts) {
    for (std::size_t k = 0; k < size; ++k) sums[k] += part[k];
  }
  return sums;
}

/// [sum of each channel, then of its squares], of elements as they are.
template <class T>
std::vector<double> channel_sums(const Tensor& images) {
  const Index channels = images.size(3);
  const Index each = images.numel() / images.size(0);
  const T* const all = images.data<T>();
  return sum_over(images.size(0), static_cast<std::size_t>(2 * channels), [&](Index i, double* sums) {
    const T* const from = all + i * each;
    for (Index k = 0; k < each; k += channels) {
      for (Index c = 0; c < channels; ++c) {
        const auto value = static_cast<double>(from[k + c]);
        sums[c] += value;
        sums[channels + c] += value * value;
      }
    }
  });
}

/// Patch number (y, x) of an image, row by row, as the rows of a filter are.
void read_patch(const float* image, Index width, Index channels, Index kernel, Index y, Index x, double* patch) {
  for (Index r = 0; r < kernel; ++r) {
    const float* const from = image + ((y + r) * width + x) * channels;
    patch = std::copy_n(from, kernel * channels, patch);
  }
}

/// The covariance of all patches, d x d.
std::vector<double> patch_covariance(const Tensor& images, Index kernel) {
  const Index h = images.size(1);
  const Index w = images.size(2);
  const Index c = images.size(3);
  const auto d = static_cast<std::size_t>(kernel * kernel * c);
  const float* const all = images.data<float>();
  const auto over_patches = [&](Index i, std::vector<double>& patch, const auto& visit) {
    for (Index y = 0; y + kernel <= h; ++y) {
      for (Index x = 0; x + kernel <= w; ++x) {
        read_patch(all + i * h * w * c, w, c, kernel, y, x, patch.data());
        visit();
      }
    }
  };
  const double count = static_cast<double>(images.size(0)) * static_cast<double>((h - kernel + 1) * (w - kernel + 1));
  std::vector<double> mean = sum_over(images.size(0), d, [&](Index i, double* sums) {
    std::vector<double> patch(d);
    over_patches(i, patch, [&] {
      for (std::size_t k = 0; k < d; ++k) sums[k] += patch[k];
    });
  });
  for (double& value : mean) value /= count;
  // From the mean on: squares of large numbers would leave little of a small variance.
  std::vector<double> covariance = sum_over(images.size(0), d * d, [&](Index i, double* sums) {
    std::vector<double> patch(d);
    over_patches(i, patch, [&] {
      for (std::size_t k = 0; k < d; ++k) patch[k] -= mean[k];
      for (std::size_t k = 0; k < d; ++k) {
        for (std::size_t j = 0; j <= k; ++j) sums[k * d + j] += patch[k] * patch[j];
      }
    });
  });
  for (std::size_t k = 0; k < d; ++k) {
    for (std::size_t j = 0; j <= k; ++j) {
      covariance[k * d + j] /= count;
      covariance[j * d + k] = covariance[k * d + j];
    }
  }
  return covariance;
}

}  // namespace

ChannelStatistics channel_statistics(const Tensor& images, Here here) {
  const CallSite site(here);
  if (images.dim() != 4 || images.numel() == 0 || (images.dtype() != u8 && images.dtype() != f32)) {
    throw_invalid("channel_statistics: images must be u8 or f32 [N, H, W, C], not empty; got {} {}", images.dtype(),
                  images.shape());
  }
  const bool is_bytes = images.dtype() == u8;
  const std::vector<double> sums = is_bytes ? channel_sums<std::uint8_t>(images) : channel_sums<float>(images);
  const auto channels = static_cast<std::size_t>(images.size(3));
  const double count = static_cast<double>(images.numel()) / static_cast<double>(channels);
  const double scale = is_bytes ? 255 : 1;
  ChannelStatistics found;
  for (std::size_t c = 0; c < channels; ++c) {
    const double mean = sums[c] / count / scale;
    const double variance = sums[channels + c] / count / (scale * scale) - mean * mean;
    found.mean.push_back(mean);
    found.std.push_back(std::sqrt(std::max(0.0, variance)));
  }
  return found;
}

Tensor whitening_filters(const Tensor& images, const WhiteningOptions& options, Here here) {
  const CallSite site(here);
  constexpr Index kMostElements = 512;  // of a patch
  const Index kernel = options.kernel;
  if (images.dim() != 4 || images.numel() == 0 || images.dtype() != f32) {
    throw_invalid("whitening_filters: images must be f32 [N, H, W, C], not empty; got {} {}", images.dtype(),
                  images.shape());
  }
  if (kernel < 1 || kernel > std::min(images.size(1), images.size(2))) {
    throw_invalid("whitening_filters: kernel must be in [1, {}], as the images are {}; got {}",
                  std::min(images.size(1), images.size(2)), images.shape(), kernel);
  }
  if (!(options.eps > 0 && std::isfinite(options.eps))) {
    throw_invalid("whitening_filters: eps must be finite and above 0; got {}", options.eps);
  }
  const Index channels = images.size(3);
  if (kernel > kMostElements || channels > kMostElements || kernel * kernel * channels > kMostElements) {
    throw_invalid("whitening_filters: patches must have at most {} elements; got {} x {} x {}", kMostElements, kernel,
                  kernel, channels);
  }
  const Index d = kernel * kernel * channels;
  const detail::Eigen eigen = detail::eigen_symmetric(patch_covariance(images, kernel), static_cast<std::size_t>(d));
  Tensor filters = empty({2 * d, kernel, kernel, channels}, f32);
  auto* const to = filters.mutable_data<float>();
  for (Index k = 0; k < d; ++k) {
    const double* const vector = eigen.vectors.data() + k * d;
    const double largest =
        *std::max_element(vector, vector + d, [](double a, double b) { return std::abs(a) < std::abs(b); });
    const double value = std::max(0.0, eigen.values[static_cast<std::size_t>(k)]);
    const double scale = std::copysign(1 / std::sqrt(value + options.eps), largest);
    for (Index i = 0; i < d; ++i) {
      to[k * d + i] = static_cast<float>(vector[i] * scale);
      to[(d + k) * d + i] = -to[k * d + i];
    }
  }
  return filters;
}

}  // namespace tapestry::datasets
