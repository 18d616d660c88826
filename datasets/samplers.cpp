#include <tapestry/datasets/samplers.h>

#include <algorithm>
#include <cmath>
#include <map>
#include <numeric>
#include <utility>

#include <tapestry/autograd/base/check.h>
#include <tapestry/autograd/random.h>
#include <tapestry/datasets/detail/shuffle.h>

namespace tapestry::datasets {
namespace {

// Streams that no other user of the seed has.
constexpr std::uint64_t kWeightedStream = 0x5745494748540000U;  // "WEIGHT"
constexpr std::uint64_t kBalancedStream = 0x42414C414E430000U;  // "BALANC"

using Order = Sampler::Order;

/// With replacement: by the sums of the weights up to each sample.
Order draw_with_replacement(const std::vector<double>& sums, std::size_t count, Generator generator) {
  Order order(count);
  for (std::size_t& sample : order) {
    const double at = generator.uniform(0, sums.back());
    sample = static_cast<std::size_t>(std::ranges::upper_bound(sums, at) - sums.begin());
  }
  return order;
}

/// Without: each sample waits a time distributed exponentially with its weight as the rate, and the first ones to come
/// are drawn.
Order draw_without_replacement(const std::vector<double>& weights, std::size_t count, Generator generator) {
  std::vector<std::pair<double, std::size_t>> times;
  for (std::size_t i = 0; i < weights.size(); ++i) {
    const double u = generator.uniform();  // for every sample, so that what one draws does not depend on the others
    if (weights[i] > 0) times.emplace_back(-std::log1p(-u) / weights[i], i);
  }
  std::ranges::sort(times);
  Order order(count);
  for (std::size_t i = 0; i < count; ++i) order[i] = times[i].second;
  return order;
}

Sampler weighted(std::span<const double> weights, const WeightedRandomSamplerOptions& options, const Here& here) {
  const CallSite site(here);
  std::vector<double> sums;
  double sum = 0;
  std::size_t positive = 0;
  for (std::size_t i = 0; i < weights.size(); ++i) {
    if (!(weights[i] >= 0) || !std::isfinite(weights[i])) {
      throw_invalid("weighted_random_sampler: weights must be finite and at least 0; got {} at {}", weights[i], i);
    }
    if (weights[i] > 0) ++positive;
    sums.push_back(sum += weights[i]);
  }
  if (!(sum > 0) || !std::isfinite(sum)) {
    throw_invalid("weighted_random_sampler: the sum of the weights must be finite and above 0; got {}", sum);
  }
  const std::size_t count = options.num_samples == 0 ? weights.size() : options.num_samples;
  if (!options.replacement && count > positive) {
    throw_invalid(
        "weighted_random_sampler: without replacement num_samples must be at most the number of weights above 0, {}; "
        "got {}",
        positive, count);
  }
  if (options.replacement) {
    // Rounding may leave a draw at the very sum: it belongs to the last sample that can be drawn, not behind it.
    const auto last = static_cast<std::size_t>(std::ranges::find(sums, sum) - sums.begin());
    return {count, [sums = std::move(sums), count, last](std::uint64_t seed, std::uint64_t epoch) {
              Order order = draw_with_replacement(sums, count, Generator(seed, kWeightedStream + epoch));
              for (std::size_t& sample : order) sample = std::min(sample, last);
              return order;
            }};
  }
  return {count,
          [kept = std::vector<double>(weights.begin(), weights.end()), count](std::uint64_t seed, std::uint64_t epoch) {
            return draw_without_replacement(kept, count, Generator(seed, kWeightedStream + epoch));
          }};
}

/// The samples of one class in an order that is made anew whenever it has been gone through.
class Members {
 public:
  explicit Members(Order samples) : samples_(std::move(samples)), next_(samples_.size()) {}

  std::size_t draw(Generator& generator) {
    if (next_ == samples_.size()) {
      detail::shuffle(samples_, generator);
      next_ = 0;
    }
    return samples_[next_++];
  }

 private:
  Order samples_;
  std::size_t next_;
};

Order draw_balanced(std::vector<Members> classes, std::size_t count, Generator generator) {
  Order order;
  std::vector<std::size_t> round(classes.size());
  std::iota(round.begin(), round.end(), std::size_t{0});
  while (order.size() < count) {
    detail::shuffle(round, generator);
    for (const std::size_t c : round) {
      if (order.size() == count) break;
      order.push_back(classes[c].draw(generator));
    }
  }
  return order;
}

Sampler balanced(const Tensor& labels, const ClassBalancedSamplerOptions& options, const Here& here) {
  const CallSite site(here);
  if (labels.dim() != 1 || labels.numel() == 0 || (labels.dtype() != i64 && labels.dtype() != u8)) {
    throw_invalid("class_balanced_sampler: labels must be i64 or u8 [N], N at least 1; got {} {}", labels.dtype(),
                  labels.shape());
  }
  std::map<std::int64_t, Order> members;
  visit(labels.dtype(), [&]<class T>() {
    if constexpr (std::is_integral_v<T>) {
      const auto all = labels.span<T>();
      for (std::size_t i = 0; i < all.size(); ++i) members[static_cast<std::int64_t>(all[i])].push_back(i);
    }
  });
  std::vector<Members> classes;
  for (auto& [label, samples] : members) classes.emplace_back(std::move(samples));
  const std::size_t count = options.num_samples == 0 ? static_cast<std::size_t>(labels.numel()) : options.num_samples;
  return {count, [classes = std::move(classes), count](std::uint64_t seed, std::uint64_t epoch) {
            return draw_balanced(classes, count, Generator(seed, kBalancedStream + epoch));
          }};
}

}  // namespace

WeightedRandomSampler::WeightedRandomSampler(std::span<const double> weights, Options options, Here here)
    : Sampler(weighted(weights, options, here)) {}

ClassBalancedSampler::ClassBalancedSampler(const Tensor& labels, Options options, Here here)
    : Sampler(balanced(labels, options, here)) {}

}  // namespace tapestry::datasets
