#include <tapestry/datasets/samplers.h>

#include <boost/test/unit_test.hpp>

#include <algorithm>
#include <cmath>
#include <map>
#include <set>

#include <tapestry/datasets/loader.h>

#include "support/expect.h"

using namespace tapestry;
using namespace tapestry::datasets;
using namespace tapestry::test;

namespace {

/// Sample i has the target i, and an image that tells what its key draws.
class Drawn : public Dataset {
 public:
  explicit Drawn(std::size_t size) : size_(size) {}
  std::size_t size() const override { return size_; }
  Sample get(std::size_t index, const SampleKey& key) const override {
    return {full({1}, key.generator().uniform(), {.dtype = f64}), static_cast<std::int64_t>(index)};
  }
  using Dataset::get;

 private:
  std::size_t size_;
};

struct Visit {
  std::int64_t target;
  double drawn;
  friend bool operator==(const Visit&, const Visit&) = default;
};

std::vector<Visit> epoch_of(Loader& loader) {
  std::vector<Visit> all;
  for (const auto& [images, labels] : loader) {
    for (Index i = 0; i < labels.numel(); ++i)
      all.push_back({labels.data<std::int64_t>()[i], images.data<double>()[i]});
  }
  return all;
}

Tensor labels(std::initializer_list<std::int64_t> all) {
  return tensor(std::vector<std::int64_t>(all), {static_cast<Index>(all.size())});
}

}  // namespace

BOOST_AUTO_TEST_SUITE(samplers_test)

BOOST_AUTO_TEST_CASE(weights_decide_how_often_a_sample_comes) {
  const std::vector<double> weights{0, 1, 3, 0, 4};
  const WeightedRandomSampler sampler(weights, {.num_samples = 8000});
  BOOST_TEST(sampler.size() == 8000U);
  std::map<std::size_t, int> count;
  for (const std::size_t i : sampler.order(1, 0)) ++count[i];
  BOOST_TEST(count.size() == 3U);
  BOOST_TEST(std::abs(count[1] - 1000) < 150);  // deviations 30, 43, 45
  BOOST_TEST(std::abs(count[2] - 3000) < 215);
  BOOST_TEST(std::abs(count[4] - 4000) < 225);
  BOOST_TEST(WeightedRandomSampler(weights).size() == 5U);
}

BOOST_AUTO_TEST_CASE(without_replacement_every_sample_comes_at_most_once_and_heavy_ones_first) {
  const std::vector<double> weights{1, 0, 9, 1, 1};
  const WeightedRandomSampler sampler(weights, {.num_samples = 4, .replacement = false});
  int first = 0;
  for (std::uint64_t epoch = 0; epoch < 1000; ++epoch) {
    const auto order = sampler.order(1, epoch);
    BOOST_REQUIRE(std::set<std::size_t>(order.begin(), order.end()).size() == 4U);
    BOOST_REQUIRE(std::ranges::count(order, std::size_t{1}) == 0);
    first += order[0] == 2 ? 1 : 0;
  }
  BOOST_TEST(std::abs(first - 750) < 70);  // 9 of 12; deviation 14
}

BOOST_AUTO_TEST_CASE(seed_and_epoch_decide_the_order_and_nothing_else) {
  const std::vector<double> weights(50, 1.0);
  std::vector<Sampler> samplers{WeightedRandomSampler(weights), WeightedRandomSampler(weights, {.replacement = false}),
                                ClassBalancedSampler(labels({0, 1, 0, 2, 0, 1, 0, 0, 0, 0}))};
  for (const Sampler& sampler : samplers) {
    const auto order = sampler.order(3, 5);
    BOOST_TEST(order.size() == sampler.size());
    BOOST_TEST((sampler.order(3, 5) == order));
    BOOST_TEST((sampler.order(3, 6) != order));
    BOOST_TEST((sampler.order(4, 5) != order));
  }
}

BOOST_AUTO_TEST_CASE(classes_come_equally_often_in_every_prefix_and_members_before_they_come_again) {
  const Tensor y = labels({5, 5, 5, 5, 5, 5, -1, -1, 9});
  const ClassBalancedSampler sampler(y, {.num_samples = 40});
  const auto order = sampler.order(2, 0);
  std::map<std::int64_t, int> count;
  std::vector<std::size_t> of_five;
  for (const std::size_t i : order) {
    const std::int64_t label = y.data<std::int64_t>()[i];
    ++count[label];
    if (label == 5) of_five.push_back(i);
    const auto [least, most] = std::minmax({count[5], count[-1], count[9]});
    BOOST_REQUIRE(most - least <= 1);
  }
  BOOST_TEST(count[9] >= 13);
  BOOST_TEST(std::set<std::size_t>(of_five.begin(), of_five.begin() + 6).size() == 6U);
  BOOST_TEST(std::set<std::size_t>(of_five.begin() + 6, of_five.begin() + 12).size() == 6U);
  BOOST_TEST(ClassBalancedSampler(y).size() == 9U);
  BOOST_TEST(ClassBalancedSampler(tensor(std::vector<std::uint8_t>{1, 2}, {2}, {.dtype = u8})).size() == 2U);
}

