
#include <ops/kernels/conv2d_cases.h>
#include <boost/test/unit_test.hpp>

#include <array>
#include <chrono>
#include <cmath>
#include <cstring>
#include <limits>
#include <sstream>
#include <string>
#include <vector>

namespace {

using namespace tapestry;
using namespace tapestry::test;

/// Runs `kernel` on memory full of NaN with a NaN behind the end, and says where the result is not `expected`.
template <class T, class F>
std::string mismatch(const char* pass, const Conv2dShape& s, const std::vector<double>& expected, const F& kernel) {
  std::vector<T> got(expected.size() + 1, std::numeric_limits<T>::quiet_NaN());
  kernel(got.data());
  std::ostringstream out;
  if (!std::isnan(got.back())) out << pass << " " << s << ": wrote beyond the end";
  for (std::size_t i = 0; i < expected.size() && out.str().empty(); ++i) {
    if (static_cast<double>(got[i]) != expected[i]) {
      out << pass << " " << s << ": element " << i << ": expected " << expected[i] << ", got " << got[i];
    }
  }
  return out.str();
}

/// The first of the three passes that differs from the loops, described; empty if none does.
template <class T>
std::string exact_mismatch(const Conv2dShape& s) {
  const auto x = integers<T>(x_size(s), 1), w = integers<T>(w_size(s), 2), dy = integers<T>(y_size(s), 3);
  const auto bias = integers<T>(s.k, 4);
  std::vector<double> y(at(y_size(s))), dx(x.size()), dw(w.size());
  for_each_product(s, [&](std::size_t xi, std::size_t wi, std::size_t yi) {
    y[yi] += static_cast<double>(x[xi]) * static_cast<double>(w[wi]);
    dx[xi] += static_cast<double>(dy[yi]) * static_cast<double>(w[wi]);
    dw[wi] += static_cast<double>(dy[yi]) * static_cast<double>(x[xi]);
  });
  std::string error = mismatch<T>("forward", s, y, [&](T* to) { plain_conv2d<T>(s, x.data(), w.data(), nullptr, to); });
  for (std::size_t i = 0; i < y.size(); ++i) y[i] += static_cast<double>(bias[i % at(s.k)]);
  if (error.empty()) {
    error =
        mismatch<T>("forward with bias", s, y, [&](T* to) { plain_conv2d<T>(s, x.data(), w.data(), bias.data(), to); });
  }
  if (error.empty()) {
    error = mismatch<T>("input gradient", s, dx, [&](T* to) { plain_input_grad<T>(s, dy.data(), w.data(), to); });
  }
  if (error.empty()) {
    error = mismatch<T>("weight gradient", s, dw, [&](T* to) { plain_weight_grad<T>(s, x.data(), dy.data(), to); });
  }
  return error;
}

BOOST_AUTO_TEST_SUITE(conv2d_kernel_test)

BOOST_AUTO_TEST_CASE(all_three_passes_are_exact_on_integers_for_every_kind_of_shape) {
  for (const Conv2dShape& s : small_shapes()) BOOST_TEST(exact_mismatch<float>(s) == "");
}

BOOST_AUTO_TEST_CASE(all_three_passes_are_exact_in_double) {
  for (const Conv2dShape& s : small_shapes()) BOOST_TEST(exact_mismatch<double>(s) == "");
}

BOOST_AUTO_TEST_CASE(shapes_large_enough_to_be_cut_into_tasks_and_blocks_are_exact) {
  for (const Conv2dShape& s : {shape(22, 16, 16, 3, 32, 3, 3, same(1)), shape(13, 16, 16, 32, 64, 3, 3, same(1)),
                               shape(3, 4, 4, 300, 130, 3, 3, same(1)),  // depth beyond one block
                               shape(17, 8, 8, 64, 128, 3, 3, same(1, 2)), shape(9, 8, 8, 64, 128, 1, 1, same(0, 2)),
                               shape(2, 3, 3, 1100, 20, 2, 2, same(1)), shape(1, 32, 32, 16, 16, 3, 3, same(1)),
                               shape(8, 16, 16, 70, 130, 1, 1, same(0)), shape(33, 2, 2, 96, 96, 3, 3, same(1))}) {
    BOOST_TEST(exact_mismatch<float>(s) == "");
  }
}

BOOST_AUTO_TEST_CASE(weight_gradients_of_few_channels_and_of_whole_panels_are_exact) {
  for (const Conv2dShape& s :
       {shape(5, 9, 9, 3, 64, 3, 3, same(1)),  // taps side by side; gradients read in place
        shape(3, 16, 16, 3, 32, 7, 7, same(3, 2)), shape(4, 7, 5, 8, 16, 5, 3, same(1)),
        shape(2, 2, 2, 3, 16, 3, 3, same(1)),                                            // no column has all taps
        shape(3, 8, 8, 15, 16, 3, 3, {.pad_left = 2, .pad_right = 2, .dilation_w = 2}),  // dilated: taps apart
        shape(4, 6, 6, 8, 16, 3, 3, same(1, 1, 2)),  // as many filters as a vector has lanes,
        shape(4, 6, 6, 4, 32, 3, 3, same(1, 1, 4)),  // but in groups
        shape(40, 32, 32, 3, 16, 3, 3, same(1)), shape(9, 32, 32, 16, 16, 3, 3, same(1))}) {
    BOOST_TEST(exact_mismatch<float>(s) == "");
    BOOST_TEST(exact_mismatch<double>(s) == "");
  }
}

BOOST_AUTO_TEST_CASE(empty_extents_give_empty_results_zeros_or_bias) {
  for (const Conv2dShape& s : {shape(0, 4, 4, 3, 5, 3, 3, same(1)), shape(2, 4, 4, 0, 5, 3, 3, same(1)),
                               shape(2, 4, 4, 3, 0, 3, 3, same(1)), shape(2, 0, 4, 3, 5, 3, 3, same(2)),
                               shape(7, 4, 0, 3, 5, 3, 3, same(2)), shape(0, 4, 4, 3, 3, 3, 3, same(1, 1, 3)),
                               shape(2, 0, 4, 3, 3, 3, 3, same(2, 1, 3)), shape(2, 4, 4, 0, 5, 1, 1, same(0))}) {
    BOOST_TEST(exact_mismatch<float>(s) == "");
  }
}

BOOST_AUTO_TEST_CASE(cells_that_no_window_touches_get_a_zero_gradient) {
  const Conv2dShape s = shape(1, 3, 3, 1, 1, 2, 2, same(0, 2));
  const float ones[] = {1, 1, 1, 1};
  std::vector<float> dx(9, std::numeric_limits<float>::quiet_NaN());
  plain_input_grad<float>(s, ones, ones, dx.data());
  BOOST_TEST(dx == (std::vector<float>{1, 1, 0, 1, 1, 0, 0, 0, 0}), boost::test_tools::per_element());
}

BOOST_AUTO_TEST_CASE(a_padded_one_by_one_kernel_has_a_border_of_zeros) {
  const Conv2dShape s = shape(1, 1, 1, 1, 1, 1, 1, same(1));
  const float x[] = {3}, w[] = {5};
  std::vector<float> y(9, std::numeric_limits<float>::quiet_NaN());
  plain_conv2d<float>(s, x, w, nullptr, y.data());
  BOOST_TEST(y == (std::vector<float>{0, 0, 0, 0, 15, 0, 0, 0, 0}), boost::test_tools::per_element());
}

BOOST_AUTO_TEST_CASE(bits_of_all_passes_do_not_depend_on_the_number_of_threads) {
  const int before = num_threads();
  for (const Conv2dShape& s :
       {shape(20, 16, 16, 24, 40, 3, 3, same(1)), shape(20, 16, 16, 24, 40, 3, 3, same(1, 2)),
        shape(20, 16, 16, 64, 64, 3, 3, same(1, 1, 64)), shape(2, 8, 8, 256, 96, 3, 3, same(1))}) {
    const auto x = normals(x_size(s), 5), w = normals(w_size(s), 6), dy = normals(y_size(s), 7);
    std::vector<float> first;
    for (const int threads : {1, 2, 3, 7}) {
      set_num_threads(threads);
      std::vector<float> all(at(y_size(s) + x_size(s) + w_size(s)));
      plain_conv2d<float>(s, x.data(), w.data(), nullptr, all.data());
      plain_input_grad<float>(s, dy.data(), w.data(), all.data() + y_size(s));
      plain_weight_grad<float>(s, x.data(), dy.data(), all.data() + y_size(s) + x_size(s));
      if (first.empty()) first = all;
      BOOST_TEST(std::memcmp(all.data(), first.data(), all.size() * sizeof(float)) == 0,
                 s << ", " << threads << " threads");
    }
  }
  set_num_threads(before);
}

BOOST_AUTO_TEST_CASE(float_passes_stay_within_the_promised_error_of_double_ones) {
  const Conv2dShape s = shape(9, 16, 16, 40, 24, 3, 3, same(1));
  const auto x = normals(x_size(s), 8), w = normals(w_size(s), 9), dy = normals(y_size(s), 10);
  std::array<std::vector<double>, 3> expected = {std::vector<double>(dy.size()), std::vector<double>(x.size()),
                                                 std::vector<double>(w.size())};
  auto scale = expected;
  for_each_product(s, [&](std::size_t xi, std::size_t wi, std::size_t yi) {
    const double vx = static_cast<double>(x[xi]), vw = static_cast<double>(w[wi]), vy = static_cast<double>(dy[yi]);
    expected[0][yi] += vx * vw, scale[0][yi] += std::abs(vx * vw);
    expected[1][xi] += vy * vw, scale[1][xi] += std::abs(vy * vw);
    expected[2][wi] += vx * vy, scale[2][wi] += std::abs(vx * vy);
  });
  std::vector<float> got[3] = {std::vector<float>(dy.size()), std::vector<float>(x.size()),
                               std::vector<float>(w.size())};
  plain_conv2d<float>(s, x.data(), w.data(), nullptr, got[0].data());
  plain_input_grad<float>(s, dy.data(), w.data(), got[1].data());
  plain_weight_grad<float>(s, x.data(), dy.data(), got[2].data());
  const double terms[3] = {9.0 * 40, 9.0 * 24, 9.0 * 16 * 16};
  for (std::size_t pass = 0; pass < 3; ++pass) {
    double worst = 0;
    for (std::size_t i = 0; i < got[pass].size(); ++i) {
      worst = std::max(worst, std::abs(static_cast<double>(got[pass][i]) - expected[pass][i]) / scale[pass][i]);
    }
    BOOST_TEST(worst <= 4 * std::sqrt(terms[pass]) * std::ldexp(1.0, -24), "pass " << pass << ": " << worst);
    BOOST_TEST(worst > 0);
  }
}

BOOST_AUTO_TEST_CASE(subnormal_inputs_do_not_slow_a_convolution_down) {
  const Conv2dShape s = shape(8, 16, 16, 32, 32, 3, 3, same(1));
  const std::vector<float> w(at(w_size(s)), 0.5F), normal(at(x_size(s)), 1.0F), subnormal(at(x_size(s)), 1e-40F);
  std::vector<float> y(at(y_size(s)));
  const auto best = [&](const std::vector<float>& x) {
    double least = 1e9;
    for (int i = 0; i < 10; ++i) {
      const auto start = std::chrono::steady_clock::now();
      plain_conv2d<float>(s, x.data(), w.data(), nullptr, y.data());
      least = std::min(least, std::chrono::duration<double>(std::chrono::steady_clock::now() - start).count());
    }
    return least;
  };
  const double base = best(normal), slow = best(subnormal);
  BOOST_TEST(slow < 5 * base, slow << " s against " << base << " s");  // without flushing some 50 times
  BOOST_TEST(y[0] == 0);
}

BOOST_AUTO_TEST_SUITE_END()

}  // namespace
