#include <tapestry/datasets/auto_augment.h>

#include <boost/test/unit_test.hpp>

#include <map>
#include <string>

#include <tapestry/datasets/detail/colours.h>
#include <tapestry/datasets/detail/warp.h>
#include <tapestry/datasets/loader.h>
#include <tapestry/datasets/patterns.h>

#include "support/expect.h"

using namespace tapestry;
using namespace tapestry::datasets;
using namespace tapestry::test;
namespace ops = tapestry::datasets::detail;

namespace {

/// Noise, so that every change shows.
Tensor picture(Index channels = 3) {
  Generator generator(11);
  Tensor x = empty({32, 32, channels}, u8);
  auto* const to = x.mutable_data<std::uint8_t>();
  for (Index i = 0; i < x.numel(); ++i) to[i] = static_cast<std::uint8_t>(generator.randint(30, 200));
  return x;
}

/// Every result that one change can give, with its name.
using Results = std::vector<std::pair<std::string, Tensor>>;

struct Strength {
  double shear, translate, degrees, enhance;
  int bits, threshold;
};

Results results_of(const Tensor& x, const Strength& s) {
  Results all{{"identity", x}};
  const auto warped = [&](const ops::Affine& affine) {
    return ops::warp(x, to_source(affine), Interpolation::nearest, 0);
  };
  const double degrees = std::atan(s.shear) * 180 / std::acos(-1.0);
  for (const double sign : {-1.0, 1.0}) {
    all.emplace_back("shear_x", warped({.shear_x = sign * degrees}));
    all.emplace_back("shear_y", warped({.shear_y = sign * degrees}));
    all.emplace_back("translate_x", warped({.move_x = sign * s.translate}));
    all.emplace_back("translate_y", warped({.move_y = sign * s.translate}));
    all.emplace_back("rotate", warped({.degrees = sign * s.degrees, .centre_x = 16, .centre_y = 16}));
    all.emplace_back("brightness", ops::adjust_brightness(x, 1 + sign * s.enhance));
    all.emplace_back("color", ops::adjust_saturation(x, 1 + sign * s.enhance));
    all.emplace_back("contrast", ops::adjust_contrast(x, 1 + sign * s.enhance));
    all.emplace_back("sharpness", ops::adjust_sharpness(x, 1 + sign * s.enhance));
  }
  all.emplace_back("posterize", ops::posterize(x, s.bits));
  all.emplace_back("solarize", ops::solarize(x, s.threshold));
  all.emplace_back("autocontrast", ops::autocontrast(x));
  all.emplace_back("equalize", ops::equalize(x));
  return all;
}

}  // namespace

BOOST_AUTO_TEST_SUITE(auto_augment_test)

BOOST_AUTO_TEST_CASE(one_op_of_rand_augment_is_one_of_fourteen_equally_often_in_both_directions) {
  const Tensor x = picture();
  // Magnitude 15 of 0 ... 30: half of the full strength.
  const Results results =
      results_of(x, {.shear = 0.15, .translate = 7, .degrees = 15, .enhance = 0.45, .bits = 6, .threshold = 128});
  std::map<std::string, int> count;
  std::map<std::size_t, int> variants;
  constexpr int kDraws = 1400;
  for (std::uint64_t i = 0; i < kDraws; ++i) {
    const Tensor y = RandAugment{.num_ops = 1, .magnitude = 15}(x, {.index = i});
    std::size_t at = 0;
    while (at < results.size() && !same_bits(results[at].second, y)) ++at;
    BOOST_REQUIRE(at < results.size());
    ++count[results[at].first];
    ++variants[at];
  }
  BOOST_TEST(count.size() == 14U);
  for (const auto& [name, n] : count) BOOST_TEST((n > 55 && n < 150), name << ": " << n);  // 100, deviation 10
  BOOST_TEST(variants.size() == results.size());
}

BOOST_AUTO_TEST_CASE(magnitude_zero_changes_little_and_no_ops_nothing) {
  const Tensor x = picture();
  const Results results =
      results_of(x, {.shear = 0, .translate = 0, .degrees = 0, .enhance = 0, .bits = 8, .threshold = 255});
  for (std::uint64_t i = 0; i < 100; ++i) {
    const Tensor y = RandAugment{.num_ops = 1, .magnitude = 0}(x, {.index = i});
    BOOST_REQUIRE(std::ranges::any_of(results, [&](const auto& r) { return same_bits(r.second, y); }));
  }
  BOOST_TEST(same_bits(RandAugment{.num_ops = 0}(x, {}), x));
}

BOOST_AUTO_TEST_CASE(trivial_augment_draws_its_strength) {
  const Tensor x = picture();
  std::map<std::string, int> seen;
  Results all;
  for (const double part : {0.0, 0.5, 1.0}) {
    Results some = results_of(x, {.shear = 0.99 * part,
                                  .translate = std::trunc(32 * part),
                                  .degrees = 135 * part,
                                  .enhance = 0.99 * part,
                                  .bits = 8 - static_cast<int>(6 * part),
                                  .threshold = static_cast<int>(std::ceil(255 * (1 - part)))});
    for (auto& [name, y] : some) all.emplace_back(name + " " + std::to_string(part), y);
  }
  for (std::uint64_t i = 0; i < 2000; ++i) {
    const Tensor y = TrivialAugmentWide{.num_magnitude_bins = 3}(x, {.index = i});
    const auto found = std::ranges::find_if(all, [&](const auto& r) { return same_bits(r.second, y); });
    BOOST_REQUIRE((found != all.end()));
    ++seen[found->first];
  }
  for (const char* name : {"rotate 0.500000", "rotate 1.000000", "shear_x 0.500000", "solarize 1.000000"}) {
    BOOST_TEST((seen[name] > 20 && seen[name] < 85), name << ": " << seen[name]);  // 48
  }
}

BOOST_AUTO_TEST_CASE(grey_pictures_are_augmented_too) {
  const Tensor x = picture(1);
  for (std::uint64_t i = 0; i < 100; ++i) {
    BOOST_REQUIRE(RandAugment{}(x, {.index = i}).shape() == x.shape());
    BOOST_REQUIRE(TrivialAugmentWide{}(x, {.index = i}).shape() == x.shape());
  }
}

BOOST_AUTO_TEST_CASE(batches_are_the_same_for_any_number_ahead) {
  const Patterns data({.size = 64, .transform = RandAugment{}});
  const auto first = [&](Index prefetch) {
    Loader loader(data, {.batch = 64, .seed = 3, .prefetch = prefetch});
    return (*loader.begin()).images;
  };
  BOOST_TEST(same_bits(first(0), first(3)));
}

BOOST_AUTO_TEST_CASE(policies_refuse_what_they_cannot_do) {
  const auto refused = [](const auto& policy, const Tensor& x) {
    return error<std::invalid_argument>([&] { (void)policy(x, {}); });
  };
  BOOST_TEST(refused(RandAugment{.num_ops = -1}, picture()) == "rand_augment: num_ops must be at least 0; got -1");
  BOOST_TEST(refused(RandAugment{.magnitude = 31}, picture()) ==
             "rand_augment: magnitude must be in [0, num_magnitude_bins), here [0, 31); got 31");
  BOOST_TEST(refused(TrivialAugmentWide{.num_magnitude_bins = 1}, picture()) ==
             "trivial_augment: num_magnitude_bins must be at least 2; got 1");
  BOOST_TEST(refused(RandAugment{}, zeros({4, 4, 3})) ==
             "rand_augment: image must be u8 with 1 or 3 channels (before ToFloat); got f32 [4, 4, 3]");
}

BOOST_AUTO_TEST_SUITE_END()
