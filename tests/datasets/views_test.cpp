#include <tapestry/datasets/views.h>

#include <boost/test/unit_test.hpp>

#include <algorithm>

#include <tapestry/datasets/transforms.h>

#include "support/expect.h"

using namespace tapestry;
using namespace tapestry::datasets;
using namespace tapestry::test;

namespace {

Tensor counting(const Shape& shape, Dtype dtype = f32) {
  std::vector<double> v(static_cast<std::size_t>(shape.numel()));
  for (std::size_t i = 0; i < v.size(); ++i) v[i] = static_cast<double>(i % 251);
  return tensor(std::span<const double>(v), shape, {.dtype = dtype});
}

}  // namespace

BOOST_AUTO_TEST_SUITE(views_test)

BOOST_AUTO_TEST_CASE(sizes_grow_where_their_stages_begin) {
  const ProgressiveSize size{{0, 20}, {0.15, 24}, {0.5, 32}};
  for (const auto& [progress, wanted] : {std::pair{0.0, 20}, std::pair{0.149, 20}, std::pair{0.15, 24},
                                         std::pair{0.4999, 24}, std::pair{0.5, 32}, std::pair{1.0, 32}}) {
    BOOST_TEST(size.at(progress) == wanted);
  }
  const Tensor images = counting({2, 32, 32, 3});
  BOOST_TEST(size(images, 0.2).shape() == Shape({2, 24, 24, 3}));
  BOOST_TEST(same_bits(size(images, 0.2), resize(images, 24, 24)));
  BOOST_TEST(same_bits(size(images, 0.9), images));
}

BOOST_AUTO_TEST_CASE(stages_out_of_order_are_refused) {
  using Stages = std::initializer_list<ProgressiveSize::Stage>;
  const auto refused = [](Stages stages) { return error<std::invalid_argument>([&] { ProgressiveSize{stages}; }); };
  BOOST_TEST(refused({}) == "progressive_size: the first stage must begin at 0; got none");
  BOOST_TEST(refused({{0.1, 20}}) == "progressive_size: the first stage must begin at 0; got 0.1");
  BOOST_TEST(refused({{0, 20}, {0.5, 24}, {0.5, 32}}) ==
             "progressive_size: stages must begin one after the other, below 1; got 0.5");
  BOOST_TEST(refused({{0, 20}, {1, 24}}) == "progressive_size: stages must begin one after the other, below 1; got 1");
  BOOST_TEST(refused({{0, 0}}) == "progressive_size: sizes must be at least 1; got 0");
  BOOST_TEST(error<std::invalid_argument>([] {
               (void)ProgressiveSize({{0, 8}}).at(1.5);
             }) == "progressive_size: progress must be in [0, 1]; got 1.5");
}

BOOST_AUTO_TEST_CASE(six_views_are_the_images_mirrored_and_moved_and_their_weights_sum_to_one) {
  for (const Dtype dtype : {u8, f32}) {
    const Tensor images = counting({2, 4, 5, 3}, dtype);
    const std::vector<View> views = test_time_views(images);
    BOOST_REQUIRE(views.size() == 6U);
    double sum = 0;
    for (const View& view : views) sum += view.weight;
    BOOST_TEST(sum == 1);
    BOOST_TEST(views[0].weight == 0.25);
    BOOST_TEST(views[5].weight == 0.125);
    BOOST_TEST(same_bits(views[0].images, images));
    const std::vector<double> v = values(images);
    const auto mirrored = [](Index i, Index n) { return i < 0 ? -i : i < n ? i : 2 * (n - 1) - i; };
    const std::vector<std::pair<bool, Index>> made{{false, 0}, {true, 0},   {false, 1},
                                                   {true, 1},  {false, -1}, {true, -1}};
    for (std::size_t k = 0; k < 6; ++k) {
      const auto [flip, move] = made[k];
      const std::vector<double> got = values(views[k].images);
      for (Index b = 0; b < 2; ++b) {
        for (Index y = 0; y < 4; ++y) {
          for (Index x = 0; x < 5; ++x) {
            const Index sy = mirrored(y + move, 4);
            Index sx = mirrored(x + move, 5);
            if (flip) sx = 4 - sx;
            BOOST_REQUIRE(got[static_cast<std::size_t>(((b * 4 + y) * 5 + x) * 3 + 1)] ==
                          v[static_cast<std::size_t>(((b * 4 + sy) * 5 + sx) * 3 + 1)]);
          }
        }
      }
    }
  }
}

BOOST_AUTO_TEST_CASE(two_views_are_the_images_and_their_mirror_images) {
  const Tensor images = counting({1, 1, 3, 2});
  const std::vector<View> views = test_time_views(images, TestTimeViews::flip);
  BOOST_REQUIRE(views.size() == 2U);
  BOOST_TEST(views[1].weight == 0.5);
  BOOST_TEST(all_close(views[1].images, {4, 5, 2, 3, 0, 1}, 0));
  BOOST_TEST(error<std::invalid_argument>([&] { (void)test_time_views(images); }) ==
             "test_time_views: images that are moved must have at least 2 x 2 pixels; got [1, 1, 3, 2]");
  BOOST_TEST(error<std::invalid_argument>([] {
               (void)test_time_views(zeros({2, 2, 3}));
             }) == "test_time_views: images must be [B, H, W, C]; got [2, 2, 3]");
}

BOOST_AUTO_TEST_SUITE_END()
