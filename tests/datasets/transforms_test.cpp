#include <tapestry/datasets/transforms.h>
#include <tapestry/ops/shape_ops.h>

#include <boost/test/unit_test.hpp>

#include <algorithm>
#include <map>
#include <numeric>

#include <tapestry/datasets/cifar.h>

#include "support/expect.h"

using namespace tapestry;
using namespace tapestry::datasets;
using namespace tapestry::test;

namespace {

Tensor counting_image(Index h, Index w, Index c, Dtype dtype = u8) {
  std::vector<double> v(static_cast<std::size_t>(h * w * c));
  std::iota(v.begin(), v.end(), 1);
  return tensor(std::span<const double>(v), {h, w, c}, {.dtype = dtype});
}

double at(const Tensor& x, Index y, Index column, Index c) {
  return values(x)[static_cast<std::size_t>((y * x.size(1) + column) * x.size(2) + c)];
}

/// Offsets (top, left) that a crop of a counting image with zero padding shows, from its content in the middle.
bool is_window(const Tensor& image, const Tensor& crop, Index top, Index left, PadMode mode) {
  for (Index y = 0; y < crop.size(0); ++y) {
    for (Index x = 0; x < crop.size(1); ++x) {
      Index sy = top + y;
      Index sx = left + x;
      const bool outside = sy < 0 || sx < 0 || sy >= image.size(0) || sx >= image.size(1);
      const auto inside = [mode](Index i, Index n) {
        if (mode == PadMode::replicate) return std::clamp<Index>(i, 0, n - 1);
        if (i < 0) return -i;
        return i < n ? i : 2 * (n - 1) - i;
      };
      sy = inside(sy, image.size(0));
      sx = inside(sx, image.size(1));
      for (Index c = 0; c < crop.size(2); ++c) {
        const double wanted = outside && mode == PadMode::constant ? 0 : at(image, sy, sx, c);
        if (at(crop, y, x, c) != wanted) return false;
      }
    }
  }
  return true;
}

}  // namespace

BOOST_AUTO_TEST_SUITE(transforms_test)

BOOST_AUTO_TEST_CASE(a_random_crop_shows_every_window_of_the_padded_image_equally_often) {
  for (const PadMode mode : {PadMode::constant, PadMode::reflect, PadMode::replicate}) {
    for (const auto& [dtype, channels] : {std::pair{u8, 3}, std::pair{f32, 2}}) {
      const Tensor image = counting_image(4, 5, channels, dtype);
      const RandomCrop crop{.padding = 2, .mode = mode};
      std::map<std::pair<Index, Index>, int> seen;
      constexpr int kDraws = 1000;
      for (std::uint64_t i = 0; i < kDraws; ++i) {
        const Tensor y = crop(image, {.seed = 3, .index = i});
        BOOST_REQUIRE(y.shape() == image.shape());
        int fits = 0;
        for (Index top = -2; top <= 2; ++top) {
          for (Index left = -2; left <= 2; ++left) {
            if (!is_window(image, y, top, left, mode)) continue;
            ++fits;
            ++seen[{top, left}];
          }
        }
        BOOST_REQUIRE(fits == 1);
      }
      BOOST_TEST(seen.size() == 25U);
      for (const auto& [offset, n] : seen) BOOST_TEST((n > 15 && n < 75));  // 40 expected, deviation 6
    }
  }
}

BOOST_AUTO_TEST_CASE(a_random_crop_may_change_the_size) {
  const Tensor image = counting_image(4, 5, 1);
  const RandomCrop smaller{.padding = 0, .height = 2, .width = 3};
  const RandomCrop larger{.padding = 2, .height = 8, .width = 9};
  BOOST_TEST(smaller(image, {}).shape() == Shape({2, 3, 1}));
  BOOST_TEST(is_window(image, larger(image, {}), -2, -2, PadMode::constant));
  const RandomCrop whole{.padding = 0};
  BOOST_TEST(same_bits(whole(image, {}), image));
}

BOOST_AUTO_TEST_CASE(a_random_crop_in_a_circle_rolls_the_image) {
  const Tensor image = counting_image(4, 5, 2);
  const RandomCrop crop{.padding = 3, .mode = PadMode::circular};
  std::map<std::pair<Index, Index>, int> seen;
  for (std::uint64_t i = 0; i < 400; ++i) {
    const Tensor y = crop(image, {.seed = 3, .index = i});
    int fits = 0;
    for (Index down = 0; down < 4; ++down) {
      for (Index right = 0; right < 5; ++right) {
        if (!same_bits(y, roll(image, {down, right}, {0, 1}))) continue;
        ++fits;
        ++seen[{down, right}];
      }
    }
    BOOST_REQUIRE(fits == 1);
  }
  BOOST_TEST(seen.size() == 20U);
}

