#pragma once

#include <cstddef>
#include <cstdint>
#include <span>
#include <utility>
#include <vector>

#include <tapestry/autograd/base/callable.h>
#include <tapestry/autograd/tensor.h>

namespace tapestry::datasets {

/// Chooses the samples of an epoch and their order, for a Loader: a number of samples, and a function of seed and epoch
/// that names so many. A function of these alone makes a training that stops within an epoch go on exactly.
class Sampler {
 public:
  using Order = std::vector<std::size_t>;  ///< indices of samples

  /// None.
  Sampler() = default;
  Sampler(std::size_t size, Callable<Order(std::uint64_t seed, std::uint64_t epoch)> order)
      : size_(size), order_(std::move(order)) {}

  [[nodiscard]] std::size_t size() const noexcept { return size_; }  ///< samples per epoch
  /// What the function gives for them.
  [[nodiscard]] Order order(std::uint64_t seed, std::uint64_t epoch) const { return order_(seed, epoch); }
  /// Whether there is a function.
  [[nodiscard]] explicit operator bool() const noexcept { return static_cast<bool>(order_); }

 private:
  std::size_t size_ = 0;
  Callable<Order(std::uint64_t, std::uint64_t)> order_;
};

struct WeightedRandomSamplerOptions {
  std::size_t num_samples = 0;  ///< per epoch; 0: as many as there are weights
  bool replacement = true;      ///< whether one sample may come several times
};

/// Sample i with probability weights[i] / (sum of weights), drawn anew each time; without replacement among those that
/// are left (Efraimidis and Spirakis, 2006).
class WeightedRandomSampler : public Sampler {
 public:
  using Options = WeightedRandomSamplerOptions;

  /// Throws std::invalid_argument unless weights are finite and not negative, one of them and their sum above 0 and
  /// finite, and, without replacement, at least num_samples of them above 0.
  explicit WeightedRandomSampler(std::span<const double> weights, Options options = {}, Here here = {});
};

struct ClassBalancedSamplerOptions {
  std::size_t num_samples = 0;  ///< per epoch; 0: as many as there are labels
};

/// All classes equally often, however many samples each has. An epoch consists of rounds, each of which visits every
/// class once, in an order of its own. Within a class, samples come in random order, all of them before one comes
/// again. So any two classes differ by at most one visit in every prefix of an epoch.
class ClassBalancedSampler : public Sampler {
 public:
  using Options = ClassBalancedSamplerOptions;

  /// `labels`: those of all samples, as LabelledImages::targets(): i64 or u8 [N]. Classes are the labels that occur.
  /// Throws std::invalid_argument for another shape or dtype and for no labels.
  explicit ClassBalancedSampler(const Tensor& labels, Options options = {}, Here here = {});
};

}  // namespace tapestry::datasets
