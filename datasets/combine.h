#pragma once

#include <cstddef>
#include <cstdint>
#include <initializer_list>
#include <span>
#include <vector>

#include <tapestry/datasets/dataset.h>

/// Data sets made of tensors and of other data sets. All of them share what they hold, so that copies are cheap.
namespace tapestry::datasets {

struct TensorDatasetOptions {
  ImageTransform transform = {};
  TargetTransform target_transform = {};
};

/// Samples that lie in two tensors, one behind the other.
class TensorDataset final : public Dataset {
 public:
  using Options = TensorDatasetOptions;

  /// images [N, ...] of any dtype, targets i64 [N]. Throws std::invalid_argument for other shapes and dtypes.
  TensorDataset(const Tensor& images, const Tensor& targets, Options options = {}, Here here = {});

  [[nodiscard]] std::size_t size() const override;

  /// Image `index`, of the shape of images without its first extent, and its target. Without a transform the image
  /// shares the storage of the tensor and has no history. Throws std::out_of_range unless index < size().
  [[nodiscard]] Sample get(std::size_t index, const SampleKey& key) const override;
  using Dataset::get;

 private:
  Tensor images_, targets_;
  Options options_;
};

/// Some samples of a data set, in an order of one's own: sample i is sample indices[i] of it. One may come several
/// times. The key is handed on as it came, so that those draw differently.
class Subset final : public Dataset {
 public:
  /// Throws std::invalid_argument where there is no data set, std::out_of_range for an index that it does not have.
  Subset(AnyDataset dataset, std::vector<std::size_t> indices, Here here = {});

  [[nodiscard]] std::size_t size() const override;
  [[nodiscard]] Sample get(std::size_t index, const SampleKey& key) const override;
  using Dataset::get;

  [[nodiscard]] std::span<const std::size_t> indices() const noexcept { return *indices_; }  ///< as they were given
  [[nodiscard]] const Dataset& dataset() const noexcept { return *dataset_; }                ///< the whole

 private:
  AnyDataset dataset_;
  Handle<const std::vector<std::size_t>> indices_;
};

/// Several data sets, one after the other. The key is handed on as it came.
class ConcatDataset final : public Dataset {
 public:
  /// Throws std::invalid_argument for no data sets or one that is null.
  ConcatDataset(std::initializer_list<AnyDataset> datasets, Here here = {});
  explicit ConcatDataset(std::vector<AnyDataset> datasets, Here here = {});

  [[nodiscard]] std::size_t size() const override;
  [[nodiscard]] Sample get(std::size_t index, const SampleKey& key) const override;
  using Dataset::get;

 private:
  std::vector<AnyDataset> datasets_;
  std::vector<std::size_t> ends_;  // of each in the whole
};

struct RandomSplitOptions {
  std::uint64_t seed = 0;
};

/// Cuts a data set into parts without common samples, each in random order, which seed and sizes decide. `lengths` are
/// numbers of samples, which together are all, or fractions whose sum is 1, as in PyTorch: part i then has
/// floor(lengths[i] * size) samples, and what is left goes to the parts one by one from the first. Throws
/// std::invalid_argument for lengths that are neither.
[[nodiscard]] std::vector<Subset> random_split(const AnyDataset& dataset, std::span<const double> lengths,
                                               const RandomSplitOptions& options = {}, Here here = {});
[[nodiscard]] inline std::vector<Subset> random_split(const AnyDataset& dataset, std::initializer_list<double> lengths,
                                                      const RandomSplitOptions& options = {}, Here here = {}) {
  return random_split(dataset, std::span(lengths.begin(), lengths.size()), options, here);
}

}  // namespace tapestry::datasets
