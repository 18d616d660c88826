#include <tapestry/ops/optimizer_step.h>

#include <boost/test/unit_test.hpp>

#include <cmath>
#include <limits>
#include <stdexcept>
#include <vector>

namespace {

using namespace tapestry;

BOOST_AUTO_TEST_SUITE(optimizer_step_test)

BOOST_AUTO_TEST_CASE(squares_are_added_up_in_double) {
  const Tensor x = tensor(std::vector<double>{3, -4, 1e-9}, {3}, {.dtype = f64});
  BOOST_TEST(sum_of_squares(x) == 25 + 1e-18);
  const Tensor many = full({1 << 16}, 1 + 1.0 / 8192, {.dtype = f32});
  BOOST_TEST(sum_of_squares(many) == (1 << 16) * (1 + 1.0 / 8192) * (1 + 1.0 / 8192));  // 26 bits: too many for float
  BOOST_TEST(sum_of_squares(empty({0}, f32)) == 0);
}

BOOST_AUTO_TEST_CASE(gradients_are_scaled_and_clamped_in_place) {
  Tensor x = tensor({1.0F, -8.0F, 3.0F});
  const Tensor alias = x;
  scale_in_place(x, 0.5);
  BOOST_TEST(alias.to_vector<float>() == (std::vector<float>{0.5, -4, 1.5}), boost::test_tools::per_element());
  clamp_in_place(x, 1);
  BOOST_TEST(alias.to_vector<float>() == (std::vector<float>{0.5, -1, 1}), boost::test_tools::per_element());
  Tensor odd = full({1}, std::numeric_limits<double>::quiet_NaN(), {.dtype = f64});
  clamp_in_place(odd, 1);
  BOOST_TEST(std::isnan(odd.item()));
}

BOOST_AUTO_TEST_CASE(products_are_added_up_in_double) {
  const Tensor x = tensor({1.0F, -2.0F, 3.0F}), y = tensor({4.0F, 5.0F, 0.5F});
  BOOST_TEST(sum_of_products(x, y) == 4 - 10 + 1.5);
  BOOST_TEST(sum_of_products(x, x) == sum_of_squares(x));
  BOOST_CHECK_THROW((void)sum_of_products(x, ones({4})), std::invalid_argument);
}

BOOST_AUTO_TEST_CASE(tensors_are_mixed_in_place) {
  using Floats = std::vector<float>;
  const Tensor y = tensor({4.0F, 5.0F, 0.1F});
  Tensor x = tensor({1.0F, -2.0F, 3.0F}), z = tensor({1.0F, -2.0F, 3.0F}), w = zeros({3});
  scale_and_add_in_place(x, 2, y, -1);
  BOOST_TEST(x.to_vector<float>() == (Floats{-2, -9, 5.9F}), boost::test_tools::per_element());
  lerp_in_place(z, y, 0.5);
  BOOST_TEST(z.to_vector<float>() == (Floats{2.5, 1.5, 3 + 0.5F * (0.1F - 3)}), boost::test_tools::per_element());
  lerp_in_place(z, y, 1);
  BOOST_TEST(z.to_vector<float>() == y.to_vector<float>(), boost::test_tools::per_element());
  lerp_in_place(z, x, 0);
  BOOST_TEST(z.to_vector<float>() == y.to_vector<float>(), boost::test_tools::per_element());
  swap_in_place(z, w);
  BOOST_TEST(w.to_vector<float>() == y.to_vector<float>(), boost::test_tools::per_element());
  BOOST_TEST(z.to_vector<float>() == Floats(3, 0), boost::test_tools::per_element());
  copy_in_place(z, w);
  BOOST_TEST(z.to_vector<float>() == y.to_vector<float>(), boost::test_tools::per_element());
  BOOST_CHECK_THROW(scale_and_add_in_place(x, 2, ones({2}), 1), std::invalid_argument);
  BOOST_CHECK_THROW(lerp_in_place(x, ones({2}), 1), std::invalid_argument);
  Tensor other = ones({3}, {.dtype = f64});
  BOOST_CHECK_THROW(swap_in_place(x, other), std::invalid_argument);
  BOOST_CHECK_THROW(copy_in_place(x, other), std::invalid_argument);
}

BOOST_AUTO_TEST_CASE(rows_are_clipped_to_those_of_a_parameter) {
  Tensor g = tensor({{3.0, 4.0}, {0.0, 1.0}}, {.dtype = f64});
  clip_rows_to_parameter(g, tensor({{2.5, 0.0}, {9.0, 0.0}}, {.dtype = f64}), 0.5, 0);
  BOOST_TEST(g.to_vector<double>() == (std::vector<double>{0.75, 1, 0, 1}), boost::test_tools::per_element());
  Tensor nothing = zeros({0, 3});
  clip_rows_to_parameter(nothing, nothing, 0.5, 0);
}

BOOST_AUTO_TEST_CASE(other_types_are_refused) {
  Tensor whole = tensor({1, 2}, {.dtype = i32});
  BOOST_CHECK_THROW((void)sum_of_squares(whole), std::invalid_argument);
  BOOST_CHECK_THROW(scale_in_place(whole, 2), std::invalid_argument);
  BOOST_CHECK_THROW(clamp_in_place(whole, 2), std::invalid_argument);
}

BOOST_AUTO_TEST_SUITE_END()

}  // namespace
