#include <support/expect.h>
#include <support/op_table.h>

#include <cmath>
#include <limits>
#include <stdexcept>

#include <tapestry/autograd/backward.h>
#include <tapestry/autograd/base/parallel.h>
#include <tapestry/autograd/random.h>
#include <tapestry/ops/cast.h>
#include <tapestry/ops/dropout.h>
#include <tapestry/ops/reduce.h>

using namespace tapestry;
using namespace tapestry::test;

namespace {

constexpr double inf = std::numeric_limits<double>::infinity();

const OpRows rows{
    {.op = "dropout",
     .variant = "p 0.5",
     .inputs =
         [](Generator& g) {
           return std::vector{sample(g, {3, 4})};
         },
     .f =
         [](const std::vector<Tensor>& x) {
           Generator own(5);
           return dropout(x[0], {.generator = &own});
         },
     .first_order_linear = true},
    {.op = "dropout2d",
     .variant = "p 0.25",
     .inputs =
         [](Generator& g) {
           return std::vector{sample(g, {3, 2, 2, 3})};
         },
     .f =
         [](const std::vector<Tensor>& x) {
           Generator own(5);
           return dropout2d(x[0], {.p = 0.25, .generator = &own});
         },
     .first_order_linear = true},
    {.op = "drop_path",
     .variant = "p 0.5",
     .inputs =
         [](Generator& g) {
           return std::vector{sample(g, {16, 3})};
         },
     .f =
         [](const std::vector<Tensor>& x) {
           Generator own(5);
           return drop_path(x[0], {.generator = &own});
         },
     .first_order_linear = true},
};

}  // namespace

BOOST_AUTO_TEST_SUITE(dropout_test)

BOOST_AUTO_TEST_CASE(kept_values_are_scaled_and_the_rest_is_zero) {
  Generator generator(3);
  const Tensor y = dropout(full({100000}, 3.0), {.p = 0.25, .generator = &generator});
  Index kept = 0;
  for (const float v : y.span<float>()) {
    if (v != 0) {
      ++kept;
      BOOST_REQUIRE_EQUAL(v, 4.0F);
    }
  }
  BOOST_TEST(std::abs(static_cast<double>(kept) - 75000) < 700);  // five standard deviations
}

/// Around the lengths of vectors of every instruction set.
BOOST_AUTO_TEST_CASE(every_length_is_masked_to_its_end) {
  for (const Dtype dtype : {f32, f64}) {
    for (Index n = 1; n < 70; ++n) {
      Generator g(n), same(n);
      const std::vector<double> y = values(dropout(full({n}, 3, {.dtype = dtype}), {.p = 0.25, .generator = &g}));
      const std::vector<double> kept = values(bernoulli({n}, 0.75, {.generator = &same}));
      for (std::size_t i = 0; i < y.size(); ++i) BOOST_TEST_REQUIRE(std::abs(y[i] - 4 * kept[i]) < 1e-6, n << " " << i);
    }
  }
}

/// Around the grain of tasks, 32,768 elements: each has its own part of the mask, forward and backward.
BOOST_AUTO_TEST_CASE(every_task_has_its_own_part_of_the_mask) {
  constexpr Index grain = 32 * 1024;
  for (const Dtype dtype : {f32, f64, bf16}) {
    for (const Index n : {grain - 1, grain, grain + 1, 3 * grain + 17}) {
      Generator g(n), same(n);
      Generator of_x(1);
      const Tensor x = to(randint(1, 100, {n}, {.generator = &of_x}), dtype).requires_grad(true);
      const Tensor y = dropout(x, {.p = 0.5, .generator = &g});
      std::vector<double> scaled = values(x), slope = values(bernoulli({n}, 0.5, {.generator = &same}));
      for (std::size_t i = 0; i < slope.size(); ++i) scaled[i] *= slope[i] *= 2;
      BOOST_TEST(all_close(y, scaled, 0), n << " elements of " << dtype);
      const Tensor dx = grad(y, x, {.grad_outputs = {ones({n}, {.dtype = dtype})}});
      BOOST_TEST(all_close(dx, slope, 0), "the gradient of " << n << " elements of " << dtype);
    }
  }
}

/// Tasks of whole pixels: those of an image share its mask, those of another do not.
BOOST_AUTO_TEST_CASE(every_task_of_dropout2d_has_the_mask_of_its_images) {
  constexpr Index n = 5, pixels = 64 * 64, channels = 33;  // 992 pixels to a task
  Generator g(6), same(6);
  Tensor x = ones({n, 64, 64, channels}, {.requires_grad = true});
  const Tensor y = dropout2d(x, {.p = 0.5, .generator = &g});
  const std::vector<double> kept = values(bernoulli({n, 1, 1, channels}, 0.5, {.generator = &same}));
  std::vector<double> expected;
  for (Index i = 0; i < n * pixels * channels; ++i) {
    expected.push_back(2 * kept[static_cast<std::size_t>(i / (pixels * channels) * channels + i % channels)]);
  }
  BOOST_TEST(all_close(y, expected, 0));
  BOOST_TEST(all_close(grad(y, x, {.grad_outputs = {ones(x.shape())}}), expected, 0));
}

BOOST_AUTO_TEST_CASE(dropped_values_are_zero_even_from_infinity) {
  Generator generator(1);
  const Tensor dropped = dropout(full({64}, inf), {.generator = &generator});
  for (const float v : dropped.span<float>()) {
    BOOST_TEST((v == 0 || v == std::numeric_limits<float>::infinity()));
  }
  const Tensor without = drop_path(full({64, 1}, inf), {.generator = &generator});
  for (const float v : without.span<float>()) {
    BOOST_TEST((v == 0 || v == std::numeric_limits<float>::infinity()));
  }
}

