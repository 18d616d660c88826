#include <tapestry/ops/kernels/gemm/gemm.h>
#include <tapestry/ops/kernels/gemm/gemm_bf16.h>
#include <tapestry/ops/kernels/gemm/testing.h>
#include <tapestry/ops/kernels/simd/bf16.h>

#include <ops/kernels/amx_emulator.h>
#include <ops/kernels/conv2d_cases.h>
#include <boost/test/unit_test.hpp>

#include <array>
#include <bit>
#include <cmath>
#include <cstring>
#include <limits>
#include <sstream>
#include <string>

namespace {

using namespace tapestry;
using namespace tapestry::test;

/// Runs a test in every way that pairs are multiplied: by VDPBF16PS (or AMX) where the CPU has it, widened, and on an
/// emulated AMX.
template <class F>
void in_every_way(const F& f) {
  for (const bool products : {true, false}) {
    kernels::enable_bf16_products(products);
    BOOST_TEST_CONTEXT((kernels::has_bf16_products() ? "bf16 instructions" : "widened")) f();
  }
  kernels::enable_bf16_products(true);
  if (!OnEmulatedAmx::is_possible()) return;
  const OnEmulatedAmx unit;
  BOOST_TEST_CONTEXT("emulated AMX") f();
}

double number(float x) { return static_cast<double>(x); }
double number(BFloat16 x) { return static_cast<double>(static_cast<float>(x)); }

/// Elements of another type.
template <class To>
std::vector<To> as(const std::vector<float>& from) {
  std::vector<To> to;
  for (const float x : from) to.push_back(static_cast<To>(x));
  return to;
}

std::vector<float> rounded(const std::vector<float>& from) {
  std::vector<float> to;
  for (const float x : from) to.push_back(static_cast<float>(BFloat16(x)));
  return to;
}

/// Runs `kernel` on memory full of NaN with a NaN behind the end, and says where the result is further than allowed
/// from `expected` rounded to the result's type; tolerance[i] is in float, before that rounding.
template <class T, class F>
std::string mismatch(const std::string& what, const std::vector<double>& expected, const std::vector<double>& tolerance,
                     const F& kernel) {
  std::vector<T> got(expected.size() + 1, static_cast<T>(std::numeric_limits<float>::quiet_NaN()));
  kernel(got.data());
  if (!std::isnan(number(got.back()))) return what + ": wrote beyond the end";
  for (std::size_t i = 0; i < expected.size(); ++i) {
    const double low = number(static_cast<T>(static_cast<float>(expected[i] - tolerance[i])));
    const double high = number(static_cast<T>(static_cast<float>(expected[i] + tolerance[i])));
    if (!(number(got[i]) >= low && number(got[i]) <= high)) {
      std::ostringstream out;
      out << what << ": element " << i << ": expected " << expected[i] << " +- " << tolerance[i] << ", got "
          << number(got[i]);
      return out.str();
    }
  }
  return {};
}

/// Values and absolute values of all three passes.
struct Reference {
  std::vector<double> y, dx, dw, y_scale, dx_scale, dw_scale;

  Reference(const Conv2dShape& s, const std::vector<float>& x, const std::vector<float>& w,
            const std::vector<float>& bias, const std::vector<float>& dy)
      : y(dy.size()), dx(x.size()), dw(w.size()), y_scale(y), dx_scale(dx), dw_scale(dw) {
    for (std::size_t i = 0; i < y.size() && !bias.empty(); ++i) y[i] = number(bias[i % at(s.k)]);
    for_each_product(s, [&](std::size_t xi, std::size_t wi, std::size_t yi) {
      const double vx = number(x[xi]), vw = number(w[wi]), vy = number(dy[yi]);
      y[yi] += vx * vw, y_scale[yi] += std::abs(vx * vw);
      dx[xi] += vy * vw, dx_scale[xi] += std::abs(vy * vw);
      dw[wi] += vx * vy, dw_scale[wi] += std::abs(vx * vy);
    });
  }

