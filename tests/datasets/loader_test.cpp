#include <tapestry/datasets/loader.h>

#include <boost/test/unit_test.hpp>

#include <algorithm>
#include <atomic>
#include <chrono>
#include <numeric>
#include <thread>

#include <tapestry/autograd/base/parallel.h>
#include <tapestry/datasets/patterns.h>
#include <tapestry/datasets/transforms.h>

#include "support/expect.h"

using namespace tapestry;
using namespace tapestry::datasets;
using namespace tapestry::test;

namespace {

/// Sample i is the number i, as image and target.
class Numbers : public Dataset {
 public:
  explicit Numbers(std::size_t size, std::function<void(std::size_t)> before = {})
      : size_(size), before_(std::move(before)) {}
  std::size_t size() const override { return size_; }
  Sample get(std::size_t index, const SampleKey&) const override {
    if (before_) before_(index);
    return {full({1, 1, 1}, static_cast<double>(index)), static_cast<std::int64_t>(index)};
  }
  using Dataset::get;

 private:
  std::size_t size_;
  std::function<void(std::size_t)> before_;
};

std::vector<std::int64_t> labels_of(Loader& loader) {
  std::vector<std::int64_t> all;
  for (const auto& [images, labels] : loader) {
    for (const std::int64_t label : labels.span<std::int64_t>()) all.push_back(label);
  }
  return all;
}

std::vector<Tensor> images_of(Loader& loader) {
  std::vector<Tensor> all;
  for (auto [images, labels] : loader) all.push_back(images);
  return all;
}

double seconds_of(const std::function<void()>& f) {
  const auto start = std::chrono::steady_clock::now();
  f();
  return std::chrono::duration<double>(std::chrono::steady_clock::now() - start).count();
}

}  // namespace

BOOST_AUTO_TEST_SUITE(loader_test)

BOOST_AUTO_TEST_CASE(batches_come_in_order_and_the_last_one_may_be_short) {
  for (const Index prefetch : {0, 1, 2, 50}) {
    Loader loader(Numbers(10), {.batch = 4, .prefetch = prefetch});
    BOOST_TEST(loader.batches() == 3);
    std::vector<Index> sizes;
    for (const auto& [images, labels] : loader) {
      sizes.push_back(images.size(0));
      BOOST_TEST(images.shape() == Shape({labels.size(0), 1, 1, 1}));
      BOOST_TEST(labels.dtype() == i64);
      BOOST_TEST(values(images) == values(labels), boost::test_tools::per_element());
    }
    BOOST_TEST(sizes == std::vector<Index>({4, 4, 2}), boost::test_tools::per_element());
    std::vector<std::int64_t> wanted(10);
    std::iota(wanted.begin(), wanted.end(), 0);
    BOOST_TEST(labels_of(loader) == wanted, boost::test_tools::per_element());
  }
}

BOOST_AUTO_TEST_CASE(drop_last_leaves_out_the_short_batch) {
  Loader loader(Numbers(10), {.batch = 4, .drop_last = true});
  BOOST_TEST(loader.batches() == 2);
  BOOST_TEST(labels_of(loader).size() == 8U);
  Loader nothing(Numbers(3), {.batch = 4, .drop_last = true});
  BOOST_TEST(labels_of(nothing).empty());
  Loader larger(Numbers(3), {.batch = 400});
  BOOST_TEST(labels_of(larger).size() == 3U);
}

BOOST_AUTO_TEST_CASE(an_empty_data_set_has_no_batches) {
  Loader loader(Numbers(0), {.batch = 4, .shuffle = true});
  BOOST_TEST(loader.batches() == 0);
  BOOST_TEST(labels_of(loader).empty());
}

BOOST_AUTO_TEST_CASE(every_epoch_has_an_order_of_its_own_that_seed_and_epoch_decide) {
  Loader a(Numbers(100), {.batch = 7, .shuffle = true, .seed = 5});
  Loader b(Numbers(100), {.batch = 7, .shuffle = true, .seed = 5});
  Loader other(Numbers(100), {.batch = 7, .shuffle = true, .seed = 6});
  const auto first = labels_of(a);
  const auto second = labels_of(a);
  BOOST_TEST(a.epoch() == 2U);
  BOOST_TEST((first != second));
  BOOST_TEST((first != labels_of(other)));
  b.set_epoch(1);
  BOOST_TEST((labels_of(b) == second));
  b.set_epoch(0);
  BOOST_TEST((labels_of(b) == first));
  auto sorted = first;
  std::ranges::sort(sorted);
  for (std::int64_t i = 0; i < 100; ++i) BOOST_REQUIRE(sorted[static_cast<std::size_t>(i)] == i);
}

