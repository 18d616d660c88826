#include <tapestry/ops/kernels/base/tuning.h>
#include <tapestry/ops/kernels/copy.h>
#include <tapestry/ops/kernels/find.h>
#include <tapestry/ops/kernels/index.h>

#include <boost/test/unit_test.hpp>

#include <algorithm>
#include <cstring>
#include <limits>
#include <random>
#include <vector>

/// What the kernels that read and write at given places do with work large enough to be shared out: the tests of the
/// ops have the small cases.
namespace {

using namespace tapestry;

std::size_t at(Index i) { return static_cast<std::size_t>(i); }

std::vector<float> normals(Index count, unsigned seed) {
  std::mt19937 random(seed);
  std::normal_distribution<float> pick;
  std::vector<float> values(at(count));
  for (float& v : values) v = pick(random);
  return values;
}

std::vector<std::int64_t> places(Index count, Index below, unsigned seed) {
  std::mt19937 random(seed);
  std::uniform_int_distribution<std::int64_t> pick(0, below - 1);
  std::vector<std::int64_t> values(at(count));
  for (std::int64_t& v : values) v = pick(random);
  return values;
}

/// f(threads) for several numbers of threads.
template <class F>
void with_threads(const F& f) {
  const int before = num_threads();
  for (const int threads : {1, 2, 3, 7}) {
    set_num_threads(threads);
    f(threads);
  }
  set_num_threads(before);
}

BOOST_AUTO_TEST_SUITE(index_kernel_test)

BOOST_AUTO_TEST_CASE(index_add_adds_in_the_order_of_the_positions_on_any_number_of_threads) {
  constexpr Index kPlaces = 5;
  for (const Index outer : {1, 3}) {
    for (const Index run : {1, 7, 1000}) {
      const Index m = 300;
      const auto x = normals(outer * m * run, 1);
      const auto index = places(m, kPlaces, 2);
      std::vector<float> expected(at(outer * kPlaces * run), 0.25F);
      for (Index o = 0; o < outer; ++o) {
        for (Index i = 0; i < m; ++i) {
          for (Index j = 0; j < run; ++j) {
            expected[at((o * kPlaces + index[at(i)]) * run + j)] += x[at((o * m + i) * run + j)];
          }
        }
      }
      with_threads([&](int threads) {
        std::vector<float> y(expected.size(), 0.25F);
        kernels::index_add(x.data(), outer, m, run, index.data(), kPlaces, y.data());
        BOOST_TEST(std::memcmp(y.data(), expected.data(), y.size() * sizeof(float)) == 0,
                   outer << " x " << run << " on " << threads << " threads");
      });
    }
  }
}

BOOST_AUTO_TEST_CASE(scatter_add_adds_in_the_order_of_the_positions_on_any_number_of_threads) {
  for (const Index dim : {0, 1, 2}) {
    const Shape index_shape{30, 40, 50}, x_shape = Shape{31, 43, 52}.with(dim, 4);
    const auto x = normals(index_shape.numel(), 1);
    const auto index = places(index_shape.numel(), 4, 2);
    std::vector<float> expected(at(x_shape.numel()), 0.25F);
    Index from = 0;
    for (Index i = 0; i < index_shape[0]; ++i) {
      for (Index j = 0; j < index_shape[1]; ++j) {
        for (Index k = 0; k < index_shape[2]; ++k, ++from) {
          Index to[] = {i, j, k};
          to[dim] = index[at(from)];
          expected[at((to[0] * x_shape[1] + to[1]) * x_shape[2] + to[2])] += x[at(from)];
        }
      }
    }
    with_threads([&](int threads) {
      std::vector<float> y(expected.size(), 0.25F);
      kernels::scatter_add({x_shape, index_shape, dim}, index.data(), x.data(), y.data());
      BOOST_TEST(std::memcmp(y.data(), expected.data(), y.size() * sizeof(float)) == 0,
                 "dim " << dim << " on " << threads << " threads");
    });
  }
}

BOOST_AUTO_TEST_CASE(the_first_of_several_offenders_is_found_whichever_task_is_first) {
  const Index n = 3 * kernels::tuning::kGrain + 5;
  std::vector<std::int64_t> values(at(n), 3);
  BOOST_TEST(kernels::first_outside<std::int64_t>(values.data(), n, 0, 3) == n);
  BOOST_TEST(kernels::first_outside<std::int64_t>(values.data(), 0, 0, 3) == 0);
  values[at(n - 1)] = 4;
  BOOST_TEST(kernels::first_outside<std::int64_t>(values.data(), n, 0, 3) == n - 1);
  values[at(2 * kernels::tuning::kGrain)] = -1;
  values[at(2 * kernels::tuning::kGrain + 1)] = -1;
  BOOST_TEST(kernels::first_outside<std::int64_t>(values.data(), n, 0, 3) == 2 * kernels::tuning::kGrain);
  const float odd[] = {0, 1, std::numeric_limits<float>::quiet_NaN(), 1.5F};
  BOOST_TEST(kernels::first_outside(odd, 4, 0.0F, 1.0F) == 3);
}

BOOST_AUTO_TEST_CASE(one_element_and_single_rows_are_repeated_to_any_length) {
  for (const Index n : {Index{1}, Index{5}, 2 * kernels::tuning::kGrain + 3}) {
    for (const Index bytes : {1, 2, 4, 8}) {
      const std::vector<std::byte> element(8, std::byte{0xA5});
      std::vector<std::byte> y(at(n * bytes + 1), std::byte{0});
      kernels::broadcast_copy({n, 0, 0}, element.data(), y.data(), bytes);
      BOOST_TEST(std::count(y.begin(), y.end(), std::byte{0xA5}) == n * bytes);
      BOOST_TEST((y.back() == std::byte{0}));
    }
  }
}

BOOST_AUTO_TEST_SUITE_END()

}  // namespace
