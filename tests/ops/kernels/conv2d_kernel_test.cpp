#include <tapestry/ops/kernels/conv2d.h>

#include <boost/test/unit_test.hpp>

#include <array>
#include <chrono>
#include <cmath>
#include <cstring>
#include <limits>
#include <ostream>
#include <random>
#include <sstream>
#include <string>
#include <vector>

namespace tapestry::kernels {

// found by argument-dependent lookup when a case is printed
std::ostream& operator<<(std::ostream& out, const Conv2dShape& s) {
  return out << "[" << s.n << ", " << s.h << ", " << s.w << ", " << s.c << "] * [" << s.k << ", " << s.r << ", " << s.s
             << "] -> " << s.oh << " x " << s.ow << ", stride " << s.stride_h << " " << s.stride_w << ", pad "
             << s.pad_top << " " << s.pad_left << ", dilation " << s.dilation_h << " " << s.dilation_w << ", groups "
             << s.groups;
}

}  // namespace tapestry::kernels

namespace {

using namespace tapestry;
using kernels::Conv2dShape;

struct Options {
  Index stride_h = 1, stride_w = 1, pad_top = 0, pad_left = 0, pad_bottom = 0, pad_right = 0;
  Index dilation_h = 1, dilation_w = 1, groups = 1;
};

Options same(Index pad, Index stride = 1, Index groups = 1) {
  return {.stride_h = stride,
          .stride_w = stride,
          .pad_top = pad,
          .pad_left = pad,
          .pad_bottom = pad,
          .pad_right = pad,
          .groups = groups};
}

Conv2dShape shape(Index n, Index h, Index w, Index c, Index k, Index r, Index s, const Options& o) {
  const auto extent = [](Index in, Index pads, Index kernel, Index stride, Index dilation) {
    return (in + pads - dilation * (kernel - 1) - 1) / stride + 1;
  };
  return {n,
          h,
          w,
          c,
          k,
          r,
          s,
          extent(h, o.pad_top + o.pad_bottom, r, o.stride_h, o.dilation_h),
          extent(w, o.pad_left + o.pad_right, s, o.stride_w, o.dilation_w),
          o.stride_h,
          o.stride_w,
          o.pad_top,
          o.pad_left,
          o.dilation_h,
          o.dilation_w,
          o.groups};
}

std::size_t at(Index i) { return static_cast<std::size_t>(i); }

Index x_size(const Conv2dShape& s) { return s.n * s.h * s.w * s.c; }
Index w_size(const Conv2dShape& s) { return s.k * s.r * s.s * (s.c / s.groups); }
Index y_size(const Conv2dShape& s) { return s.n * s.oh * s.ow * s.k; }

/// Integers in [-range, range]: sums of their products are exact in float, in any order, as long as they stay below
/// 2^24.
template <class T>
std::vector<T> integers(Index count, unsigned seed, int range = 4) {
  std::mt19937 random(seed);
  std::uniform_int_distribution<int> pick(-range, range);
  std::vector<T> values(at(count));
  for (T& v : values) v = static_cast<T>(pick(random));
  return values;
}

std::vector<float> normals(Index count, unsigned seed) {
  std::mt19937 random(seed);
  std::normal_distribution<float> pick;
  std::vector<float> values(at(count));
  for (float& v : values) v = pick(random);
  return values;
}

/// Calls f(index in x, index in w, index in y) for every product that a convolution adds up.
template <class F>
void for_each_product(const Conv2dShape& s, const F& f) {
  const Index channels = s.c / s.groups, filters = s.k / s.groups;
  for (Index n = 0; n < s.n; ++n) {
    for (Index i = 0; i < s.oh; ++i) {
      for (Index j = 0; j < s.ow; ++j) {
        for (Index r = 0; r < s.r; ++r) {
          const Index row = i * s.stride_h - s.pad_top + r * s.dilation_h;
          if (row < 0 || row >= s.h) continue;
          for (Index t = 0; t < s.s; ++t) {
            const Index column = j * s.stride_w - s.pad_left + t * s.dilation_w;
            if (column < 0 || column >= s.w) continue;
            for (Index k = 0; k < s.k; ++k) {
              for (Index c = 0; c < channels; ++c) {
                f(at(((n * s.h + row) * s.w + column) * s.c + k / filters * channels + c),
                  at(((k * s.r + r) * s.s + t) * channels + c), at(((n * s.oh + i) * s.ow + j) * s.k + k));
              }
            }
          }
        }
      }
    }
  }
}

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
  std::string error =
      mismatch<T>("forward", s, y, [&](T* to) { kernels::conv2d<T>(s, x.data(), w.data(), nullptr, to); });
  for (std::size_t i = 0; i < y.size(); ++i) y[i] += static_cast<double>(bias[i % at(s.k)]);
  if (error.empty()) {
    error = mismatch<T>("forward with bias", s, y,
                        [&](T* to) { kernels::conv2d<T>(s, x.data(), w.data(), bias.data(), to); });
  }
  if (error.empty()) {
    error =
        mismatch<T>("input gradient", s, dx, [&](T* to) { kernels::conv2d_input_grad<T>(s, dy.data(), w.data(), to); });
  }
  if (error.empty()) {
    error = mismatch<T>("weight gradient", s, dw,
                        [&](T* to) { kernels::conv2d_weight_grad<T>(s, x.data(), dy.data(), to); });
  }
  return error;
}

