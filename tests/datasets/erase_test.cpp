#include <tapestry/datasets/erase.h>

#include <boost/test/unit_test.hpp>

#include <algorithm>
#include <cmath>
#include <map>
#include <set>

#include "support/expect.h"

using namespace tapestry;
using namespace tapestry::datasets;
using namespace tapestry::test;

namespace {

/// The rectangle of pixels that differ from `value` in all channels: top, left, bottom, right; area 0 when there is
/// none.
struct Found {
  Index top = 1000, left = 1000, bottom = 0, right = 0, pixels = 0;
  Index area() const { return pixels == 0 ? 0 : (bottom - top) * (right - left); }
};

Found changed(const Tensor& x, double value) {
  const std::vector<double> v = values(x);
  Found found;
  for (Index i = 0; i < x.size(0) * x.size(1); ++i) {
    const auto begin = v.begin() + i * x.size(2);
    const auto differing = std::count_if(begin, begin + x.size(2), [&](double d) { return d != value; });
    BOOST_REQUIRE((differing == 0 || differing == x.size(2)));
    if (differing == 0) continue;
    const Index row = i / x.size(1);
    const Index column = i % x.size(1);
    found.top = std::min(found.top, row);
    found.left = std::min(found.left, column);
    found.bottom = std::max(found.bottom, row + 1);
    found.right = std::max(found.right, column + 1);
    ++found.pixels;
  }
  return found;
}

template <class F>
std::string refused(F&& f) {
  return error<std::invalid_argument>(std::forward<F>(f));
}

}  // namespace

BOOST_AUTO_TEST_SUITE(erase_test)

BOOST_AUTO_TEST_CASE(random_erasing_fills_one_rectangle_of_the_allowed_sizes) {
  for (const Dtype dtype : {u8, f32}) {
    const Tensor image = full({40, 30, 3}, 7, {.dtype = dtype});
    int erased = 0;
    for (std::uint64_t i = 0; i < 300; ++i) {
      const Tensor y = RandomErasing{.scale = {0.05, 0.2}, .ratio = {0.5, 2}, .value = 3}(image, {.index = i});
      const Found found = changed(y, 7);
      if (found.pixels == 0) continue;
      ++erased;
      BOOST_REQUIRE(found.pixels == found.area());
      const double share = static_cast<double>(found.pixels) / 1200;
      const double ratio =
          static_cast<double>(found.bottom - found.top) / static_cast<double>(found.right - found.left);
      BOOST_REQUIRE((share > 0.04 && share < 0.22));
      BOOST_REQUIRE((ratio > 0.4 && ratio < 2.4));
    }
    BOOST_TEST((erased > 110 && erased < 190));
  }
  const Tensor image = full({40, 30, 3}, 7.0);
  BOOST_TEST(same_bits(RandomErasing{.p = 0}(image, {}), image));
  BOOST_TEST(values(image)[0] == 7);
}

BOOST_AUTO_TEST_CASE(noise_is_normal_and_the_smallest_images_stay) {
  const Tensor image = full({64, 64, 3}, 100.0);
  const Tensor y = RandomErasing{.p = 1, .scale = {0.3, 0.33}, .noise = true}(image, {.index = 1});
  double sum = 0;
  double square = 0;
  int n = 0;
  for (const double v : values(y)) {
    if (v == 100) continue;
    sum += v;
    square += v * v;
    ++n;
  }
  BOOST_TEST(n > 3000);
  BOOST_TEST(std::abs(sum / n) < 0.08);
  BOOST_TEST(std::abs(square / n - 1) < 0.15);
  const Tensor pixel = full({1, 1, 3}, 5.0);
  BOOST_TEST(same_bits(RandomErasing{.p = 1}(pixel, {}), pixel));
}

BOOST_AUTO_TEST_CASE(cutout_cuts_a_square_around_any_pixel) {
  const Tensor image = full({9, 7, 2}, 1, {.dtype = u8});
  std::map<Index, int> sizes;
  std::set<std::pair<Index, Index>> middles;
  for (std::uint64_t i = 0; i < 2000; ++i) {
    const Found found = changed(Cutout{.size = 3}(image, {.index = i}), 1);
    BOOST_REQUIRE(found.pixels == found.area());
    ++sizes[found.pixels];
    const Index y = found.top == 0 ? found.bottom - 2 : found.top + 1;
    const Index x = found.left == 0 ? found.right - 2 : found.left + 1;
    middles.insert({y, x});
  }
  BOOST_TEST(middles.size() == 63U);
  BOOST_TEST((sizes.size() == 3U && sizes[4] > 0 && sizes[6] > 0 && sizes[9] > 900));  // a corner, a side, inside
  BOOST_TEST(changed(Cutout{.size = 4}(full({20, 20, 1}, 1.0), {.index = 3}), 1).pixels <= 16);
  BOOST_TEST(changed(Cutout{.size = 100}(image, {}), 1).pixels == 63);
}

BOOST_AUTO_TEST_CASE(erasing_refuses_what_it_cannot_do) {
  const Tensor bytes = full({4, 4, 1}, 7, {.dtype = u8});
  BOOST_TEST(refused([&] { (void)RandomErasing{.p = 2}(bytes, {}); }) == "random_erasing: p must be in [0, 1]; got 2");
  BOOST_TEST(refused([&] { (void)RandomErasing{.noise = true}(bytes, {}); }) ==
             "random_erasing: an image that gets noise must be f32; got u8");
  BOOST_TEST(refused([&] { (void)RandomErasing{.value = 256}(bytes, {}); }) ==
             "random_erasing: value must be in [0, 255] for a u8 image; got 256");
  BOOST_TEST(refused([&] {
               (void)RandomErasing{.scale = {0, 0.5}}(bytes, {});
             }) == "random_erasing: scale must be two numbers in (0, 1], the smaller first; got 0 and 0.5");
  BOOST_TEST(refused([&] {
               (void)RandomErasing{.ratio = {2, 1}}(bytes, {});
             }) == "random_erasing: ratio must be two numbers above 0, the smaller first; got 2 and 1");
  BOOST_TEST(refused([&] { (void)Cutout{.size = 0}(bytes, {}); }) == "cutout: size must be in [1, 1073741824]; got 0");
  BOOST_TEST(refused([&] {
               (void)Cutout{}(zeros({4, 4, 1}, {.dtype = f64}), {});
             }) == "cutout: image must be u8 or f32; got f64");
}

BOOST_AUTO_TEST_SUITE_END()
