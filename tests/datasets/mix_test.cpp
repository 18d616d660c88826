#include <tapestry/datasets/mix.h>

#include <boost/test/unit_test.hpp>

#include <algorithm>
#include <cmath>
#include <numeric>

#include "support/expect.h"

using namespace tapestry;
using namespace tapestry::datasets;
using namespace tapestry::test;

namespace {

/// Three images, of which image i is all i + 1, with labels 2, 0, 2.
Batch batch_of(Dtype dtype = f32, Index h = 8, Index w = 6) {
  Tensor images = empty({3, h, w, 2}, dtype);
  visit(dtype, [&]<class T>() {
    T* const to = images.mutable_data<T>();
    for (Index i = 0; i < images.numel(); ++i) to[i] = static_cast<T>(static_cast<float>(i / (h * w * 2) + 1));
  });
  return {images, tensor(std::vector<std::int64_t>{2, 0, 2}, {3})};
}

}  // namespace

BOOST_AUTO_TEST_SUITE(mix_test)

BOOST_AUTO_TEST_CASE(mixup_is_a_mean_of_neighbours_with_one_lambda_for_images_and_targets) {
  const Batch batch = batch_of();
  for (std::uint64_t i = 0; i < 20; ++i) {
    const auto [x, t] = Mixup{.num_classes = 3}(batch, {.index = i});
    BOOST_REQUIRE(t.shape() == Shape({3, 3}));
    const std::vector<double> y = values(t);
    const double lambda = y[3];  // of image 1, whose class nobody else has
    BOOST_REQUIRE((lambda >= 0 && lambda <= 1));
    BOOST_TEST(all_close(y, {0, 0, 1, lambda, 0, 1 - lambda, 1 - lambda, 0, lambda}, 0, 1e-6));
    const std::vector<double> v = values(x);
    for (std::size_t k = 0; k < 96; ++k) {
      BOOST_REQUIRE(std::abs(v[k] - (lambda * 1 + (1 - lambda) * 3)) < 1e-5);
      BOOST_REQUIRE(std::abs(v[96 + k] - (lambda * 2 + (1 - lambda) * 1)) < 1e-5);
    }
  }
}

BOOST_AUTO_TEST_CASE(lambda_has_the_moments_of_its_distribution) {
  const Batch batch = batch_of(f32, 1, 1);
  for (const double alpha : {0.1, 0.5, 1.0, 4.0, 1e-4}) {
    double sum = 0;
    double square = 0;
    constexpr int kDraws = 4000;
    for (std::uint64_t i = 0; i < kDraws; ++i) {
      const double lambda = values(Mixup{.num_classes = 3, .alpha = alpha}(batch, {.index = i}).targets)[3];
      sum += lambda;
      square += (lambda - 0.5) * (lambda - 0.5);
    }
    BOOST_TEST(std::abs(sum / kDraws - 0.5) < 0.03, alpha);
    const double variance = 1 / (4 * (2 * alpha + 1));  // of Beta(alpha, alpha)
    BOOST_TEST(std::abs(square / kDraws / variance - 1) < 0.08, alpha);
  }
}

BOOST_AUTO_TEST_CASE(cutmix_puts_a_rectangle_of_the_neighbour_and_targets_count_its_pixels) {
  for (const Dtype dtype : {u8, f32}) {
    const Batch batch = batch_of(dtype);
    int with_box = 0;
    for (std::uint64_t i = 0; i < 100; ++i) {
      const auto [x, t] = CutMix{.num_classes = 4}(batch, {.index = i});
      const std::vector<double> v = values(x);
      const auto begin = v.begin() + 96;  // image 1: 2, and 1 from image 0
      const auto other = std::count(begin, begin + 96, 1.0);
      BOOST_REQUIRE(std::count(begin, begin + 96, 2.0) + other == 96);
      const double share = static_cast<double>(other) / 96;
      with_box += other > 0 ? 1 : 0;
      BOOST_TEST(all_close(values(t), {0, 0, 1, 0, 1 - share, 0, share, 0, share, 0, 1 - share, 0}, 0, 1e-6));
      // A rectangle: every row has none or the same pixels of the other.
      std::vector<double> row_with;
      for (Index r = 0; r < 8; ++r) {
        const std::vector<double> row(begin + r * 12, begin + (r + 1) * 12);
        if (std::ranges::count(row, 1.0) == 0) continue;
        if (row_with.empty()) row_with = row;
        BOOST_REQUIRE((row == row_with));
      }
    }
    BOOST_TEST(with_box > 50);
  }
}

BOOST_AUTO_TEST_CASE(keys_decide_what_is_drawn) {
  const Batch batch = batch_of();
  const auto targets = [&](const SampleKey& key) { return Mixup{.num_classes = 3}(batch, key).targets; };
  BOOST_TEST(same_bits(targets({.seed = 1, .index = 2}), targets({.seed = 1, .index = 2})));
  BOOST_TEST(!same_bits(targets({.seed = 1, .index = 2}), targets({.seed = 1, .index = 3})));
  BOOST_TEST(!same_bits(targets({.seed = 1, .index = 2}), targets({.seed = 1, .epoch = 1, .index = 2})));
}

BOOST_AUTO_TEST_CASE(batches_that_do_not_fit_are_refused) {
  const Batch batch = batch_of();
  const auto refused = [](const auto& transform, const Batch& b) {
    return error<std::invalid_argument>([&] { (void)transform(b, {}); });
  };
  BOOST_TEST(refused(Mixup{}, batch) == "mixup: num_classes must be at least 1; got 0");
  BOOST_TEST(refused(Mixup{.num_classes = 3, .alpha = 0}, batch) ==
             "mixup: alpha must be above 0 and up to 1000000; got 0");
  BOOST_TEST(refused(Mixup{.num_classes = 3}, batch_of(u8)) ==
             "mixup: images must be f32 [B, ...], not empty; got u8 [3, 8, 6, 2]");
  BOOST_TEST(refused(CutMix{.num_classes = 3}, {zeros({3, 4}), batch.labels}) ==
             "cutmix: images must be u8 or f32 [B, H, W, C], not empty; got f32 [3, 4]");
  BOOST_TEST(refused(Mixup{.num_classes = 3}, {zeros({2, 4}), batch.labels}) ==
             "mixup: labels must be i64 [2], one for each image; got i64 [3]");
  BOOST_TEST(error<std::out_of_range>([&] { (void)CutMix{.num_classes = 2}(batch, {}); }) ==
             "cutmix: labels must be in [0, 2); got 2");
}

BOOST_AUTO_TEST_SUITE_END()