const std::vector<Conv2dShape>& small_shapes() {
  static const std::vector<Conv2dShape> shapes = [] {
    std::vector<Conv2dShape> list;
    // channels and filters around the vector and tile sizes, batches around the tile height
    for (const Index c : {1, 3, 15, 16, 17, 35}) {
      for (const Index k : {1, 7, 16, 17, 33, 65}) list.push_back(shape(7, 5, 4, c, k, 3, 3, same(1)));
    }
    for (const Index n : {1, 2, 5, 6, 7, 13, 15}) list.push_back(shape(n, 6, 9, 5, 20, 3, 3, same(1)));
    // kernels, strides, dilations, paddings
    for (const Index n : {1, 9}) {
      for (const Index stride : {1, 2, 3}) {
        for (const Index kernel : {1, 2, 3, 5}) {
          list.push_back(shape(n, 8, 11, 6, 18, kernel, kernel, same(kernel / 2, stride)));
          list.push_back(shape(n, 9, 7, 6, 18, kernel, kernel, same(0, stride)));
          list.push_back(shape(n, 5, 6, 3, 9, kernel, kernel, same(kernel + 1, stride)));  // padding beyond the kernel
        }
      }
      list.push_back(shape(n, 9, 12, 4, 21, 3, 2, {.stride_h = 2, .stride_w = 3, .pad_top = 1, .pad_right = 2}));
      list.push_back(shape(n, 9, 12, 4, 21, 1, 4, {.pad_left = 3, .pad_bottom = 1, .dilation_w = 2}));
      list.push_back(shape(n, 13, 12, 4, 21, 3, 3,
                           {.stride_h = 2,
                            .pad_top = 2,
                            .pad_left = 2,
                            .pad_bottom = 2,
                            .pad_right = 2,
                            .dilation_h = 2,
                            .dilation_w = 3}));
      list.push_back(
          shape(n, 12, 12, 4, 8, 3, 3,
                {.stride_h = 4, .stride_w = 6, .pad_top = 3, .pad_left = 1, .dilation_h = 2, .dilation_w = 4}));
      // groups: with stride, one channel each, several filters per channel, single filters
      list.push_back(shape(n, 7, 8, 12, 20, 3, 3, same(1, 2, 4)));
      list.push_back(shape(n, 7, 8, 36, 36, 3, 3, same(1, 1, 2)));
      for (const Index c : {2, 16, 21, 40}) {
        list.push_back(shape(n, 7, 8, c, c, 3, 3, same(1, 1, c)));
        list.push_back(shape(n, 7, 8, c, c, 3, 3, same(1, 2, c)));
      }
      list.push_back(shape(n, 7, 8, 5, 5, 3, 2, {.stride_h = 2, .pad_top = 1, .dilation_w = 3, .groups = 5}));
      list.push_back(shape(n, 7, 8, 5, 15, 3, 3, same(1, 1, 5)));
      list.push_back(shape(n, 7, 8, 15, 5, 3, 3, same(1, 1, 5)));
      list.push_back(shape(n, 1, 1, 20, 30, 3, 3, same(1)));
      list.push_back(shape(n, 3, 3, 20, 30, 3, 3, same(0)));
    }
    return list;
  }();
  return shapes;
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
  kernels::conv2d_input_grad<float>(s, ones, ones, dx.data());
  BOOST_TEST(dx == (std::vector<float>{1, 1, 0, 1, 1, 0, 0, 0, 0}), boost::test_tools::per_element());
}

BOOST_AUTO_TEST_CASE(a_padded_one_by_one_kernel_has_a_border_of_zeros) {
  const Conv2dShape s = shape(1, 1, 1, 1, 1, 1, 1, same(1));
  const float x[] = {3}, w[] = {5};
  std::vector<float> y(9, std::numeric_limits<float>::quiet_NaN());
  kernels::conv2d<float>(s, x, w, nullptr, y.data());
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
      kernels::conv2d<float>(s, x.data(), w.data(), nullptr, all.data());
      kernels::conv2d_input_grad<float>(s, dy.data(), w.data(), all.data() + y_size(s));
      kernels::conv2d_weight_grad<float>(s, x.data(), dy.data(), all.data() + y_size(s) + x_size(s));
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
  kernels::conv2d<float>(s, x.data(), w.data(), nullptr, got[0].data());
  kernels::conv2d_input_grad<float>(s, dy.data(), w.data(), got[1].data());
  kernels::conv2d_weight_grad<float>(s, x.data(), dy.data(), got[2].data());
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
      kernels::conv2d<float>(s, x.data(), w.data(), nullptr, y.data());
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
