#include <tapestry/datasets/color.h>

#include <boost/test/unit_test.hpp>

#include <algorithm>
#include <cmath>
#include <numeric>

#include <tapestry/datasets/detail/colours.h>

#include "support/expect.h"

using namespace tapestry;
using namespace tapestry::datasets;
using namespace tapestry::test;
namespace ops = tapestry::datasets::detail;

namespace {

Tensor bytes(const std::vector<int>& v, const Shape& shape) {
  return tensor(std::vector<std::uint8_t>(v.begin(), v.end()), shape, {.dtype = u8});
}

/// 6 x 5 colours between 40 and 167.
Tensor picture() {
  std::vector<int> v(90);
  for (std::size_t i = 0; i < v.size(); ++i) v[i] = static_cast<int>(i * 37 % 256 / 2 + 40);
  return bytes(v, {6, 5, 3});
}

std::vector<double> first(const Tensor& x, std::size_t from, std::size_t count) {
  const std::vector<double> all = values(x);
  return {all.begin() + static_cast<std::ptrdiff_t>(from), all.begin() + static_cast<std::ptrdiff_t>(from + count)};
}

double total(const Tensor& x) {
  const std::vector<double> all = values(x);
  return std::accumulate(all.begin(), all.end(), 0.0);
}

}  // namespace

BOOST_AUTO_TEST_SUITE(color_test)

// Values marked so are Pillow's.

BOOST_AUTO_TEST_CASE(tables_of_bytes_are_pillows) {
  const Tensor x = picture();
  BOOST_TEST(
      first(ops::autocontrast(x), 0, 12) == std::vector<double>({0, 34, 69, 113, 148, 183, 228, 0, 34, 78, 114, 148}),
      boost::test_tools::per_element());
  BOOST_TEST(total(ops::autocontrast(x)) == 11440);
  BOOST_TEST(total(ops::posterize(x, 3)) == 7904);
  BOOST_TEST(total(ops::solarize(x, 100)) == 8748);
  BOOST_TEST(total(ops::adjust_brightness(x, 1.5)) == 13955);
  BOOST_TEST(same_bits(ops::equalize(x), x));  // too few pixels for a step
}

BOOST_AUTO_TEST_CASE(equalize_is_pillows) {
  std::vector<int> v(4800);
  for (std::size_t i = 0; i < v.size(); ++i) v[i] = static_cast<int>((i * 97 + i / 11 * (i / 11)) % 200);
  const Tensor y = ops::equalize(bytes(v, {40, 40, 3}));
  BOOST_TEST(first(y, 0, 12) == std::vector<double>({0, 130, 255, 124, 254, 118, 246, 109, 238, 100, 229, 93}),
             boost::test_tools::per_element());
  BOOST_TEST(total(y) == 635562);
}

BOOST_AUTO_TEST_CASE(sharpness_is_pillows_within_rounding) {
  const Tensor y = ops::adjust_sharpness(picture(), 2);
  BOOST_TEST(all_close(first(y, 15, 15), {61, 80, 98, 137, 164, 194, 4, 34, 61, 100, 138, 167, 155, 46, 64}, 0, 1));
  BOOST_TEST(same_bits(ops::adjust_sharpness(picture(), 1), picture()));
  BOOST_TEST(all_close(ops::adjust_sharpness(bytes({0, 0, 0, 0, 130, 0, 0, 0, 0}, {3, 3, 1}), 0),
                       {0, 0, 0, 0, 50, 0, 0, 0, 0}, 0));
}

BOOST_AUTO_TEST_CASE(saturation_and_contrast_are_pillows_within_rounding) {
  const Tensor x = picture();
  BOOST_TEST(all_close(first(ops::adjust_saturation(x, 0.3), 0, 6), {50, 55, 61, 105, 111, 116}, 0, 1));
  BOOST_TEST(all_close(first(ops::adjust_contrast(x, 1.7), 0, 6), {0, 26, 58, 89, 121, 152}, 0, 1));
  const Tensor grey = ops::adjust_saturation(x, 0);
  for (Index i = 0; i < 30; ++i) {
    const auto* p = grey.data<std::uint8_t>() + 3 * i;
    BOOST_TEST((p[0] == p[1] && p[1] == p[2]));
  }
  const Tensor flat = ops::adjust_contrast(x, 0);
  BOOST_TEST(std::ranges::count(flat.span<std::uint8_t>(), flat.data<std::uint8_t>()[0]) == 90);
}