BOOST_AUTO_TEST_CASE(batches_are_the_same_for_any_number_of_threads_batches_ahead_and_batch_size) {
  const Patterns data({.size = 200, .transform = Compose{RandomCrop{.padding = 4}, RandomHorizontalFlip{}, ToFloat{}}});
  Loader reference(data, {.batch = 64, .shuffle = true, .seed = 3, .prefetch = 0});
  const auto wanted = images_of(reference);
  const auto next = images_of(reference);
  const int threads = num_threads();
  for (const int n : {1, 2, 7}) {
    set_num_threads(n);
    for (const Index prefetch : {0, 3}) {
      Loader loader(data, {.batch = 64, .shuffle = true, .seed = 3, .prefetch = prefetch});
      const auto got = images_of(loader);
      BOOST_REQUIRE(got.size() == wanted.size());
      for (std::size_t i = 0; i < got.size(); ++i) BOOST_TEST(same_bits(got[i], wanted[i]));
    }
  }
  set_num_threads(threads);
  BOOST_TEST(!same_bits(next[0], wanted[0]));
  Loader halves(data, {.batch = 32, .shuffle = true, .seed = 3});
  const Tensor half = images_of(halves)[1];
  BOOST_TEST(std::ranges::equal(half.span<float>(), wanted[0].span<float>().subspan(32 * 3072)));
}

BOOST_AUTO_TEST_CASE(a_batch_equals_its_samples_asked_for_one_by_one) {
  const Patterns data(
      {.size = 40, .transform = Compose{RandomCrop{}, ToFloat{}, Normalize({.5, .5, .5}, {.2, .2, .2})}});
  Loader loader(data, {.batch = 40, .seed = 8});
  loader.set_epoch(6);
  for (const auto& [images, labels] : loader) {
    for (std::size_t i = 0; i < 40; ++i) {
      const Sample sample = data.get(i, {.seed = 8, .epoch = 6, .index = i});
      BOOST_TEST(std::ranges::equal(sample.image.span<float>(), images.span<float>().subspan(i * 3072, 3072)));
      BOOST_TEST(sample.target == labels.data<std::int64_t>()[i]);
    }
  }
}

BOOST_AUTO_TEST_CASE(a_temporary_loader_on_a_temporary_data_set_lives_as_long_as_the_loop) {
  int n = 0;
  for (auto [images, labels] : Loader(Numbers(5), {.batch = 2})) n += static_cast<int>(labels.size(0));
  BOOST_TEST(n == 5);
  const std::shared_ptr<const Dataset> shared = std::make_shared<Numbers>(5);
  Loader loader(shared, {.batch = 5});
  BOOST_TEST(labels_of(loader).size() == 5U);
}

BOOST_AUTO_TEST_CASE(an_error_at_any_sample_reaches_the_loop_at_its_batch_with_the_samples_index) {
  for (const Index prefetch : {0, 2}) {
    for (std::size_t bad = 0; bad < 64; ++bad) {
      Loader loader(Numbers(64,
                            [&](std::size_t i) {
                              if (i == bad) throw std::runtime_error("torn");
                            }),
                    {.batch = 16, .prefetch = prefetch});
      Index seen = 0;
      const auto run = [&] {
        for (const auto& [images, labels] : loader) seen += images.size(0);
      };
      BOOST_CHECK_EXCEPTION(run(), SampleError, [&](const SampleError& e) {
        return e.index() == bad && without_place(e.what()) == "loader: sample " + std::to_string(bad) + ": torn";
      });
      BOOST_TEST(seen == static_cast<Index>(bad / 16 * 16));
    }
  }
}

BOOST_AUTO_TEST_CASE(of_several_errors_in_a_batch_the_first_is_reported_with_the_original_nested) {
  Loader loader(Numbers(64,
                        [](std::size_t i) {
                          if (i >= 20) throw std::out_of_range("beyond");
                        }),
                {.batch = 64});
  try {
    (void)loader.begin();
    BOOST_ERROR("no error");
  } catch (const SampleError& e) {
    BOOST_TEST(e.index() == 20U);
    BOOST_CHECK_THROW(std::rethrow_if_nested(e), std::out_of_range);
  }
}

