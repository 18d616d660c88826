#include <tapestry/ops/kernels/conv2d/winograd.h>

#include <ops/kernels/conv2d_cases.h>
#include <boost/test/unit_test.hpp>

#include <array>
#include <cmath>
#include <cstring>
#include <limits>
#include <sstream>
#include <string>
#include <vector>

namespace {

using namespace tapestry;
using namespace tapestry::test;

constexpr const char* kNames[] = {"forward", "input gradient", "weight gradient"};

/// Results of the three passes.
template <class T>
using Passes = std::array<std::vector<T>, 3>;

Passes<double> loops(const Conv2dShape& s, const std::vector<float>& x, const std::vector<float>& w,
                     const std::vector<float>& dy) {
  Passes<double> sums = {std::vector<double>(dy.size()), std::vector<double>(x.size()), std::vector<double>(w.size())};
  for_each_product(s, [&](std::size_t xi, std::size_t wi, std::size_t yi) {
    const double vx = static_cast<double>(x[xi]), vw = static_cast<double>(w[wi]), vy = static_cast<double>(dy[yi]);
    sums[0][yi] += vx * vw;
    sums[1][xi] += vy * vw;
    sums[2][wi] += vx * vy;
  });
  return sums;
}

/// On memory full of NaN, with a NaN behind the end.
Passes<float> winograd(const Conv2dShape& s, const std::vector<float>& x, const std::vector<float>& w,
                       const std::vector<float>& dy, const float* bias = nullptr) {
  constexpr float kNaN = std::numeric_limits<float>::quiet_NaN();
  Passes<float> got = {std::vector<float>(dy.size() + 1, kNaN), std::vector<float>(x.size() + 1, kNaN),
                       std::vector<float>(w.size() + 1, kNaN)};
  kernels::winograd_conv2d(s, x.data(), w.data(), bias, got[0].data());
  kernels::winograd_input_grad(s, dy.data(), w.data(), got[1].data());
  kernels::winograd_weight_grad(s, x.data(), dy.data(), got[2].data());
  return got;
}

/// The first element that is further from its f64 value than `bound(pass)`, described; empty if none is.
template <class F>
std::string mismatch(const Conv2dShape& s, const Passes<double>& expected, const Passes<float>& got, const F& bound) {
  std::ostringstream out;
  for (std::size_t pass = 0; pass < 3; ++pass) {
    if (!std::isnan(got[pass].back())) out << kNames[pass] << " " << s << ": wrote beyond the end";
    for (std::size_t i = 0; i < expected[pass].size() && out.str().empty(); ++i) {
      if (!(std::abs(static_cast<double>(got[pass][i]) - expected[pass][i]) <= bound(pass))) {
        out << kNames[pass] << " " << s << ": element " << i << ": expected " << expected[pass][i] << ", got "
            << got[pass][i];
      }
    }
  }
  return out.str();
}

/// Integers, and with them halves and quarters of integers, are added up exactly: no pass may err at all.
std::string exact_mismatch(const Conv2dShape& s) {
  const auto x = integers<float>(x_size(s), 1), w = integers<float>(w_size(s), 2), dy = integers<float>(y_size(s), 3);
  const auto bias = integers<float>(s.k, 4);
  Passes<double> expected = loops(s, x, w, dy);
  for (std::size_t i = 0; i < expected[0].size(); ++i) expected[0][i] += static_cast<double>(bias[i % at(s.k)]);
  return mismatch(s, expected, winograd(s, x, w, dy, bias.data()), [](std::size_t) { return 0.0; });
}

/// How far a result may be off when all operands of a pass are at most 1 in size. With u = 2^-24, `terms` products per
/// place of a patch, and sums of products in chains of them: the transform of a patch adds up 4 inputs in two steps, so
/// its values are at most 4 and off by 2u of that; that of the taps adds up at most 9/4, in 6 roundings; one of 16
/// sums is then at most 9 terms, with `terms` + 8 roundings. A result adds up 9 of them in four steps:
///   |error| <= 81 terms (terms + 12) u.
/// Random roundings cancel, so that the square root of the number of roundings stands here: 81 terms sqrt(terms + 12)
/// u. The weight gradient has 4 in place of 9/4 for squares of dy, and factors 1/4 at the end: at most 4 * 4 * 9 / 4
/// = 36.
double bound(const Conv2dShape& s, std::size_t pass) {
  const Index squares = s.n * ((s.oh + 1) / 2) * ((s.ow + 1) / 2);
  const double terms = static_cast<double>(pass == 0 ? s.c : pass == 1 ? s.k : squares);
  return (pass == 2 ? 36 : 81) * terms * std::sqrt(terms + 12) * std::ldexp(1.0, -24);
}

std::vector<float> in_unit_interval(Index count, unsigned seed) {
  std::vector<float> values = integers<float>(count, seed, 1 << 20);
  for (float& v : values) v = std::ldexp(v, -20) * 0.999F;  // all bits in use
  return values;
}

std::vector<Conv2dShape> shapes() {
  std::vector<Conv2dShape> list;
  for (const Index c : {1, 3, 15, 16, 17, 64, 100}) {
    for (const Index k : {1, 3, 15, 16, 17, 64, 100}) list.push_back(shape(2, 5, 4, c, k, 3, 3, same(1)));
  }
  for (const Index n : {1, 2, 5}) {
    for (const Index pad : {0, 1, 2, 3}) {
      for (const Index h : {1, 2, 3, 4, 7}) {
        for (const Index w : {1, 2, 5, 6}) {
          if (h + 2 * pad >= 3 && w + 2 * pad >= 3) list.push_back(shape(n, h, w, 3, 5, 3, 3, same(pad)));
        }
      }
    }
    list.push_back(shape(n, 5, 6, 4, 17, 3, 3, {.pad_top = 2, .pad_right = 1}));
    list.push_back(shape(n, 4, 7, 17, 4, 3, 3, {.pad_left = 3, .pad_bottom = 2}));
  }
  return list;
}

BOOST_AUTO_TEST_SUITE(winograd_test)

BOOST_AUTO_TEST_CASE(all_three_passes_are_exact_on_integers_for_every_kind_of_shape) {
  for (const Conv2dShape& s : shapes()) BOOST_TEST(exact_mismatch(s) == "");
}

BOOST_AUTO_TEST_CASE(shapes_large_enough_to_be_cut_into_tasks_and_blocks_are_exact) {
  for (const Conv2dShape& s : {shape(9, 16, 16, 32, 64, 3, 3, same(1)), shape(5, 9, 7, 300, 130, 3, 3, same(1)),
                               shape(3, 8, 8, 130, 300, 3, 3, same(1)), shape(40, 15, 15, 3, 20, 3, 3, same(0))}) {
    BOOST_TEST(exact_mismatch(s) == "");
  }
}

BOOST_AUTO_TEST_CASE(errors_stay_below_their_bound) {
  for (const Conv2dShape& s : {shape(1, 1, 1, 1, 1, 3, 3, same(1)), shape(2, 7, 6, 17, 15, 3, 3, same(1)),
                               shape(9, 16, 16, 40, 24, 3, 3, same(1)), shape(2, 6, 6, 256, 100, 3, 3, same(2))}) {
    const auto x = in_unit_interval(x_size(s), 8), w = in_unit_interval(w_size(s), 9),
               dy = in_unit_interval(y_size(s), 10);
    BOOST_TEST(
        mismatch(s, loops(s, x, w, dy), winograd(s, x, w, dy), [&](std::size_t pass) { return bound(s, pass); }) == "");
  }
}

BOOST_AUTO_TEST_CASE(errors_are_about_those_of_the_direct_kernels) {
  const Conv2dShape s = shape(4, 12, 12, 128, 96, 3, 3, same(1));
  const auto x = normals(x_size(s), 8), w = normals(w_size(s), 9), dy = normals(y_size(s), 10);
  const Passes<double> expected = loops(s, x, w, dy);
  Passes<float> direct = {std::vector<float>(dy.size()), std::vector<float>(x.size()), std::vector<float>(w.size())};
  plain_conv2d<float>(s, x.data(), w.data(), nullptr, direct[0].data());
  plain_input_grad<float>(s, dy.data(), w.data(), direct[1].data());
  plain_weight_grad<float>(s, x.data(), dy.data(), direct[2].data());
  const Passes<float> got = winograd(s, x, w, dy);
  for (std::size_t pass = 0; pass < 3; ++pass) {
    const auto error = [&](const std::vector<float>& values) {
      double difference = 0, size = 0;
      for (std::size_t i = 0; i < expected[pass].size(); ++i) {
        difference += std::pow(static_cast<double>(values[i]) - expected[pass][i], 2);
        size += std::pow(expected[pass][i], 2);
      }
      return std::sqrt(difference / size);
    };
    BOOST_TEST(error(got[pass]) < 2 * error(direct[pass]),
               kNames[pass] << ": " << error(got[pass]) << " against " << error(direct[pass]));
    BOOST_TEST(error(got[pass]) > 0);
  }
}

BOOST_AUTO_TEST_CASE(empty_extents_give_empty_results_zeros_or_bias) {
  for (const Conv2dShape& s :
       {shape(0, 4, 4, 3, 5, 3, 3, same(1)), shape(2, 4, 4, 0, 5, 3, 3, same(1)), shape(2, 4, 4, 3, 0, 3, 3, same(1)),
        shape(2, 0, 4, 3, 5, 3, 3, same(2)), shape(7, 4, 0, 3, 5, 3, 3, same(2))}) {
    BOOST_TEST(exact_mismatch(s) == "");
  }
}

BOOST_AUTO_TEST_CASE(bits_of_all_passes_do_not_depend_on_the_number_of_threads) {
  const int before = num_threads();
  for (const Conv2dShape& s : {shape(20, 16, 16, 24, 40, 3, 3, same(1)), shape(9, 8, 8, 256, 96, 3, 3, same(1))}) {
    const auto x = normals(x_size(s), 5), w = normals(w_size(s), 6), dy = normals(y_size(s), 7);
    Passes<float> first;
    for (const int threads : {1, 2, 3, 7}) {
      set_num_threads(threads);
      const Passes<float> all = winograd(s, x, w, dy);
      if (threads == 1) first = all;
      for (std::size_t pass = 0; pass < 3; ++pass) {
        BOOST_TEST(std::memcmp(all[pass].data(), first[pass].data(), all[pass].size() * sizeof(float)) == 0,
                   kNames[pass] << " " << s << ", " << threads << " threads");
      }
    }
  }
  set_num_threads(before);
}

BOOST_AUTO_TEST_CASE(a_nan_stays_within_the_squares_whose_patches_hold_it) {
  const Conv2dShape s = shape(2, 9, 9, 3, 2, 3, 3, same(1));
  std::vector<float> x = normals(x_size(s), 5);
  const auto w = normals(w_size(s), 6), dy = normals(y_size(s), 7);
  const Index row = 3, column = 5;
  x[at((row * s.w + column) * s.c)] = std::numeric_limits<float>::quiet_NaN();
  const std::vector<float> y = winograd(s, x, w, dy)[0];
  for (Index n = 0; n < s.n; ++n) {
    for (Index i = 0; i < s.oh; ++i) {
      for (Index j = 0; j < s.ow; ++j) {
        // patches begin one pixel before their squares
        const auto holds = [](Index pixel, Index result) {
          const Index first = result / 2 * 2 - 1;
          return pixel >= first && pixel < first + 4;
        };
        const bool expected = n == 0 && holds(row, i) && holds(column, j);
        for (Index k = 0; k < s.k; ++k) {
          const bool got = std::isnan(y[at(((n * s.oh + i) * s.ow + j) * s.k + k)]);
          BOOST_TEST((!got || expected), n << " " << i << " " << j);
          const bool own = n == 0 && std::abs(row - i) <= 1 && std::abs(column - j) <= 1;
          BOOST_TEST((got || !own), n << " " << i << " " << j << " lost the NaN");
        }
      }
    }
  }
}

BOOST_AUTO_TEST_SUITE_END()

}  // namespace
