#include <support/expect.h>

#include <algorithm>
#include <array>
#include <cmath>
#include <numeric>
#include <stdexcept>
#include <vector>

#include <tapestry/autograd/base/parallel.h>
#include <tapestry/autograd/philox.h>
#include <tapestry/autograd/random.h>

BOOST_AUTO_TEST_SUITE(random_test)

using namespace tapestry;
using namespace tapestry::test;

namespace {

using Block = std::array<std::uint32_t, 4>;

double mean_of(const std::vector<double>& v) {
  return std::accumulate(v.begin(), v.end(), 0.0) / static_cast<double>(v.size());
}

double variance_of(const std::vector<double>& v) {
  const double m = mean_of(v);
  double sum = 0;
  for (const double x : v) sum += (x - m) * (x - m);
  return sum / static_cast<double>(v.size());
}

}  // namespace

/// The vectors that come with the paper's own implementation (Random123, kat_vectors, philox4x32 10).
BOOST_AUTO_TEST_CASE(philox_gives_the_published_answers) {
  BOOST_TEST((philox(0, 0, 0) == Block{0x6627e8d5, 0xe169c58d, 0xbc57ac4c, 0x9b00dbd8}));
  constexpr std::uint64_t ones = ~std::uint64_t{0};
  BOOST_TEST((philox(ones, ones, ones) == Block{0x408f276d, 0x41c83b0e, 0xa20bc7c6, 0x6d5451fd}));
  // counter 243f6a88 85a308d3 13198a2e 03707344, key a4093822 299f31d0, in 32-bit words
  BOOST_TEST((philox(0x299f31d0a4093822, 0x85a308d3243f6a88, 0x0370734413198a2e) ==
              Block{0xd16cfe09, 0x94fdcceb, 0x5001e420, 0x24126ea1}));
}

/// Counters around every carry: out of the low word in the middle of a run, and back to zero at the end of all.
BOOST_AUTO_TEST_CASE(many_blocks_at_once_are_the_single_blocks_one_by_one) {
  constexpr std::uint64_t key = 0x0123456789abcdef, high = 0xfedcba9876543210;
  for (const std::uint64_t low : {0ULL, 0xffffffffULL - 40, 0x700000000ULL - 100, ~0ULL - 70}) {
    for (const Index n : {0, 1, 63, 64, 65, 128, 201}) {
      std::vector<std::uint32_t> words(static_cast<std::size_t>(4 * n + 1), 7);
      philox_blocks(key, low, high, n, words.data());
      std::vector<std::uint32_t> expected;
      for (Index b = 0; b < n; ++b) {
        const Block block = philox(key, low + static_cast<std::uint64_t>(b), high);
        expected.insert(expected.end(), block.begin(), block.end());
      }
      expected.push_back(7);  // nothing is written beyond the end
      BOOST_TEST((words == expected), low << " " << n);
    }
  }
}

/// Over several tasks, from an offset whose low word wraps within the run; the formulas are SEMANTICS' own.
BOOST_AUTO_TEST_CASE(long_draws_use_one_block_after_the_other) {
  const Generator::State start{11, 3, (5ULL << 32) - 1000};
  const auto from_start = [&](const auto& draw) {
    Generator g;
    g.set_state(start);
    return draw(RandomOptions{.generator = &g});
  };
  constexpr Index n = 40'003;
  const auto block = [&](Index b) {
    return philox(start.seed, start.offset + static_cast<std::uint64_t>(b), start.stream);
  };
  const auto unit = [&](Index i) {
    return static_cast<float>(block(i / 4)[static_cast<std::size_t>(i % 4)] >> 8) * 0x1p-24F;
  };
  const auto word = [&](Index i) {
    const Block words = block(i / 2);
    const auto at = static_cast<std::size_t>(i % 2 * 2);
    return (static_cast<std::uint64_t>(words[at + 1]) << 32) | words[at];
  };
  const Tensor uniforms = from_start([](const RandomOptions& o) { return rand({n}, o); });
  const Tensor coins = from_start([](const RandomOptions& o) { return bernoulli({n}, 0.3, o); });
  const Tensor bytes = from_start([](const RandomOptions& o) { return randint(0, 256, {n}, o); });
  const Tensor normals = from_start([](RandomOptions o) {
    o.dtype = f64;
    return randn({n}, o);
  });
  Index wrong = 0;
  for (Index i = 0; i < n; ++i) {
    wrong += uniforms.data<float>()[i] != unit(i);
    wrong += coins.data<bool>()[i] != (unit(i) < 0.3F);
    wrong += bytes.data<std::int64_t>()[i] != static_cast<std::int64_t>(word(i) >> 56);
    const double u = static_cast<double>(word(i / 2 * 2) >> 11) * 0x1p-53;
    const double v = static_cast<double>(word(i / 2 * 2 + 1) >> 11) * 0x1p-53;
    const double angle = 2 * 3.14159265358979323846 * v, radius = std::sqrt(-2 * std::log1p(-u));
    wrong += std::abs(normals.data<double>()[i] - radius * (i % 2 == 0 ? std::cos(angle) : std::sin(angle))) > 1e-12;
  }
  BOOST_TEST(wrong == 0);
}