BOOST_AUTO_TEST_CASE(images_of_different_shapes_in_one_batch_are_refused) {
  const Patterns data({.size = 4, .transform = [](const Tensor&, const SampleKey& key) {
                         return zeros({key.index == 2 ? 2 : 1, 1, 1});
                       }});
  BOOST_CHECK_EXCEPTION((void)Loader(data, {.batch = 4}).begin(), SampleError, [](const SampleError& e) {
    return std::string(e.what()).starts_with(
        "loader: sample 2: loader: all images of a batch must be alike, f32 [1, 1, 1]; got f32 [2, 1, 1]");
  });
}

BOOST_AUTO_TEST_CASE(a_loop_left_early_does_not_wait_for_the_rest) {
  std::atomic<int> made = 0;
  const Numbers slow(1000, [&](std::size_t) {
    ++made;
    std::this_thread::sleep_for(std::chrono::milliseconds(2));
  });
  const double seconds = seconds_of([&] {
    for (const auto& batch : Loader(slow, {.batch = 10})) {
      (void)batch;
      break;
    }
  });
  BOOST_TEST(made < 200);
  BOOST_TEST(seconds < 1.5);  // all samples one after the other take 2 s
}

BOOST_AUTO_TEST_CASE(batches_are_prepared_while_the_loop_works) {
  std::atomic<int> made = 0;
  Loader loader(Numbers(40, [&](std::size_t) { ++made; }), {.batch = 10, .prefetch = 2});
  auto it = loader.begin();
  for (int i = 0; i < 1000 && made < 30; ++i) std::this_thread::sleep_for(std::chrono::milliseconds(5));
  BOOST_TEST(made == 30);  // the one in hand and two ahead
  std::this_thread::sleep_for(std::chrono::milliseconds(50));
  BOOST_TEST(made == 30);
}

BOOST_AUTO_TEST_CASE(nonsense_options_are_refused) {
  BOOST_TEST(error<std::invalid_argument>([] { Loader(Numbers(1), {.batch = 0}); }) ==
             "loader: batch must be at least 1; got 0");
  BOOST_TEST(error<std::invalid_argument>([] { Loader(Numbers(1), {.prefetch = -1}); }) ==
             "loader: prefetch must be in [0, 1024]; got -1");
  BOOST_TEST(error<std::invalid_argument>([] { Loader(std::shared_ptr<const Dataset>()); }) ==
             "loader: dataset must be given; got none");
}

BOOST_AUTO_TEST_CASE(an_epoch_can_be_gone_on_with_at_any_batch) {
  for (const Index prefetch : {0, 2}) {
    Loader whole(Numbers(10), {.batch = 4, .shuffle = true, .seed = 5, .prefetch = prefetch});
    whole.set_epoch(3);
    const std::vector<std::int64_t> fourth = labels_of(whole), fifth = labels_of(whole);
    for (const Index batch : {0, 1, 2}) {
      Loader part(Numbers(10), whole.options());
      part.set_position(3, batch);
      const std::vector<std::int64_t> rest(fourth.begin() + 4 * batch, fourth.end());
      BOOST_TEST(labels_of(part) == rest, boost::test_tools::per_element());
      BOOST_TEST(labels_of(part) == fifth, boost::test_tools::per_element());  // whole again
    }
    whole.set_position(7, 2);
    whole.set_epoch(3);  // forgets the batch
    BOOST_TEST(labels_of(whole) == fourth, boost::test_tools::per_element());
  }
}

BOOST_AUTO_TEST_CASE(a_position_beyond_the_epoch_is_refused) {
  Loader loader(Numbers(10), {.batch = 4});
  for (const Index batch : {-1, 3, 100}) {
    BOOST_TEST(error<std::invalid_argument>([&] { loader.set_position(0, batch); }) ==
               "loader: a position must be before one of the epoch's 3 batches; got batch " + std::to_string(batch));
  }
  Loader empty(Numbers(0), {.batch = 4});
  empty.set_position(2, 0);
  BOOST_TEST(labels_of(empty).empty());
}

BOOST_AUTO_TEST_SUITE_END()
