#include <tapestry/ops/kernels/gemm/gemm.h>

#include <boost/test/unit_test.hpp>

#include <cmath>
#include <cstdint>
#include <cstring>
#include <limits>
#include <random>
#include <sstream>
#include <string>
#include <vector>

namespace {

using namespace tapestry;
using kernels::gemm;
using kernels::gemm_batched;

/// Integers in [-range, range]: with range^2 k below 2^24 every partial sum is exact in float, in any order, so the
/// result has to equal the reference bit for bit.
template <class T>
std::vector<T> integers(Index count, int range, unsigned seed) {
  std::mt19937 random(seed);
  std::uniform_int_distribution<int> pick(-range, range);
  std::vector<T> values(static_cast<std::size_t>(count));
  for (T& v : values) v = static_cast<T>(pick(random));
  return values;
}

template <class T>
std::vector<T> normals(Index count, unsigned seed) {
  std::mt19937 random(seed);
  std::normal_distribution<double> pick;
  std::vector<T> values(static_cast<std::size_t>(count));
  for (T& v : values) v = static_cast<T>(pick(random));
  return values;
}

std::size_t at(Index i) { return static_cast<std::size_t>(i); }

struct Case {
  bool ta, tb;
  Index m, n, k;
  friend std::ostream& operator<<(std::ostream& out, const Case& c) {
    return out << (c.ta ? 'T' : 'N') << (c.tb ? 'T' : 'N') << " m " << c.m << " n " << c.n << " k " << c.k;
  }
};

/// The product by three loops in double; with `absolute`, of absolute values.
template <class T>
std::vector<double> reference(const Case& s, const T* a, const T* b, const T* bias, bool absolute = false) {
  std::vector<double> c(at(s.m * s.n));
  for (Index i = 0; i < s.m; ++i) {
    for (Index j = 0; j < s.n; ++j) {
      double sum = bias != nullptr ? static_cast<double>(bias[j]) : 0;
      for (Index l = 0; l < s.k; ++l) {
        const double term = static_cast<double>(a[s.ta ? l * s.m + i : i * s.k + l]) *
                            static_cast<double>(b[s.tb ? j * s.k + l : l * s.n + j]);
        sum += absolute ? std::abs(term) : term;
      }
      c[at(i * s.n + j)] = sum;
    }
  }
  return c;
}

/// Runs the kernel into memory filled with NaN, with a NaN behind the end that must survive; empty: it did not.
template <class T>
std::vector<T> product(const Case& s, const T* a, const T* b, const T* bias) {
  std::vector<T> c(at(s.m * s.n + 1), std::numeric_limits<T>::quiet_NaN());
  gemm<T>(s.ta, s.tb, s.m, s.n, s.k, a, b, bias, c.data());
  if (!std::isnan(c.back())) return {};
  c.pop_back();
  return c;
}

template <class T>
std::string exact_mismatch(const Case& s) {
  const auto a = integers<T>(s.m * s.k, 8, 1), b = integers<T>(s.k * s.n, 8, 2), bias = integers<T>(s.n, 8, 3);
  for (const T* bias_or_none : {static_cast<const T*>(nullptr), bias.data()}) {
    const auto c = product(s, a.data(), b.data(), bias_or_none);
    const auto expected = reference(s, a.data(), b.data(), bias_or_none);
    for (std::size_t i = 0; i < expected.size(); ++i) {
      if (c.size() != expected.size() || static_cast<double>(c[i]) != expected[i]) {
        std::ostringstream out;
        out << s << (bias_or_none != nullptr ? " with bias" : "") << " element " << i << ": expected " << expected[i];
        if (c.empty()) return out.str() + ", wrote beyond the end";
        out << ", got " << c[i];
        return out.str();
      }
    }
  }
  return {};
}

/// Around the register tiles (6 x 64, 14 x 32 and smaller ones) and the depth block (512 floats, 256 doubles).
constexpr Index kRows[] = {0, 1, 5, 6, 7, 13, 15, 97};
constexpr Index kColumns[] = {0, 1, 3, 10, 15, 16, 17, 32, 63, 64, 65, 100, 131};
constexpr Index kDepths[] = {0, 1, 2, 17, 64, 515};

BOOST_AUTO_TEST_SUITE(gemm_kernel_test)

BOOST_AUTO_TEST_CASE(integer_products_are_exact_at_all_edge_sizes_and_transpositions) {
  std::string first;
  for (const bool ta : {false, true}) {
    for (const bool tb : {false, true}) {
      for (const Index m : kRows) {
        for (const Index n : kColumns) {
          for (const Index k : kDepths) {
            if (first.empty()) first = exact_mismatch<float>({ta, tb, m, n, k});
          }
        }
      }
    }
  }
  BOOST_TEST(first == "");
}

BOOST_AUTO_TEST_CASE(integer_products_are_exact_in_double) {
  std::string first;
  for (const bool ta : {false, true}) {
    for (const bool tb : {false, true}) {
      for (const Case& s : {Case{ta, tb, 1, 1, 1}, Case{ta, tb, 7, 33, 19}, Case{ta, tb, 15, 31, 259},
                            Case{ta, tb, 131, 100, 40}, Case{ta, tb, 6, 32, 256}, Case{ta, tb, 3, 0, 2}}) {
        if (first.empty()) first = exact_mismatch<double>(s);
      }
    }
  }
  BOOST_TEST(first == "");
}

BOOST_AUTO_TEST_CASE(products_large_enough_to_be_packed_and_cut_into_tasks_are_exact) {
  std::string first;
  for (const bool ta : {false, true}) {
    for (const bool tb : {false, true}) {
      for (const Case& s : {Case{ta, tb, 203, 197, 1030}, Case{ta, tb, 97, 300, 129}, Case{ta, tb, 600, 10, 512},
                            Case{ta, tb, 12, 700, 300}, Case{ta, tb, 128, 100, 700}}) {
        if (first.empty()) first = exact_mismatch<float>(s);
      }
    }
  }
  BOOST_TEST(first == "");
}

/// Dot products take over with few rows and with one column: around their blocks (4 rows, 4 columns, 16 floats or 8
/// doubles) and the depth of 64 from which they do.
template <class T>
std::string skinny_mismatch() {
  for (const bool ta : {false, true}) {
    for (const bool tb : {false, true}) {
      for (const Index k : {63, 64, 65, 79, 80, 137}) {
        for (const Index m : {1, 2, 3, 4, 5, 11}) {
          for (const Index n : {1, 2, 3, 4, 5, 11}) {
            const std::string mismatch = exact_mismatch<T>({ta, tb, m, n, k});
            if (!mismatch.empty()) return mismatch;
          }
        }
      }
    }
  }
  return {};
}

BOOST_AUTO_TEST_CASE(skinny_products_are_exact) {
  BOOST_TEST(skinny_mismatch<float>() == "");
  BOOST_TEST(skinny_mismatch<double>() == "");
  BOOST_TEST(exact_mismatch<float>({false, true, 3, 1001, 700}) == "");  // several tasks
  BOOST_TEST(exact_mismatch<float>({true, false, 1001, 1, 700}) == "");
}

BOOST_AUTO_TEST_CASE(products_that_are_turned_round_are_exact) {
  std::string first;
  for (const Index m : {7, 8, 33, 128, 129}) {
    for (const Index n : {m - 1, m, m + 1, Index{700}}) {
      for (const Index k : {1, 530}) {
        if (first.empty()) first = exact_mismatch<float>({false, true, m, n, k});
        if (first.empty()) first = exact_mismatch<double>({false, true, m, n, k});
      }
    }
  }
  BOOST_TEST(first == "");
}

BOOST_AUTO_TEST_CASE(errors_of_float_products_stay_within_the_promised_bound) {
  for (const Index k : {64, 576, 4608}) {
    for (const Index m : {3, 23}) {
      const Case s{false, true, m, 70, k};
      const auto a = normals<float>(s.m * k, 4), b = normals<float>(s.n * k, 5);
      const auto c = product<float>(s, a.data(), b.data(), nullptr);
      const auto expected = reference<float>(s, a.data(), b.data(), nullptr);
      const auto scale = reference<float>(s, a.data(), b.data(), nullptr, true);
      const double bound = 4 * std::sqrt(static_cast<double>(k)) * std::ldexp(1.0, -24);
      double worst = 0;
      for (std::size_t i = 0; i < c.size(); ++i) {
        worst = std::max(worst, std::abs(static_cast<double>(c[i]) - expected[i]) / scale[i]);
      }
      BOOST_TEST(worst <= bound);
      BOOST_TEST(worst > 0);  // or the comparison proves nothing
    }
  }
}

BOOST_AUTO_TEST_CASE(an_inner_extent_of_zero_gives_zeros_or_rows_of_bias) {
  const float bias[] = {1, 2, 3};
  std::vector<float> c(6, std::numeric_limits<float>::quiet_NaN());
  gemm<float>(false, false, 2, 3, 0, nullptr, nullptr, nullptr, c.data());
  BOOST_TEST(c == std::vector<float>(6, 0.0F), boost::test_tools::per_element());
  gemm<float>(true, true, 2, 3, 0, nullptr, nullptr, bias, c.data());
  BOOST_TEST(c == (std::vector<float>{1, 2, 3, 1, 2, 3}), boost::test_tools::per_element());
}

BOOST_AUTO_TEST_CASE(bits_do_not_depend_on_the_number_of_threads) {
  const int before = num_threads();
  for (const Case& s : {Case{false, false, 300, 200, 600}, Case{true, false, 300, 200, 600},
                        Case{false, true, 40, 900, 333}, Case{false, true, 3, 900, 1333}}) {
    const auto a = normals<float>(s.m * s.k, 6), b = normals<float>(s.k * s.n, 7);
    std::vector<float> first;
    for (const int threads : {1, 2, 3, 7}) {
      set_num_threads(threads);
      const auto c = product<float>(s, a.data(), b.data(), nullptr);
      if (first.empty()) first = c;
      BOOST_TEST(std::memcmp(c.data(), first.data(), c.size() * sizeof(float)) == 0,
                 s << ", " << threads << " threads");
    }
  }
  set_num_threads(before);
}

BOOST_AUTO_TEST_CASE(batched_products_read_their_operands_at_the_given_offsets) {
  constexpr Index kBatch = 5, kM = 3, kN = 18, kK = 7;
  const auto a = integers<float>(kBatch * kM * kK, 8, 8), b = integers<float>(2 * kK * kN, 8, 9);
  const Index a_offset[kBatch] = {0, kM * kK, 2 * kM * kK, 3 * kM * kK, 4 * kM * kK};
  const Index b_offset[kBatch] = {0, kK * kN, 0, kK * kN, 0};  // two matrices, broadcast
  std::vector<float> c(kBatch * kM * kN);
  gemm_batched<float>(kBatch, a_offset, b_offset, false, false, kM, kN, kK, a.data(), b.data(), c.data());
  for (Index i = 0; i < kBatch; ++i) {
    const auto expected =
        reference<float>({false, false, kM, kN, kK}, a.data() + a_offset[i], b.data() + b_offset[i], nullptr);
    const std::vector<double> got(c.begin() + i * kM * kN, c.begin() + (i + 1) * kM * kN);
    BOOST_TEST(got == expected, boost::test_tools::per_element());
  }
}

BOOST_AUTO_TEST_CASE(nan_and_infinity_pass_through_and_subnormals_count_as_zero) {
  const float inf = std::numeric_limits<float>::infinity(), nan = std::numeric_limits<float>::quiet_NaN();
  const float a[] = {inf, 1, nan, 1, 1e-40F, 1e-40F}, b[] = {2, 3};  // [3, 2] x [2, 1]
  float c[3];
  gemm<float>(false, false, 3, 1, 2, a, b, nullptr, c);
  BOOST_TEST(c[0] == inf);
  BOOST_TEST(std::isnan(c[1]));
  BOOST_TEST(c[2] == 0);
  const volatile float subnormal = 1e-40F;
  BOOST_TEST(subnormal * 0.5F > 0);  // the caller's mode is back
}

BOOST_AUTO_TEST_SUITE_END()

}  // namespace
