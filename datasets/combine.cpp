#include <tapestry/datasets/combine.h>

#include <algorithm>
#include <cmath>
#include <numeric>
#include <utility>

#include <tapestry/autograd/base/check.h>
#include <tapestry/datasets/detail/shuffle.h>

namespace tapestry::datasets {
namespace {

constexpr std::uint64_t kSplitStream = 0x53504C4954000000U;  // "SPLIT": a stream that no other user of the seed has

void check_index(const char* what, std::size_t index, std::size_t size) {
  if (index >= size) throw_out_of_range("{}: index must be below {}; got {}", what, size, index);
}

std::size_t size_of(const char* what, const AnyDataset& dataset) {
  if (!dataset) throw_invalid("{}: dataset must be given; got none", what);
  return dataset->size();
}

/// Numbers of samples from what random_split() is given.
std::vector<std::size_t> sizes_of(std::span<const double> lengths, std::size_t size) {
  double sum = 0;
  for (std::size_t i = 0; i < lengths.size(); ++i) {
    if (!(lengths[i] >= 0)) throw_invalid("random_split: lengths must be at least 0; got {} at {}", lengths[i], i);
    sum += lengths[i];
  }
  constexpr double kRounding = 1e-9;  // of a sum of fractions
  const bool are_fractions = std::abs(sum - 1) <= kRounding;
  std::vector<std::size_t> sizes;
  std::size_t given = 0;
  for (const double length : lengths) {
    const double samples = are_fractions ? std::floor(length * static_cast<double>(size)) : length;
    if (samples != std::floor(samples) || samples > static_cast<double>(size)) {
      throw_invalid("random_split: lengths must be numbers of samples, up to {}, or fractions of sum 1; got {}", size,
                    length);
    }
    sizes.push_back(static_cast<std::size_t>(samples));
    given += sizes.back();
  }
  for (std::size_t i = 0; are_fractions && given < size; i = (i + 1) % sizes.size(), ++given) ++sizes[i];
  if (given != size) {
    throw_invalid("random_split: lengths must be {} samples together, or fractions of sum 1; got {}", size, sum);
  }
  return sizes;
}

}  // namespace

TensorDataset::TensorDataset(const Tensor& images, const Tensor& targets, Options options, Here here)
    : options_(std::move(options)) {
  const CallSite site(here);
  if (images.dim() < 1) throw_invalid("tensor_dataset: images must be [N, ...]; got {}", images.shape());
  if (targets.dtype() != i64 || targets.shape() != Shape({images.size(0)})) {
    throw_invalid("tensor_dataset: targets must be i64 [{}], one for each image; got {} {}", images.size(0),
                  targets.dtype(), targets.shape());
  }
  images_ = tapestry::detail::without_history(images);
  targets_ = tapestry::detail::without_history(targets);
}

std::size_t TensorDataset::size() const { return static_cast<std::size_t>(targets_.numel()); }

Sample TensorDataset::get(std::size_t index, const SampleKey& key) const {
  check_index("tensor_dataset", index, size());
  const Shape shape = images_.shape().without(0);
  const Index bytes = shape.numel() * item_bytes(images_.dtype());
  Tensor image = tapestry::detail::alias(images_, shape, static_cast<Index>(index) * bytes);
  std::int64_t target = targets_.data<std::int64_t>()[index];
  if (options_.transform) image = options_.transform(image, key);
  if (options_.target_transform) target = options_.target_transform(target);
  return {std::move(image), target};
}

Subset::Subset(AnyDataset dataset, std::vector<std::size_t> indices, Here here) : dataset_(std::move(dataset)) {
  const CallSite site(here);
  const std::size_t size = size_of("subset", dataset_);
  for (std::size_t i = 0; i < indices.size(); ++i) {
    if (indices[i] >= size) throw_out_of_range("subset: indices must be below {}; got {} at {}", size, indices[i], i);
  }
  indices_ = make_handle<const std::vector<std::size_t>>(std::move(indices));
}

std::size_t Subset::size() const { return indices_->size(); }

Sample Subset::get(std::size_t index, const SampleKey& key) const {
  check_index("subset", index, size());
  return dataset_->get((*indices_)[index], key);
}

ConcatDataset::ConcatDataset(std::initializer_list<AnyDataset> datasets, Here here)
    : ConcatDataset(std::vector<AnyDataset>(datasets), here) {}

ConcatDataset::ConcatDataset(std::vector<AnyDataset> datasets, Here here) : datasets_(std::move(datasets)) {
  const CallSite site(here);
  if (datasets_.empty()) throw_invalid("concat_dataset: there must be at least one data set; got none");
  std::size_t end = 0;
  for (const AnyDataset& dataset : datasets_) ends_.push_back(end += size_of("concat_dataset", dataset));
}

std::size_t ConcatDataset::size() const { return ends_.back(); }

Sample ConcatDataset::get(std::size_t index, const SampleKey& key) const {
  check_index("concat_dataset", index, size());
  const auto part = static_cast<std::size_t>(std::ranges::upper_bound(ends_, index) - ends_.begin());
  return datasets_[part]->get(index - (part == 0 ? 0 : ends_[part - 1]), key);
}

std::vector<Subset> random_split(const AnyDataset& dataset, std::span<const double> lengths,
                                 const RandomSplitOptions& options, Here here) {
  const CallSite site(here);
  const std::size_t size = size_of("random_split", dataset);
  if (lengths.empty()) throw_invalid("random_split: there must be at least one length; got none");
  const std::vector<std::size_t> sizes = sizes_of(lengths, size);
  std::vector<std::size_t> order(size);
  std::iota(order.begin(), order.end(), std::size_t{0});
  Generator generator(options.seed, kSplitStream);
  detail::shuffle(order, generator);
  std::vector<Subset> parts;
  auto next = order.begin();
  for (const std::size_t count : sizes) {
    const auto end = next + static_cast<std::ptrdiff_t>(count);
    parts.emplace_back(dataset, std::vector<std::size_t>(next, end));
    next = end;
  }
  return parts;
}

}  // namespace tapestry::datasets