BOOST_AUTO_TEST_CASE(samplers_refuse_what_cannot_be_drawn_from) {
  const auto refused = [](std::vector<double> weights, WeightedRandomSamplerOptions options = {}) {
    return error<std::invalid_argument>([&] { WeightedRandomSampler(weights, options); });
  };
  BOOST_TEST(refused({1, -1}) == "weighted_random_sampler: weights must be finite and at least 0; got -1 at 1");
  BOOST_TEST(refused({NAN}) == "weighted_random_sampler: weights must be finite and at least 0; got nan at 0");
  BOOST_TEST(refused({}) == "weighted_random_sampler: the sum of the weights must be finite and above 0; got 0");
  BOOST_TEST(refused({1e308, 1e308}) ==
             "weighted_random_sampler: the sum of the weights must be finite and above 0; got inf");
  BOOST_TEST(refused({1, 0, 1}, {.num_samples = 3, .replacement = false}) ==
             "weighted_random_sampler: without replacement num_samples must be at most the number of weights above 0, "
             "2; got 3");
  BOOST_TEST(error<std::invalid_argument>([] { ClassBalancedSampler(zeros({3})); }) ==
             "class_balanced_sampler: labels must be i64 or u8 [N], N at least 1; got f32 [3]");
}

// --- in a loader

BOOST_AUTO_TEST_CASE(a_loader_visits_what_its_sampler_says_and_draws_anew_at_each_visit) {
  const Sampler twice(4, [](std::uint64_t, std::uint64_t) { return Sampler::Order{2, 0, 2, 2}; });
  Loader loader(Drawn(3), {.batch = 3, .sampler = twice});
  BOOST_TEST(loader.batches() == 2);
  const std::vector<Visit> visits = epoch_of(loader);
  BOOST_REQUIRE(visits.size() == 4U);
  BOOST_TEST(visits[0].target == 2);
  BOOST_TEST(visits[1].target == 0);
  BOOST_TEST(visits[0].drawn == Drawn(3).get(2, {.index = 2}).image.item<double>());
  BOOST_TEST(visits[2].drawn == Drawn(3).get(2, SampleKey{.index = 2}.child(1)).image.item<double>());
  BOOST_TEST(visits[3].drawn == Drawn(3).get(2, SampleKey{.index = 2}.child(2)).image.item<double>());
}

BOOST_AUTO_TEST_CASE(a_sampled_epoch_goes_on_in_its_middle_with_the_same_samples_and_draws) {
  const std::vector<double> weights{1, 2, 3, 4, 5};
  for (const Index prefetch : {0, 2}) {
    Loader whole(
        Drawn(5),
        {.batch = 4, .seed = 9, .prefetch = prefetch, .sampler = WeightedRandomSampler(weights, {.num_samples = 22})});
    whole.set_epoch(3);
    const auto all = epoch_of(whole);
    Loader rest(
        Drawn(5),
        {.batch = 4, .seed = 9, .prefetch = prefetch, .sampler = WeightedRandomSampler(weights, {.num_samples = 22})});
    rest.set_position(3, 2);
    BOOST_TEST((epoch_of(rest) == std::vector<Visit>(all.begin() + 8, all.end())));
  }
}

BOOST_AUTO_TEST_CASE(a_loader_refuses_a_sampler_that_does_not_fit_and_stays_as_it_was) {
  const auto with = [](std::size_t size, Sampler::Order order) {
    return Sampler(size, [order](std::uint64_t, std::uint64_t) { return order; });
  };
  BOOST_TEST(error<std::invalid_argument>([&] { Loader(Drawn(2), {.shuffle = true, .sampler = with(1, {0})}); }) ==
             "loader: shuffle must be false where a sampler is given; got true");
  Loader beyond(Drawn(2), {.sampler = with(2, {0, 2})});
  BOOST_TEST(error<std::out_of_range>([&] { (void)beyond.begin(); }) ==
             "loader: the sampler must give indices below 2, the data set's size; got 2");
  BOOST_TEST(beyond.epoch() == 0U);
  Loader few(Drawn(2), {.sampler = with(2, {0})});
  BOOST_TEST(error<std::logic_error>([&] { (void)few.begin(); }) ==
             "loader: the sampler must give as many samples as it says, 2; got 1");
}

BOOST_AUTO_TEST_SUITE_END()
