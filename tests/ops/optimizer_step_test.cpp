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

BOOST_AUTO_TEST_CASE(other_types_are_refused) {
  Tensor whole = tensor({1, 2}, {.dtype = i32});
  BOOST_CHECK_THROW((void)sum_of_squares(whole), std::invalid_argument);
  BOOST_CHECK_THROW(scale_in_place(whole, 2), std::invalid_argument);
  BOOST_CHECK_THROW(clamp_in_place(whole, 2), std::invalid_argument);
}

BOOST_AUTO_TEST_SUITE_END()

}  // namespace