BOOST_AUTO_TEST_CASE(without_training_or_with_p_0_x_itself_comes_back_and_nothing_is_drawn) {
  Generator generator(1);
  const auto before = generator.state();
  const Tensor x = ones({2, 2, 2, 2});
  BOOST_TEST(dropout(x, {.training = false, .generator = &generator}).is_same(x));
  BOOST_TEST(dropout(x, {.p = 0, .generator = &generator}).is_same(x));
  BOOST_TEST(dropout2d(x, {.p = 0, .generator = &generator}).is_same(x));
  BOOST_TEST(drop_path(x, {.training = false, .generator = &generator}).is_same(x));
  BOOST_TEST((generator.state() == before));
}

BOOST_AUTO_TEST_CASE(with_p_1_everything_is_zero_and_so_is_the_gradient) {
  Tensor x = full({5}, 2.0, {.requires_grad = true});
  const Tensor y = dropout(x, {.p = 1});
  BOOST_TEST(all_close(y, {0, 0, 0, 0, 0}, 0));
  BOOST_TEST(all_close(grad(sum(y), x), {0, 0, 0, 0, 0}, 0));
}

BOOST_AUTO_TEST_CASE(the_gradient_passes_through_the_same_mask) {
  Generator generator(9);
  Tensor x = ones({1000}, {.requires_grad = true});
  const Tensor y = dropout(x, {.p = 0.3, .generator = &generator});
  BOOST_TEST(same_bits(grad(sum(y), x), y));
}

BOOST_AUTO_TEST_CASE(dropout2d_drops_whole_channels_of_single_images) {
  Generator generator(2);
  const Tensor y = dropout2d(ones({8, 3, 5, 16}), {.generator = &generator});
  const float* v = y.data<float>();
  Index dropped = 0;
  for (Index n = 0; n < 8; ++n) {
    for (Index c = 0; c < 16; ++c) {
      const float first = v[n * 240 + c];
      BOOST_REQUIRE((first == 0 || first == 2));
      dropped += first == 0;
      for (Index pixel = 1; pixel < 15; ++pixel) BOOST_REQUIRE_EQUAL(v[n * 240 + pixel * 16 + c], first);
    }
  }
  BOOST_TEST((dropped > 40 && dropped < 88));
}

BOOST_AUTO_TEST_CASE(drop_path_draws_once_per_sample) {
  Generator generator(2);
  const Tensor y = drop_path(ones({64, 7}), {.generator = &generator});
  const float* v = y.data<float>();
  Index dropped = 0;
  for (Index n = 0; n < 64; ++n) {
    dropped += v[n * 7] == 0;
    for (Index i = 1; i < 7; ++i) BOOST_REQUIRE_EQUAL(v[n * 7 + i], v[n * 7]);
  }
  BOOST_TEST((dropped > 12 && dropped < 52));
}

BOOST_AUTO_TEST_CASE(samples_that_stay_and_their_gradients_are_scaled) {
  Generator generator(2), same(2);
  const Tensor x = ones({64, 3}, {.requires_grad = true});
  const Tensor y = drop_path(x, {.p = 0.75, .generator = &generator});
  const std::vector<double> kept = values(bernoulli({64, 1}, 0.25, {.generator = &same}));
  std::vector<double> expected;
  for (const double k : kept) expected.insert(expected.end(), 3, 4 * k);
  BOOST_TEST(all_close(y, expected, 0));
  BOOST_TEST(all_close(grad(sum(y), x), expected, 0));
}

BOOST_AUTO_TEST_CASE(masks_repeat_with_the_seed_and_do_not_depend_on_threads) {
  const int threads = num_threads();
  const Tensor x = ones({300, 1001});
  Tensor first;
  for (const int count : {1, 2, 3, 7}) {
    set_num_threads(count);
    Generator generator(4);
    const Tensor y = dropout(x, {.generator = &generator});
    if (!first.defined()) first = y;
    BOOST_TEST(same_bits(y, first));
    BOOST_TEST(!same_bits(y, dropout(x, {.generator = &generator})));
  }
  set_num_threads(threads);
}

BOOST_AUTO_TEST_CASE(nothing_comes_of_nothing) {
  BOOST_TEST(dropout(empty({0, 3})).shape() == (Shape{0, 3}));
  BOOST_TEST(dropout2d(empty({0, 2, 2, 3})).shape() == (Shape{0, 2, 2, 3}));
  BOOST_TEST(dropout2d(empty({2, 0, 2, 3})).shape() == (Shape{2, 0, 2, 3}));
  BOOST_TEST(drop_path(empty({0, 2})).shape() == (Shape{0, 2}));
}

BOOST_AUTO_TEST_CASE(wrong_calls_are_refused) {
  BOOST_TEST(error<std::invalid_argument>([] { (void)dropout(ones({2}), {.p = 1.5}); }) ==
             "dropout: p must be in [0, 1]; got 1.5");
  BOOST_TEST(error<std::invalid_argument>([] { (void)dropout(ones({2}), {.p = -0.5, .training = false}); }) ==
             "dropout: p must be in [0, 1]; got -0.5");
  BOOST_TEST(error<std::invalid_argument>([] { (void)dropout(zeros({2}, {.dtype = i64})); }) ==
             "dropout: the dtype must be f32, f64 or bf16; got i64, convert it with to(x, f32)");
  BOOST_TEST(error<std::invalid_argument>([] {
               (void)dropout2d(ones({2, 2, 3}));
             }) == "dropout2d: the input must be [N, H, W, C]; got [2, 2, 3], reshape one image to [1, H, W, C]");
  BOOST_TEST(error<std::invalid_argument>([] { (void)drop_path(scalar(1)); }) ==
             "drop_path: the input must have a sample dimension; got shape []");
}

BOOST_AUTO_TEST_SUITE_END()
