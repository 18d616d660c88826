#include <tapestry/datasets/patterns.h>

#include <boost/test/unit_test.hpp>

#include <algorithm>
#include <array>
#include <set>

#include <tapestry/autograd/base/parallel.h>
#include <tapestry/datasets/detail/draw_pattern.h>

#include "datasets/files.h"
#include "support/expect.h"

using namespace tapestry;
using namespace tapestry::datasets;
using namespace tapestry::test;

namespace {

// What the files of seed 1 hold, for version 1 of the pictures: g++ and clang++, any optimisation, any number of
// threads. Whoever changes a picture changes kPatternsVersion and these numbers.
constexpr std::uint32_t kTrainDigest = 356867507;  // of the first 2,000 records
constexpr std::uint32_t kTestDigest = 2189765345;  // of the first 1,000 records

std::set<std::string> distinct_images(const LabelledImages& images) {
  std::set<std::string> all;
  const auto bytes = images.data().span<std::uint8_t>();
  for (std::size_t i = 0; i < bytes.size(); i += 3072) {
    const auto image = bytes.subspan(i, 3072);
    all.emplace(image.begin(), image.end());
  }
  return all;
}

}  // namespace

BOOST_AUTO_TEST_SUITE(patterns_test)

BOOST_AUTO_TEST_CASE(the_files_of_seed_1_are_the_same_to_the_bit_everywhere) {
  static_assert(kPatternsVersion == 1);
  const TemporaryFolder folder;
  const int threads = num_threads();
  for (const int n : {1, 4}) {
    set_num_threads(n);
    write_patterns(folder.path(), {.train_size = 2000, .test_size = 1000});
    BOOST_TEST(crc32c(get_file(folder / "train.bin")) == kTrainDigest);
    BOOST_TEST(crc32c(get_file(folder / "test.bin")) == kTestDigest);
  }
  set_num_threads(threads);
}

BOOST_AUTO_TEST_CASE(what_is_written_is_read_by_cifar100_and_equals_what_is_drawn) {
  const TemporaryFolder folder;
  write_patterns(folder.path(), {.train_size = 150, .test_size = 50, .seed = 5});
  for (const bool train : {true, false}) {
    const Patterns drawn({.train = train, .size = train ? 150U : 50U, .seed = 5});
    const CIFAR100 read(folder.path(), {.train = train, .allow_partial = true});
    BOOST_TEST(same_bits(read.data(), drawn.data()));
    BOOST_TEST(same_bits(read.fine_targets(), drawn.fine_targets()));
    BOOST_TEST(same_bits(read.coarse_targets(), drawn.coarse_targets()));
    BOOST_TEST(std::ranges::equal(read.fine_classes(), drawn.fine_classes()));
    BOOST_TEST(std::ranges::equal(read.coarse_classes(), drawn.coarse_classes()));
  }
}

BOOST_AUTO_TEST_CASE(classes_are_named_by_shape_colour_and_texture) {
  const Patterns data({.size = 1});
  BOOST_TEST(data.classes().size() == 100U);
  BOOST_TEST(data.classes()[0] == "cross_amber_checked");
  BOOST_TEST(data.classes()[99] == "triangle_violet_striped");
  BOOST_TEST(data.coarse_classes()[5] == "azure_dotted");
  BOOST_TEST(data.class_to_index("ring_red_plain").value() == 2 * 20 + 3 * 4 + 2);
  BOOST_TEST(std::ranges::is_sorted(data.fine_classes()));
  BOOST_TEST(std::ranges::is_sorted(data.coarse_classes()));
}

BOOST_AUTO_TEST_CASE(every_hundred_images_hold_every_class_once) {
  const Patterns data({.train = false, .size = 300, .labels = Labels::coarse});
  const auto* fine = data.fine_targets().data<std::uint8_t>();
  for (int block = 0; block < 3; ++block)
    BOOST_TEST(std::set<int>(fine + block * 100, fine + block * 100 + 100).size() == 100U);
  for (int i = 0; i < 300; ++i) {
    BOOST_REQUIRE(int{fine[i]} == 37 * i % 100);
    BOOST_REQUIRE(data.get(static_cast<std::size_t>(i)).target == fine[i] % 20);
  }
}

BOOST_AUTO_TEST_CASE(no_two_images_are_equal_within_and_across_the_splits) {
  auto all = distinct_images(Patterns({.train = true, .size = 1500}));
  all.merge(distinct_images(Patterns({.train = false, .size = 1500})));
  all.merge(distinct_images(Patterns({.train = true, .size = 1500, .seed = 2})));
  BOOST_TEST(all.size() == 4500U);
}

BOOST_AUTO_TEST_CASE(a_smaller_set_is_a_prefix_of_a_larger_one) {
  const Patterns large({.size = 1100});
  const Patterns small({.size = 30});
  BOOST_TEST(std::ranges::equal(small.data().span<std::uint8_t>(), large.data().span<std::uint8_t>().first(30 * 3072)));
}

BOOST_AUTO_TEST_CASE(mean_images_say_little_about_the_class) {
  // The nearest of 100 class means is right for about 6 % of the images: colour leaks, shape and texture do not.
  const Patterns train({.size = 10'000});
  const Patterns test({.train = false, .size = 1000});
  std::vector<float> mean(100 * 3072);
  const auto* pixels = train.data().data<std::uint8_t>();
  for (std::size_t i = 0; i < train.size(); ++i) {
    const std::size_t fine = train.fine_targets().data<std::uint8_t>()[i];
    for (std::size_t k = 0; k < 3072; ++k) mean[fine * 3072 + k] += static_cast<float>(pixels[i * 3072 + k]) / 100.0F;
  }
  int right = 0;
  for (std::size_t i = 0; i < test.size(); ++i) {
    const auto* image = test.data().data<std::uint8_t>() + i * 3072;
    std::array<float, 100> distance{};
    for (std::size_t c = 0; c < 100; ++c) {
      for (std::size_t k = 0; k < 3072; ++k) {
        const float d = static_cast<float>(image[k]) - mean[c * 3072 + k];
        distance[c] += d * d;
      }
    }
    const auto nearest = std::min_element(distance.begin(), distance.end()) - distance.begin();
    right += nearest == test.fine_targets().data<std::uint8_t>()[i] ? 1 : 0;
  }
  BOOST_TEST(right > 20);
  BOOST_TEST(right < 100);
}

BOOST_AUTO_TEST_CASE(sizes_beyond_the_full_ones_are_refused) {
  BOOST_TEST(error<std::invalid_argument>([] { Patterns({.size = 50'001}); }) ==
             "patterns: size must be at most 50000; got 50001");
  BOOST_TEST(error<std::invalid_argument>([] { Patterns({.train = false, .size = 10'001}); }) ==
             "patterns: size must be at most 10000; got 10001");
  const TemporaryFolder folder;
  BOOST_TEST(error<std::invalid_argument>([&] { write_patterns(folder / "x", {.test_size = 0}); }) ==
             "patterns: test_size must be at least 1; got 0");
  BOOST_TEST(!std::filesystem::exists(folder / "x"));
}

BOOST_AUTO_TEST_CASE(a_folder_that_cannot_be_made_is_refused_with_the_systems_text) {
  const TemporaryFolder folder;
  put_file(folder / "file", {});
  BOOST_TEST(error<FileError>([&] { write_patterns(folder / "file/sub", {.train_size = 1, .test_size = 1}); }) ==
             (folder / "file/sub").string() + ": cannot be made: not a directory");
}

BOOST_AUTO_TEST_SUITE_END()