BOOST_AUTO_TEST_CASE(every_number_of_threads_draws_the_same) {
  const int outer = num_threads();
  std::vector<std::vector<Tensor>> draws;
  for (const int threads : {1, 2, 3, 7}) {
    set_num_threads(threads);
    Generator g(7);
    draws.push_back({rand({300, 333}, {.generator = &g}), randn({99'999}, {.dtype = f64, .generator = &g}),
                     randint(-5, 1000, {70'001}, {.generator = &g}), bernoulli({50'001}, 0.3, {.generator = &g}),
                     randn({50'001}, {.generator = &g}), randperm(1000, {.generator = &g})});
  }
  set_num_threads(outer);
  for (const auto& draw : draws) {
    for (std::size_t i = 0; i < draw.size(); ++i) BOOST_TEST(same_bits(draw[i], draws[0][i]), i);
  }
}

BOOST_AUTO_TEST_CASE(the_same_seed_repeats_and_another_does_not) {
  Generator a(1), b(1), c(2);
  const Tensor x = rand({100}, {.generator = &a});
  BOOST_TEST(same_bits(x, rand({100}, {.generator = &b})));
  BOOST_TEST(!same_bits(x, rand({100}, {.generator = &c})));
  BOOST_TEST(!same_bits(x, rand({100}, {.generator = &a})));
  Generator forked = b.fork(5);
  BOOST_TEST(!same_bits(x, rand({100}, {.generator = &forked})));
}

BOOST_AUTO_TEST_CASE(a_state_restored_in_mid_stream_goes_on_as_before) {
  Generator g(3);
  (void)randn({17}, {.generator = &g});
  const Generator::State state = g.state();
  const Tensor x = rand({50}, {.generator = &g});
  const double single = g.uniform();
  g.set_state(state);
  BOOST_TEST(same_bits(x, rand({50}, {.generator = &g})));
  BOOST_TEST(g.uniform() == single);
}

BOOST_AUTO_TEST_CASE(the_offset_moves_by_shape_and_dtype_only) {
  const auto moved = [](const auto& draw) {
    Generator g(1);
    draw(g);
    return g.state().offset;
  };
  BOOST_TEST(moved([](Generator& g) { (void)rand({9}, {.generator = &g}); }) == 3U);
  BOOST_TEST(moved([](Generator& g) { (void)rand({9}, {.dtype = f64, .generator = &g}); }) == 5U);
  BOOST_TEST(moved([](Generator& g) { (void)randn({9}, {.generator = &g}); }) == 5U);
  BOOST_TEST(moved([](Generator& g) { (void)rand({0}, {.generator = &g}); }) == 0U);
  BOOST_TEST(moved([](Generator& g) { (void)g.next_u64(); }) == 1U);
}

BOOST_AUTO_TEST_CASE(copies_of_a_generator_share_the_position) {
  Generator a(1);
  Generator b = a;
  (void)a.next_u64();
  BOOST_TEST((b.state() == a.state()));
}

BOOST_AUTO_TEST_CASE(uniform_numbers_lie_below_one_with_the_right_moments) {
  Generator g(4);
  for (const Dtype dtype : {f32, f64}) {
    const std::vector<double> v = values(rand({200'000}, {.dtype = dtype, .generator = &g}));
    BOOST_TEST(*std::min_element(v.begin(), v.end()) >= 0);
    BOOST_TEST(*std::max_element(v.begin(), v.end()) < 1);
    BOOST_TEST(std::abs(mean_of(v) - 0.5) < 0.003);  // 4.6 standard errors
    BOOST_TEST(std::abs(variance_of(v) - 1.0 / 12) < 0.001);
  }
  const std::vector<double> v = values(uniform({1000}, -3, -1, {.generator = &g}));
  BOOST_TEST(*std::min_element(v.begin(), v.end()) >= -3);
  BOOST_TEST(*std::max_element(v.begin(), v.end()) <= -1);
}

BOOST_AUTO_TEST_CASE(uniform_numbers_stay_below_their_upper_bound_in_every_dtype) {
  Generator g(11);
  for (const auto& [low, high] : {std::pair(1000.0, 1001.0), std::pair(-1.0, -0.999), std::pair(0.0, 1.0),
                                  std::pair(-3.0, 0.0), std::pair(1e30, 1.0000001e30)}) {
    for (const Dtype dtype : {f32, f64, bf16}) {
      const std::vector<double> v = values(uniform({200'000}, low, high, {.dtype = dtype, .generator = &g}));
      BOOST_TEST(*std::max_element(v.begin(), v.end()) < high, low << " to " << high << " in " << dtype);
    }
  }
  BOOST_TEST(uniform({1}, 2, 2, {.generator = &g}).item() == 2);
  const std::vector<double> narrow = values(rand({200'000}, {.dtype = bf16, .generator = &g}));
  BOOST_TEST(std::abs(mean_of(narrow) - 0.5) < 0.004);
  const std::vector<double> normal_ones = values(randn({200'000}, {.dtype = bf16, .generator = &g}));
  BOOST_TEST(std::abs(variance_of(normal_ones) - 1) < 0.02);
  double largest = 0;
  for (int i = 0; i < 1000; ++i) largest = std::max(largest, g.uniform(1, std::nextafter(1.0, 2.0)));
  BOOST_TEST(largest == 1);
}

BOOST_AUTO_TEST_CASE(normal_numbers_are_finite_with_the_right_moments) {
  Generator g(5);
  const std::vector<double> v = values(normal({200'000}, 2, 3, {.generator = &g}));
  BOOST_TEST(std::all_of(v.begin(), v.end(), [](double x) { return std::isfinite(x); }));
  BOOST_TEST(std::abs(mean_of(v) - 2) < 0.03);
  BOOST_TEST(std::abs(variance_of(v) - 9) < 0.15);
  double fourth = 0;
  for (const double x : v) fourth += std::pow((x - 2) / 3, 4) / static_cast<double>(v.size());
  BOOST_TEST(std::abs(fourth - 3) < 0.1);
}

BOOST_AUTO_TEST_CASE(integers_fill_their_range_evenly) {
  Generator g(6);
  std::array<int, 7> counts{};
  for (const double x : values(randint(-3, 4, {70'000}, {.generator = &g}))) {
    ++counts.at(static_cast<std::size_t>(x + 3));
  }
  for (const int count : counts) BOOST_TEST(std::abs(count - 10'000) < 500);
  BOOST_TEST(g.randint(5, 6) == 5);
}

BOOST_AUTO_TEST_CASE(bernoulli_draws_true_with_its_probability) {
  Generator g(7);
  BOOST_TEST(std::abs(mean_of(values(bernoulli({100'000}, 0.3, {.generator = &g}))) - 0.3) < 0.007);
  BOOST_TEST(mean_of(values(bernoulli({1000}, 0, {.generator = &g}))) == 0);
  BOOST_TEST(mean_of(values(bernoulli({1000}, 1, {.generator = &g}))) == 1);
}

BOOST_AUTO_TEST_CASE(a_permutation_has_every_index_once) {
  Generator g(8);
  std::vector<double> v = values(randperm(1000, {.generator = &g}));
  BOOST_TEST(!std::is_sorted(v.begin(), v.end()));
  std::sort(v.begin(), v.end());
  for (std::size_t i = 0; i < v.size(); ++i) BOOST_REQUIRE(v[i] == static_cast<double>(i));
  BOOST_TEST(randperm(0).shape() == (Shape{0}));
}

BOOST_AUTO_TEST_CASE(the_default_generator_is_seeded_by_hand) {
  manual_seed(9);
  const Tensor x = rand({10});
  manual_seed(9);
  BOOST_TEST(same_bits(x, rand({10})));
  BOOST_TEST(default_generator().state().seed == 9U);
  manual_seed(0);
}

BOOST_AUTO_TEST_CASE(options_that_cannot_be_are_refused_before_anything_is_drawn) {
  Generator g(1);
  BOOST_TEST(error<std::invalid_argument>([&] { (void)randint(3, 3, {2}, {.generator = &g}); }) ==
             "randint: low must be below high; got 3 and 3");
  BOOST_TEST(error<std::invalid_argument>([&] { (void)bernoulli({2}, 1.5, {.generator = &g}); }) ==
             "bernoulli: p must be in [0, 1]; got 1.5");
  BOOST_TEST(error<std::invalid_argument>([&] { (void)uniform({2}, 1, 0, {.generator = &g}); }) ==
             "uniform: low must be at most high; got 1 and 0");
  BOOST_TEST(error<std::invalid_argument>([&] { (void)normal({2}, 0, -1, {.generator = &g}); }) ==
             "normal: std must not be negative; got -1");
  BOOST_TEST(error<std::invalid_argument>([&] { (void)rand({2}, {.dtype = i64, .generator = &g}); }) ==
             "rand: the dtype must be f32, f64 or bf16; got i64");
  BOOST_TEST(error<std::invalid_argument>([&] { (void)randn({2}, {.dtype = u8, .generator = &g}); }) ==
             "randn: the dtype must be f32, f64 or bf16; got u8");
  BOOST_TEST(error<std::invalid_argument>([&] { (void)randint(0, 257, {2}, {.dtype = u8, .generator = &g}); }) ==
             "randint: the range must be one that u8 can hold; got [0, 257)");
  BOOST_TEST(error<std::invalid_argument>([&] { (void)randint(-1, 2, {2}, {.dtype = u8, .generator = &g}); }) ==
             "randint: the range must be one that u8 can hold; got [-1, 2)");
  BOOST_TEST(error<std::invalid_argument>([&] { (void)randperm(-1, {.generator = &g}); }) ==
             "randperm: n must not be negative; got -1");
  BOOST_TEST(g.state().offset == 0U);
}

BOOST_AUTO_TEST_SUITE_END()
