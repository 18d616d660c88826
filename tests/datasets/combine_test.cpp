#include <tapestry/datasets/combine.h>

#include <boost/test/unit_test.hpp>

#include <algorithm>
#include <memory>
#include <set>

#include <tapestry/datasets/loader.h>

#include "support/expect.h"

using namespace tapestry;
using namespace tapestry::datasets;
using namespace tapestry::test;

namespace {

/// Sample i has the target base + i; its image shows the key's index.
class Numbers : public Dataset {
 public:
  explicit Numbers(std::size_t size, std::int64_t base = 0) : size_(size), base_(base) {}
  std::size_t size() const override { return size_; }
  Sample get(std::size_t index, const SampleKey& key) const override {
    return {full({1}, static_cast<double>(key.index)), base_ + static_cast<std::int64_t>(index)};
  }
  using Dataset::get;

 private:
  std::size_t size_;
  std::int64_t base_;
};

std::vector<std::int64_t> targets_of(const Dataset& data) {
  std::vector<std::int64_t> all;
  for (std::size_t i = 0; i < data.size(); ++i) all.push_back(data.get(i).target);
  return all;
}

Tensor targets(std::initializer_list<std::int64_t> all) {
  return tensor(std::vector<std::int64_t>(all), {static_cast<Index>(all.size())});
}

}  // namespace

BOOST_AUTO_TEST_SUITE(combine_test)

BOOST_AUTO_TEST_CASE(a_tensor_dataset_gives_the_rows_of_two_tensors) {
  const Tensor images = tensor(std::vector<float>{1, 2, 3, 4, 5, 6}, {3, 2, 1}, {.requires_grad = true});
  const TensorDataset data(images, targets({7, 8, 9}));
  BOOST_TEST(data.size() == 3U);
  BOOST_TEST(data.get(1).image.shape() == Shape({2, 1}));
  BOOST_TEST(values(data.get(2).image) == std::vector<double>({5, 6}), boost::test_tools::per_element());
  BOOST_TEST(!data.get(2).image.requires_grad());
  BOOST_TEST(data.get(2).target == 9);
  const TensorDataset changed(
      images, targets({7, 8, 9}),
      {.transform = [](const Tensor& x, const SampleKey&) { return full({1}, static_cast<double>(x.numel())); },
       .target_transform = [](std::int64_t t) { return -t; }});
  BOOST_TEST(changed.get(0).image.item() == 2);
  BOOST_TEST(changed.get(0).target == -7);
  BOOST_TEST(error<std::out_of_range>([&] { (void)data.get(3); }) == "tensor_dataset: index must be below 3; got 3");
  for (const auto& [x, labels] : Loader(data, {.batch = 3})) BOOST_TEST(x.shape() == Shape({3, 2, 1}));
}

BOOST_AUTO_TEST_CASE(a_tensor_dataset_refuses_tensors_that_do_not_fit) {
  const auto refused = [](const Tensor& images, const Tensor& labels) {
    return error<std::invalid_argument>([&] { TensorDataset(images, labels); });
  };
  BOOST_TEST(refused(full({}, 1), targets({1})) == "tensor_dataset: images must be [N, ...]; got []");
  BOOST_TEST(refused(zeros({2, 3}), targets({1})) ==
             "tensor_dataset: targets must be i64 [2], one for each image; got i64 [1]");
  BOOST_TEST(refused(zeros({2, 3}), zeros({2})) ==
             "tensor_dataset: targets must be i64 [2], one for each image; got f32 [2]");
}

BOOST_AUTO_TEST_CASE(a_subset_shows_the_samples_that_are_named_and_hands_the_key_on) {
  const Subset data(Numbers(10, 100), {3, 9, 3});
  BOOST_TEST(targets_of(data) == std::vector<std::int64_t>({103, 109, 103}), boost::test_tools::per_element());
  BOOST_TEST(data.get(2).image.item() == 2);
  BOOST_TEST(data.indices()[1] == 9U);
  BOOST_TEST(Subset(data, {1}).get(0).target == 109);
  BOOST_TEST(error<std::out_of_range>([&] { (void)data.get(3); }) == "subset: index must be below 3; got 3");
  BOOST_TEST(error<std::out_of_range>([] {
               Subset(Numbers(2), {1, 2});
             }) == "subset: indices must be below 2; got 2 at 1");
  BOOST_TEST(error<std::invalid_argument>([] { Subset(std::shared_ptr<const Dataset>(), {}); }) ==
             "subset: dataset must be given; got none");
}