BOOST_AUTO_TEST_CASE(a_random_crop_refuses_what_does_not_fit) {
  const Tensor image = counting_image(4, 5, 1);
  const auto refused = [&](const RandomCrop& crop) {
    return error<std::invalid_argument>([&] { (void)crop(image, {}); });
  };
  BOOST_TEST(refused({.padding = -1}) == "random_crop: padding must be at least 0; got -1");
  BOOST_TEST(refused({.padding = 4, .mode = PadMode::reflect}) ==
             "random_crop: padding of this mode must be at most 3, what the image has to give; got 4 for [4, 5, 1]");
  BOOST_TEST(refused({.padding = 1, .height = 7}) ==
             "random_crop: window must fit into the padded image; got 7 x 5 for [4, 5, 1] with padding 1");
  BOOST_TEST(error<std::invalid_argument>([] {
               (void)RandomCrop{}(zeros({4, 4}), {});
             }) == "random_crop: image must be [H, W, C]; got [4, 4]");
}

BOOST_AUTO_TEST_CASE(a_horizontal_flip_mirrors_with_the_given_probability) {
  for (const auto& [dtype, channels] : {std::pair{u8, 3}, std::pair{f32, 3}, std::pair{u8, 1}, std::pair{f64, 2}}) {
    const Tensor image = counting_image(2, 4, channels, dtype);
    const Tensor mirrored = RandomHorizontalFlip{.p = 1}(image, {});
    for (Index y = 0; y < 2; ++y) {
      for (Index x = 0; x < 4; ++x) {
        for (Index c = 0; c < channels; ++c) BOOST_REQUIRE(at(mirrored, y, x, c) == at(image, y, 3 - x, c));
      }
    }
    BOOST_TEST(same_bits(RandomHorizontalFlip{.p = 0}(image, {}), image));
    int flips = 0;
    for (std::uint64_t i = 0; i < 1000; ++i)
      flips += same_bits(RandomHorizontalFlip{}(image, {.index = i}), mirrored) ? 1 : 0;
    BOOST_TEST((flips > 430 && flips < 570));  // 500 expected, deviation 16
  }
  BOOST_TEST(error<std::invalid_argument>([] {
               (void)RandomHorizontalFlip{.p = 1.5}(zeros({1, 1, 1}), {});
             }) == "random_horizontal_flip: p must be in [0, 1]; got 1.5");
}

BOOST_AUTO_TEST_CASE(an_alternating_flip_mirrors_every_image_in_one_of_two_epochs) {
  const Tensor image = counting_image(2, 4, 3);
  const Tensor mirrored = RandomHorizontalFlip{.p = 1}(image, {});
  int flips = 0;
  for (std::uint64_t i = 0; i < 400; ++i) {
    const auto is_flipped = [&](std::uint64_t epoch) {
      const Tensor y = AlternatingFlip{}(image, {.seed = 2, .epoch = epoch, .index = i});
      const bool flipped = same_bits(y, mirrored);
      BOOST_REQUIRE((flipped || same_bits(y, image)));
      return flipped;
    };
    const bool first = is_flipped(0);
    flips += first ? 1 : 0;
    for (std::uint64_t epoch = 1; epoch < 5; ++epoch) BOOST_REQUIRE(is_flipped(epoch) == (first == (epoch % 2 == 0)));
  }
  BOOST_TEST((flips > 150 && flips < 250));
  BOOST_TEST(error<std::invalid_argument>([] {
               (void)AlternatingFlip{}(zeros({2, 2}), {});
             }) == "alternating_flip: image must be [H, W, C]; got [2, 2]");
}

BOOST_AUTO_TEST_CASE(to_float_maps_0_to_255_onto_0_to_1) {
  const Tensor image = tensor(std::vector<std::uint8_t>{0, 51, 255}, {1, 1, 3}, {.dtype = u8});
  BOOST_TEST(all_close(ToFloat()(image), {0, 51.0F / 255.0F, 1}, 0));
  BOOST_TEST(error<std::invalid_argument>([] {
               (void)ToFloat()(zeros({1, 1, 3}));
             }) == "to_float: image must be u8; got f32");
}