BOOST_AUTO_TEST_CASE(a_turned_hue_is_what_colour_spaces_say) {
  const std::vector<std::array<int, 3>> from{{200, 100, 50}, {10, 250, 30}, {20, 20, 240}, {255, 0, 0}};
  // By Python's colorsys.
  const std::vector<std::array<std::array<int, 3>, 3>> wanted{{{{200, 190, 50}, {175, 50, 200}, {50, 150, 200}}},
                                                              {{{10, 250, 174}, {250, 150, 10}, {250, 10, 230}}},
                                                              {{{152, 20, 240}, {20, 240, 130}, {240, 240, 20}}},
                                                              {{{255, 153, 0}, {128, 0, 255}, {0, 255, 255}}}};
  const std::array<double, 3> turns{0.1, -0.25, 0.5};
  for (std::size_t i = 0; i < from.size(); ++i) {
    const Tensor pixel = bytes({from[i].begin(), from[i].end()}, {1, 1, 3});
    for (std::size_t t = 0; t < 3; ++t) {
      const auto& rgb = wanted[i][t];
      BOOST_TEST(all_close(ops::adjust_hue(pixel, turns[t]), std::vector<double>(rgb.begin(), rgb.end()), 0, 1));
    }
  }
  BOOST_TEST(same_bits(ops::adjust_hue(picture(), 0), picture()));
  BOOST_TEST(all_close(ops::adjust_hue(ops::adjust_hue(picture(), 0.3), -0.3), picture(), 0, 3));
}

BOOST_AUTO_TEST_CASE(grey_pictures_keep_hue_and_saturation) {
  const Tensor grey = bytes({10, 200, 30, 0}, {2, 2, 1});
  BOOST_TEST(same_bits(ops::adjust_hue(grey, 0.2), grey));
  BOOST_TEST(same_bits(ops::adjust_saturation(grey, 0.2), grey));
  BOOST_TEST(all_close(ops::adjust_contrast(grey, 0.5), {35, 130, 45, 30}, 0));  // about the mean of 60
}

BOOST_AUTO_TEST_CASE(a_jitter_draws_each_change_in_its_range) {
  const Tensor grey = full({1, 1, 1}, 100, {.dtype = u8});
  double least = 255;
  double most = 0;
  for (std::uint64_t i = 0; i < 500; ++i) {
    const double v = ColorJitter{.brightness = 0.4}(grey, {.index = i}).item();
    least = std::min(least, v);
    most = std::max(most, v);
  }
  BOOST_TEST((least >= 59 && least <= 63));
  BOOST_TEST((most <= 140 && most >= 136));
  const Tensor x = picture();
  BOOST_TEST(same_bits(ColorJitter{}(x, {}), x));
  const ColorJitter all{.brightness = 0.4, .contrast = 0.4, .saturation = 0.4, .hue = 0.1};
  BOOST_TEST(same_bits(all(x, {.index = 3}), all(x, {.index = 3})));
  BOOST_TEST(!same_bits(all(x, {.index = 3}), all(x, {.index = 4})));
}

BOOST_AUTO_TEST_CASE(the_order_of_changes_varies) {
  // A contrast below 1 makes black lighter; a brightness above 1 then makes that lighter still. Before it, it changes
  // nothing here: 255 is cut off.
  const Tensor x = bytes({0, 255}, {1, 2, 1});
  int brightness_first = 0;
  int contrast_first = 0;
  for (std::uint64_t i = 0; i < 400; ++i) {
    const SampleKey key{.index = i};
    const double factor = values(ColorJitter{.brightness = 1}(bytes({100}, {1, 1, 1}), key))[0] / 100;
    const double black = values(ColorJitter{.contrast = 1}(x, key))[0];
    if (factor < 1.3 || black < 20) continue;
    const double both = values(ColorJitter{.brightness = 1, .contrast = 1}(x, key))[0];
    const bool is_brighter = std::abs(both - black * factor) <= 3;
    BOOST_TEST((is_brighter || std::abs(both - black) <= 1));
    ++(is_brighter ? contrast_first : brightness_first);
  }
  BOOST_TEST((brightness_first > 20 && contrast_first > 20));
}

BOOST_AUTO_TEST_CASE(a_jitter_refuses_what_it_cannot_change) {
  const auto refused = [](const ColorJitter& jitter, const Tensor& x) {
    return error<std::invalid_argument>([&] { (void)jitter(x, {}); });
  };
  BOOST_TEST(refused({.contrast = -1}, picture()) == "color_jitter: contrast must be at least 0; got -1");
  BOOST_TEST(refused({.hue = 0.6}, picture()) == "color_jitter: hue must be in [0, 0.5]; got 0.6");
  BOOST_TEST(refused({}, zeros({2, 2, 3})) ==
             "color_jitter: image must be u8 with 1 or 3 channels (before ToFloat); got f32 [2, 2, 3]");
  BOOST_TEST(refused({}, zeros({2, 2, 4}, {.dtype = u8})) ==
             "color_jitter: image must be u8 with 1 or 3 channels (before ToFloat); got u8 [2, 2, 4]");
  BOOST_TEST(refused({}, zeros({2, 2}, {.dtype = u8})) ==
             "color_jitter: image must be [H, W, C] with at least one element; got [2, 2]");
}

BOOST_AUTO_TEST_SUITE_END()