BOOST_AUTO_TEST_CASE(data_sets_behind_each_other_keep_their_order) {
  const ConcatDataset data{Numbers(2), std::make_shared<Numbers>(0), Subset(Numbers(5, 100), {4}), Numbers(1, 200)};
  BOOST_TEST(targets_of(data) == std::vector<std::int64_t>({0, 1, 104, 200}), boost::test_tools::per_element());
  BOOST_TEST(data.get(3).image.item() == 3);
  BOOST_TEST(error<std::out_of_range>([&] { (void)data.get(4); }) == "concat_dataset: index must be below 4; got 4");
  BOOST_TEST(error<std::invalid_argument>([] { ConcatDataset(std::vector<AnyDataset>{}); }) ==
             "concat_dataset: there must be at least one data set; got none");
  BOOST_TEST(error<std::invalid_argument>([] {
               ConcatDataset{Numbers(1), std::shared_ptr<const Dataset>()};
             }) == "concat_dataset: dataset must be given; got none");
}

BOOST_AUTO_TEST_CASE(a_random_split_is_a_partition_that_the_seed_decides) {
  const auto parts = random_split(Numbers(10), {7, 0, 3}, {.seed = 4});
  BOOST_REQUIRE(parts.size() == 3U);
  std::vector<std::size_t> sizes;
  std::set<std::int64_t> seen;
  for (const Subset& part : parts) {
    sizes.push_back(part.size());
    for (const std::int64_t target : targets_of(part)) seen.insert(target);
  }
  BOOST_TEST(sizes == std::vector<std::size_t>({7, 0, 3}), boost::test_tools::per_element());
  BOOST_TEST(seen.size() == 10U);
  BOOST_TEST(targets_of(parts[0]) == targets_of(random_split(Numbers(10), {7, 0, 3}, {.seed = 4})[0]),
             boost::test_tools::per_element());
  BOOST_TEST((targets_of(parts[0]) != targets_of(random_split(Numbers(10), {7, 3})[0])));
}

BOOST_AUTO_TEST_CASE(fractions_are_rounded_down_and_what_is_left_goes_round) {
  const auto sizes = [](std::size_t size, std::initializer_list<double> fractions) {
    std::vector<std::size_t> all;
    for (const Subset& part : random_split(Numbers(size), fractions)) all.push_back(part.size());
    return all;
  };
  BOOST_TEST(sizes(10, {.5, .5}) == std::vector<std::size_t>({5, 5}), boost::test_tools::per_element());
  BOOST_TEST(sizes(11, {.3, .3, .4}) == std::vector<std::size_t>({4, 3, 4}), boost::test_tools::per_element());
  BOOST_TEST(sizes(3, {.2, .2, .2, .2, .2}) == std::vector<std::size_t>({1, 1, 1, 0, 0}),
             boost::test_tools::per_element());
  BOOST_TEST(sizes(0, {.5, .5}) == std::vector<std::size_t>({0, 0}), boost::test_tools::per_element());
}

BOOST_AUTO_TEST_CASE(lengths_that_are_neither_numbers_nor_fractions_are_refused) {
  const auto refused = [](std::initializer_list<double> lengths) {
    return error<std::invalid_argument>([&] { (void)random_split(Numbers(10), lengths); });
  };
  BOOST_TEST(refused({}) == "random_split: there must be at least one length; got none");
  BOOST_TEST(refused({11, -1}) == "random_split: lengths must be at least 0; got -1 at 1");
  BOOST_TEST(refused({NAN, 1}) == "random_split: lengths must be at least 0; got nan at 0");
  BOOST_TEST(refused({4, 5}) == "random_split: lengths must be 10 samples together, or fractions of sum 1; got 9");
  BOOST_TEST(refused({5, 6}) == "random_split: lengths must be 10 samples together, or fractions of sum 1; got 11");
  BOOST_TEST(refused({.5, .6}) ==
             "random_split: lengths must be numbers of samples, up to 10, or fractions of sum 1; got 0.5");
  BOOST_TEST(refused({1e300}) ==
             "random_split: lengths must be numbers of samples, up to 10, or fractions of sum 1; got 1e+300");
}

BOOST_AUTO_TEST_SUITE_END()