BOOST_AUTO_TEST_CASE(normalize_works_per_channel_and_guards_its_numbers) {
  const Normalize normalize({0.5, 0}, {0.25, 2});
  BOOST_TEST(all_close(normalize(tensor(std::vector<float>{1, 1, 0.5, -4}, {1, 2, 2})), {2, 0.5, 0, -2}, 0));
  BOOST_TEST(error<std::invalid_argument>([] {
               Normalize({0, 0}, {1, 0});
             }) == "normalize: std must be finite and above 0; got 0 for channel 1");
  BOOST_TEST(error<std::invalid_argument>([] {
               Normalize({0, 0}, {1});
             }) == "normalize: mean and std must have one value per channel; got 2 and 1");
  BOOST_TEST(error<std::invalid_argument>([&] {
               (void)normalize(zeros({1, 1, 3}));
             }) == "normalize: image must have 2 channels, as mean and std; got [1, 1, 3]");
  BOOST_TEST(error<std::invalid_argument>([&] {
               (void)normalize(zeros({1, 1, 2}, {.dtype = u8}));
             }) == "normalize: image must be f32 (see ToFloat); got u8");
}

BOOST_AUTO_TEST_CASE(composed_transforms_run_in_order_and_draw_independently) {
  const auto add = [](double v) {
    return [v](const Tensor& x, const SampleKey&) { return full(x.shape(), x.item() * 10 + v); };
  };
  BOOST_TEST(Compose({add(1), add(2), add(3)})(full({1, 1, 1}, 0.0)).item() == 123);
  const Tensor image = counting_image(1, 2, 1);
  const Compose once{RandomHorizontalFlip{}};
  const Compose twice{RandomHorizontalFlip{}, RandomHorizontalFlip{}};
  const Compose nested{twice, once};
  std::map<bool, int> seen;
  int differs = 0;
  for (std::uint64_t i = 0; i < 400; ++i) {
    ++seen[same_bits(twice(image, {.index = i}), image)];
    differs += same_bits(nested(image, {.index = i}), twice(image, {.index = i})) ? 0 : 1;
  }
  BOOST_TEST((seen[true] > 150 && seen[true] < 250));  // were both coins one, the image would always come back
  BOOST_TEST((differs > 150 && differs < 250));
  BOOST_TEST(error<std::invalid_argument>([] { Compose{ImageTransform()}; }) ==
             "compose: every part must be a function; got none at 0");
}

BOOST_AUTO_TEST_CASE(to_float_and_normalize_composed_have_the_bits_of_the_two_steps) {
  const Normalize normalize(cifar100_mean, cifar100_std);
  const Compose composed{ToFloat(), normalize};
  Tensor image = empty({256, 3, 3}, u8);
  auto* byte = image.mutable_data<std::uint8_t>();
  for (Index i = 0; i < image.numel(); ++i) byte[i] = static_cast<std::uint8_t>((i / 3 + i % 3 * 85) % 256);
  BOOST_TEST(same_bits(composed(image), normalize(ToFloat()(image))));
  BOOST_TEST(error<std::invalid_argument>([&] {
               (void)composed(zeros({1, 1, 1}, {.dtype = u8}));
             }) == "normalize: image must have 3 channels, as mean and std; got [1, 1, 1]");
  BOOST_TEST(error<std::invalid_argument>([&] {
               (void)composed(zeros({1, 1, 3}));
             }) == "to_float: image must be u8; got f32");
}

BOOST_AUTO_TEST_CASE(draws_depend_on_every_part_of_the_key_and_on_nothing_else) {
  const auto draw = [](const SampleKey& key, std::uint64_t purpose = 0) { return key.generator(purpose).next_u64(); };
  const SampleKey key{.seed = 1, .epoch = 2, .index = 3};
  const auto first = draw(key);
  BOOST_TEST(draw(key) == first);
  BOOST_TEST(draw({.seed = 9, .epoch = 2, .index = 3}) != first);
  BOOST_TEST(draw({.seed = 1, .epoch = 9, .index = 3}) != first);
  BOOST_TEST(draw({.seed = 1, .epoch = 2, .index = 9}) != first);
  BOOST_TEST(draw(key.child(0)) != first);
  BOOST_TEST(draw(key.child(0)) != draw(key.child(1)));
  BOOST_TEST(draw(key.child(0).child(1)) != draw(key.child(1).child(0)));
  BOOST_TEST(draw(key, 1) != first);
}

BOOST_AUTO_TEST_SUITE_END()