  /// Every result may miss its value by `per_scale` times the sum of absolute products.
  void allow(double per_scale) {
    for (auto* scale : {&y_scale, &dx_scale, &dw_scale}) {
      for (double& v : *scale) v *= per_scale;
    }
  }
};

/// The first of the three passes that differs from the loops, described; empty if none does.
template <class X, class W>
std::string first_mismatch(const Conv2dShape& s, const std::vector<float>& x, const std::vector<float>& w,
                           const std::vector<float>& bias, const std::vector<float>& dy, const Reference& expected) {
  const auto x_as = as<X>(x), dy_as = as<X>(dy);
  const auto w_as = as<W>(w);
  std::ostringstream name;
  name << (sizeof(X) == 2 ? "bf16 " : "f32 ") << (sizeof(W) == 2 ? "bf16 " : "f32 ") << s;
  std::string error = mismatch<X>("forward " + name.str(), expected.y, expected.y_scale, [&](X* to) {
    paired_conv2d(s, x_as.data(), w_as.data(), bias.empty() ? nullptr : bias.data(), to);
  });
  if (error.empty()) {
    error = mismatch<X>("input gradient " + name.str(), expected.dx, expected.dx_scale,
                        [&](X* to) { paired_input_grad(s, dy_as.data(), w_as.data(), to); });
  }
  if (error.empty()) {
    error = mismatch<float>("weight gradient " + name.str(), expected.dw, expected.dw_scale,
                            [&](float* to) { paired_weight_grad(s, x_as.data(), dy_as.data(), to); });
  }
  return error;
}

std::string exact_mismatch(const Conv2dShape& s) {
  const auto x = integers<float>(x_size(s), 1), w = integers<float>(w_size(s), 2), dy = integers<float>(y_size(s), 3);
  for (const auto& bias : {std::vector<float>(), integers<float>(s.k, 4)}) {
    Reference expected(s, x, w, bias, dy);
    expected.allow(0);
    std::string error = first_mismatch<BFloat16, BFloat16>(s, x, w, bias, dy, expected);
    if (error.empty()) error = first_mismatch<BFloat16, float>(s, x, w, bias, dy, expected);
    if (error.empty()) error = first_mismatch<float, float>(s, x, w, bias, dy, expected);
    if (!error.empty()) return error;
  }
  return {};
}

struct Product {
  bool ta, tb;
  Index m, n, k;
};

template <class A, class B, class C>
std::string product_mismatch(const Product& s, double per_scale, const std::vector<float>& a,
                             const std::vector<float>& b, const std::vector<float>& bias) {
  std::vector<double> expected(at(s.m * s.n)), tolerance(at(s.m * s.n));
  for (Index i = 0; i < s.m; ++i) {
    for (Index j = 0; j < s.n; ++j) {
      double sum = bias.empty() ? 0 : number(bias[at(j)]), scale = 0;
      for (Index l = 0; l < s.k; ++l) {
        const double term =
            number(a[at(s.ta ? l * s.m + i : i * s.k + l)]) * number(b[at(s.tb ? j * s.k + l : l * s.n + j)]);
        sum += term;
        scale += std::abs(term);
      }
      expected[at(i * s.n + j)] = sum;
      tolerance[at(i * s.n + j)] = per_scale * scale;
    }
  }
  std::ostringstream name;
  name << (s.ta ? 'T' : 'N') << (s.tb ? 'T' : 'N') << " m " << s.m << " n " << s.n << " k " << s.k << " types "
       << sizeof(A) << sizeof(B) << sizeof(C);
  const auto a_as = as<A>(a);
  const auto b_as = as<B>(b);
  return mismatch<C>(name.str(), expected, tolerance, [&](C* to) {
    kernels::gemm_bf16(s.ta, s.tb, s.m, s.n, s.k, a_as.data(), b_as.data(), bias.empty() ? nullptr : bias.data(), to);
  });
}

std::string exact_mismatch(const Product& s) {
  const auto a = integers<float>(s.m * s.k, 1), b = integers<float>(s.k * s.n, 2);
  for (const auto& bias : {std::vector<float>(), integers<float>(s.n, 3)}) {
    for (const std::string& error : {product_mismatch<BFloat16, BFloat16, BFloat16>(s, 0, a, b, bias),
                                     product_mismatch<BFloat16, float, BFloat16>(s, 0, a, b, bias),
                                     product_mismatch<float, BFloat16, BFloat16>(s, 0, a, b, bias),
                                     product_mismatch<BFloat16, BFloat16, float>(s, 0, a, b, bias),
                                     product_mismatch<float, float, float>(s, 0, a, b, bias)}) {
      if (!error.empty()) return error;
    }
  }
  return {};
}

BOOST_AUTO_TEST_SUITE(bf16_kernel_test)

BOOST_AUTO_TEST_CASE(conversions_are_those_of_the_element_type_at_every_length_and_for_every_kind_of_number) {
  std::vector<float> x = normals(200, 1);
  for (const float special : {0.0F, -0.0F, std::numeric_limits<float>::infinity(), -std::numeric_limits<float>::max(),
                              std::numeric_limits<float>::denorm_min(), -1e-40F, 1.00390625F, 1.01171875F}) {
    x.push_back(special);  // the last two are halfway between neighbours
  }
  for (const std::uint32_t nan : {0x7F800001U, 0xFFFFFFFFU, 0x7FC00000U}) x.push_back(std::bit_cast<float>(nan));
  for (std::size_t n :
       {std::size_t{0}, std::size_t{1}, std::size_t{15}, std::size_t{16}, std::size_t{17}, std::size_t{50}, x.size()}) {
    std::vector<BFloat16> narrow(n + 1, BFloat16(7)), paired(2 * n + 2, BFloat16(7));
    kernels::narrow(x.data() + x.size() - n, narrow.data(), static_cast<Index>(n));
    std::vector<float> wide(n + 1, 7);
    kernels::widen(narrow.data(), wide.data(), static_cast<Index>(n));
    for (std::size_t i = 0; i < n; ++i) {
      BOOST_TEST(narrow[i].bits == BFloat16(x[x.size() - n + i]).bits);
      BOOST_TEST(std::bit_cast<std::uint32_t>(wide[i]) == static_cast<std::uint32_t>(narrow[i].bits) << 16);
    }
    BOOST_TEST(number(narrow[n]) == 7);
    BOOST_TEST(wide[n] == 7);
  }
}

BOOST_AUTO_TEST_CASE(all_three_passes_are_exact_on_integers_for_every_kind_of_shape) {
  in_every_way([] {
    for (const Conv2dShape& s : small_shapes()) BOOST_TEST(exact_mismatch(s) == "");
  });
}

BOOST_AUTO_TEST_CASE(shapes_large_enough_to_be_cut_into_tasks_and_blocks_are_exact) {
  in_every_way([] {
    for (const Conv2dShape& s : {shape(13, 16, 16, 3, 32, 3, 3, same(1)), shape(13, 8, 8, 32, 64, 3, 3, same(1)),
                                 shape(9, 8, 8, 64, 128, 1, 1, same(0, 2)), shape(2, 3, 3, 1100, 20, 2, 2, same(1)),
                                 shape(8, 8, 8, 70, 130, 1, 1, same(0)), shape(9, 2, 2, 96, 96, 3, 3, same(1))}) {
      BOOST_TEST(exact_mismatch(s) == "");
    }
  });
}

BOOST_AUTO_TEST_CASE(empty_extents_give_empty_results_zeros_or_bias) {
  for (const Conv2dShape& s : {shape(0, 4, 4, 3, 5, 3, 3, same(1)), shape(2, 4, 4, 0, 5, 3, 3, same(1)),
                               shape(2, 4, 4, 3, 0, 3, 3, same(1)), shape(2, 0, 4, 3, 5, 3, 3, same(2)),
                               shape(7, 4, 0, 3, 5, 3, 3, same(2)), shape(0, 4, 4, 3, 3, 3, 3, same(1, 1, 3)),
                               shape(2, 0, 4, 3, 3, 3, 3, same(2, 1, 3)), shape(2, 4, 4, 0, 5, 1, 1, same(0))}) {
    BOOST_TEST(exact_mismatch(s) == "");
  }
}

BOOST_AUTO_TEST_CASE(integer_products_are_exact_at_all_edge_sizes_and_transpositions) {
  in_every_way([] {
    std::string first;
    for (const bool ta : {false, true}) {
      for (const bool tb : {false, true}) {
        for (const Index m : {0, 1, 7, 15, 97}) {
          for (const Index n : {0, 1, 15, 17, 33, 64, 65, 131}) {
            for (const Index k : {0, 1, 2, 17, 64}) {
              if (first.empty()) first = exact_mismatch(Product{ta, tb, m, n, k});
            }
          }
        }
        for (const Product& s : {Product{ta, tb, 203, 197, 1030}, Product{ta, tb, 97, 30, 4501}}) {  // blocks of depth
          if (first.empty()) first = exact_mismatch(s);
        }
      }
    }
    BOOST_TEST(first == "");
  });
}

BOOST_AUTO_TEST_CASE(what_is_lost_is_the_rounding_of_the_operands_and_of_the_result) {
  const Conv2dShape s = shape(5, 9, 9, 40, 24, 3, 3, same(1));
  const auto x = rounded(normals(x_size(s), 8)), w = rounded(normals(w_size(s), 9)),
             dy = rounded(normals(y_size(s), 10)), bias = normals(s.k, 11);
  Reference expected(s, x, w, bias, dy);
  expected.allow(4 * std::sqrt(9.0 * 81) * std::ldexp(1.0, -24));  // a chain of float additions
  in_every_way([&] {
    BOOST_TEST((first_mismatch<BFloat16, BFloat16>(s, x, w, bias, dy, expected)) == "");
    BOOST_TEST((first_mismatch<float, float>(s, x, w, bias, dy, expected)) == "");
    for (const Index k : {64, 577, 4608}) {
      const Product p{false, true, 23, 70, k};
      const auto a = rounded(normals(p.m * k, 4)), b = rounded(normals(p.n * k, 5));
      const double bound = 4 * std::sqrt(static_cast<double>(k)) * std::ldexp(1.0, -24);
      BOOST_TEST((product_mismatch<BFloat16, BFloat16, BFloat16>(p, bound, a, b, {})) == "");
      BOOST_TEST((product_mismatch<float, float, float>(p, bound, a, b, {})) == "");
    }
  });
}

BOOST_AUTO_TEST_CASE(operands_that_begin_in_the_middle_of_a_pair_give_the_same_bits) {
  const Conv2dShape s = shape(3, 5, 5, 6, 8, 3, 3, same(1));
  const auto x = as<BFloat16>(normals(x_size(s) + 1, 1)), w = as<BFloat16>(normals(w_size(s) + 1, 2));
  const std::vector<BFloat16> even_x(x.begin() + 1, x.end()), even_w(w.begin() + 1, w.end());
  std::vector<BFloat16> y(at(y_size(s))), again(y.size());
  paired_conv2d(s, even_x.data(), even_w.data(), nullptr, y.data());
  paired_conv2d(s, x.data() + 1, w.data() + 1, nullptr, again.data());
  BOOST_TEST(std::memcmp(y.data(), again.data(), y.size() * sizeof(BFloat16)) == 0);
}

BOOST_AUTO_TEST_CASE(bits_of_all_passes_do_not_depend_on_the_number_of_threads) {
  const int before = num_threads();
  in_every_way([] {
    for (const Conv2dShape& s : {shape(20, 16, 16, 24, 40, 3, 3, same(1)), shape(20, 16, 16, 24, 40, 3, 3, same(1, 2)),
                                 shape(21, 16, 16, 3, 64, 3, 3, same(1)), shape(2, 8, 8, 256, 96, 3, 3, same(1)),
                                 shape(20, 16, 16, 64, 96, 1, 1, same(0))}) {
      const auto x = normals(x_size(s), 5), w = normals(w_size(s), 6), dy = normals(y_size(s), 7);
      const auto x_bf16 = as<BFloat16>(x), dy_bf16 = as<BFloat16>(dy);
      std::vector<float> first;
      for (const int threads : {1, 2, 3, 7}) {
        set_num_threads(threads);
        std::vector<float> all(at(y_size(s) + x_size(s) + 2 * w_size(s) + y_size(s) + x_size(s)));
        float* to = all.data();
        paired_conv2d(s, x.data(), w.data(), nullptr, to);
        paired_input_grad(s, dy.data(), w.data(), to += y_size(s));
        paired_weight_grad(s, x.data(), dy.data(), to += x_size(s));
        paired_weight_grad(s, x_bf16.data(), dy_bf16.data(), to += w_size(s));
        paired_conv2d(s, x_bf16.data(), w.data(), nullptr, reinterpret_cast<BFloat16*>(to += w_size(s)));
        paired_input_grad(s, dy_bf16.data(), w.data(), reinterpret_cast<BFloat16*>(to += y_size(s)));
        if (first.empty()) first = all;
        BOOST_TEST(std::memcmp(all.data(), first.data(), all.size() * sizeof(float)) == 0,
                   s << ", " << threads << " threads");
      }
    }
  });
  set_num_threads(before);
}

BOOST_AUTO_TEST_CASE(the_matrix_unit_multiplies_what_it_is_good_at,
                     *boost::unit_test::precondition([](auto) { return OnEmulatedAmx::is_possible(); })) {
  const OnEmulatedAmx unit;
  const int threads = num_threads();
  set_num_threads(1);
  const auto products = [](const auto& run) {
    const int before = EmulatedAmx::products;
    run();
    return EmulatedAmx::products - before;
  };
  const auto convolution = [&](Index channels) {
    const Conv2dShape s = shape(16, 4, 4, channels, 64, 3, 3, same(1));
    const auto x = as<BFloat16>(normals(x_size(s), 1)), w = as<BFloat16>(normals(w_size(s), 2));
    std::vector<BFloat16> y(at(y_size(s)));
    return products([&] { paired_conv2d(s, x.data(), w.data(), nullptr, y.data()); });
  };
  // 16 pairs per tap, 4 tiles of columns, 2 of images (12 are the most); 10 x 10 of 12 x 12 taps lie inside
  BOOST_TEST(convolution(32) == 100 * 4 * 2);
  BOOST_TEST(convolution(3) == 0);  // 2 pairs per tap
  const auto product = [&](Index k, bool transpose_a) {
    const auto a = normals(48 * k, 1), b = normals(64 * k, 2);
    std::vector<float> c(48 * 64);
    return products([&] { kernels::gemm_bf16(transpose_a, true, 48, 64, k, a.data(), b.data(), nullptr, c.data()); });
  };
  BOOST_TEST(product(512, false) == 3 * 16 * 4);
  BOOST_TEST(product(511, false) == 3 * 16 * 4);
  BOOST_TEST(product(500, false) == 3 * 16 * 4);  // 15 whole tiles and one of 10 pairs
  BOOST_TEST(product(512, true) == 0);
  set_num_threads(threads);
}

BOOST_AUTO_TEST_CASE(nan_and_infinity_reach_exactly_the_results_that_use_them) {
  in_every_way([] {
    const Conv2dShape s = shape(3, 4, 4, 3, 5, 1, 1, same(0, 2));  // odd channels: pairs beside padding
    for (const float special : {std::numeric_limits<float>::quiet_NaN(), std::numeric_limits<float>::infinity()}) {
      std::vector<BFloat16> x(at(x_size(s)), BFloat16(1)), w(at(w_size(s)), BFloat16(1)), y(at(y_size(s)));
      x[0] = BFloat16(special);  // pixel 0 of image 0
      paired_conv2d(s, x.data(), w.data(), nullptr, y.data());
      for (std::size_t i = 0; i < y.size(); ++i) BOOST_TEST(std::isfinite(number(y[i])) == (i >= at(s.k)));
    }
  });
}

BOOST_AUTO_TEST_SUITE_END()

}  // namespace
