#include <support/expect.h>

#include <bit>
#include <cmath>
#include <cstdint>
#include <limits>

#include <tapestry/autograd/base/shape.h>
#include <tapestry/autograd/base/version.h>

BOOST_AUTO_TEST_SUITE(shape_test)

using namespace tapestry;
using namespace tapestry::test;

BOOST_AUTO_TEST_CASE(a_scalar_has_no_dimensions_and_one_element) {
  const Shape s{};
  BOOST_TEST(s.rank() == 0);
  BOOST_TEST(s.numel() == 1);
  BOOST_TEST(to_string(s) == "[]");
}

BOOST_AUTO_TEST_CASE(an_extent_of_zero_means_no_elements) {
  BOOST_TEST((Shape{0, 3}).numel() == 0);
  BOOST_TEST((Shape{3, 0}).numel() == 0);
  BOOST_TEST(to_string(Shape{2, 0, 3}) == "[2, 0, 3]");
}

BOOST_AUTO_TEST_CASE(shapes_that_cannot_be_are_refused_before_anything_is_allocated) {
  const Index large = Index{1} << 32;
  const Index huge = std::numeric_limits<Index>::max();
  BOOST_TEST(error<std::invalid_argument>([&] {
               (void)Shape{large, large};
             }) == "shape: the number of elements must be at most 2^59; got [4294967296, 4294967296]");
  BOOST_TEST(error<std::invalid_argument>([&] {
               (void)Shape{2, huge};
             }) == "shape: the number of elements must be at most 2^59; got [2, 9223372036854775807]");
  BOOST_TEST(error<std::invalid_argument>([&] {
               (void)Shape{-1, 5};
             }) == "shape: extents must not be negative; got [-1, 5]");
  BOOST_TEST(error<std::invalid_argument>([&] { (void)Shape{1, 1, 1, 1, 1, 1, 1}; }) ==
             "shape: at most 6 dimensions; got [1, 1, 1, 1, 1, 1, 1]");
  // An overflow beside an extent of zero is an overflow all the same.
  BOOST_TEST(error<std::invalid_argument>([&] {
               (void)Shape{0, huge, huge};
             }) ==
             "shape: the number of elements must be at most 2^59; got [0, 9223372036854775807, 9223372036854775807]");
}

BOOST_AUTO_TEST_CASE(extents_are_replaced_removed_and_inserted) {
  const Shape s{2, 3, 4};
  BOOST_TEST(s.with(1, 7) == (Shape{2, 7, 4}));
  BOOST_TEST(s.without(0) == (Shape{3, 4}));
  BOOST_TEST(s.without(2) == (Shape{2, 3}));
  BOOST_TEST(s.inserted(0, 5) == (Shape{5, 2, 3, 4}));
  BOOST_TEST(s.inserted(3, 5) == (Shape{2, 3, 4, 5}));
  BOOST_TEST(s.numel(1, 3) == 12);
  BOOST_TEST(s.numel(1, 1) == 1);
  BOOST_TEST((s == Shape{2, 3}) == false);
}

BOOST_AUTO_TEST_CASE(dims_count_from_the_end_when_negative) {
  BOOST_TEST(normalize_dim("op", -1, 3) == 2);
  BOOST_TEST(normalize_dim("op", 0, 3) == 0);
  BOOST_TEST(normalize_dim("op", -1, 0) == 0);
  BOOST_TEST(error<std::invalid_argument>([] { (void)normalize_dim("op", 3, 3); }) ==
             "op: dim must be in [-3, 2]; got 3");
  BOOST_TEST(error<std::invalid_argument>([] { (void)normalize_dim("op", 1, 0); }) ==
             "op: dim must be in [-1, 0]; got 1");
}

BOOST_AUTO_TEST_CASE(all_pairs_of_shapes_broadcast_or_are_refused) {
  BOOST_TEST(broadcast_shape("add", {}, {3}) == (Shape{3}));
  BOOST_TEST(broadcast_shape("add", {2, 1}, {3}) == (Shape{2, 3}));
  BOOST_TEST(broadcast_shape("add", {4, 2, 3}, {2, 1}) == (Shape{4, 2, 3}));
  BOOST_TEST(broadcast_shape("add", {1}, {0}) == (Shape{0}));
  BOOST_TEST(broadcast_shape("add", {2, 0, 3}, {1, 3}) == (Shape{2, 0, 3}));
  BOOST_TEST(error<std::invalid_argument>([] { (void)broadcast_shape("add", {3}, {0}); }) ==
             "add: shapes must broadcast, extents equal or 1; got [3] and [0], which differ in dim -1");
  BOOST_TEST(error<std::invalid_argument>([] {
               (void)broadcast_shape("add", {2, 3}, {3, 3});
             }) == "add: shapes must broadcast, extents equal or 1; got [2, 3] and [3, 3], which differ in dim -2");
}

BOOST_AUTO_TEST_CASE(bf16_rounds_to_nearest_even) {
  const auto rounded = [](float x) { return static_cast<float>(BFloat16(x)); };
  BOOST_TEST(rounded(1.0F) == 1.0F);
  BOOST_TEST(rounded(1.0F + 0x1p-8F) == 1.0F);                // halfway: to the even one, below
  BOOST_TEST(rounded(1.0F + 3 * 0x1p-8F) == 1.0F + 0x1p-6F);  // halfway: to the even one, above
  BOOST_TEST(rounded(1.0F + 0x1p-8F + 0x1p-20F) == 1.0F + 0x1p-7F);
  BOOST_TEST(rounded(std::numeric_limits<float>::max()) == INFINITY);
  BOOST_TEST(rounded(-INFINITY) == -INFINITY);
  BOOST_TEST(std::isnan(rounded(std::numeric_limits<float>::quiet_NaN())));
  BOOST_TEST(std::isnan(rounded(std::bit_cast<float>(0x7F800001U))));  // a NaN whose payload lies in the lost bits
  BOOST_TEST(std::signbit(rounded(-0.0F)));
  BOOST_TEST(BFloat16(0x1p-133F).bits == 1);  // the smallest denormal
}

BOOST_AUTO_TEST_CASE(dtypes_know_their_names_and_sizes) {
  BOOST_TEST(std::string(name_of(boolean)) == "bool");
  BOOST_TEST(std::string(name_of(bf16)) == "bf16");
  BOOST_TEST(item_bytes(bf16) == 2);
  BOOST_TEST(item_bytes(f64) == 8);
  BOOST_TEST(item_bytes(u8) == 1);
  BOOST_TEST(is_float(bf16));
  BOOST_TEST(!is_float(i32));
  BOOST_TEST(std::string(version()) == "0.1.0");
}

BOOST_AUTO_TEST_SUITE_END()
