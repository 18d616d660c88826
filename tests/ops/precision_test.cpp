#include <tapestry/ops/precision.h>

#include <boost/test/unit_test.hpp>
#include <cmath>
#include <string>
#include <thread>
#include <vector>

#include <support/expect.h>
#include <tapestry/autograd/backward.h>
#include <tapestry/autograd/base/parallel.h>
#include <tapestry/autograd/random.h>
#include <tapestry/ops/cast.h>
#include <tapestry/ops/conv2d.h>
#include <tapestry/ops/kernels/gemm/testing.h>
#include <tapestry/ops/matmul.h>

using namespace tapestry;
using namespace tapestry::test;

BOOST_AUTO_TEST_SUITE(precision_test)

namespace {

/// Results of the products of f32 tensors, forward and backward, and the same in f64.
struct Products {
  std::vector<std::string> names;
  std::vector<Tensor> f32_results, f64_results;

  explicit Products(Index depth, Index filters = 24) {
    Generator generator(static_cast<std::uint64_t>(depth));
    const auto normal = [&](const Shape& shape) { return randn(shape, {.generator = &generator}); };
    const Tensor a = normal({33, depth}), b = normal({depth, 40}), w = normal({40, depth});
    add("matmul", a, b, [](const Tensor& u, const Tensor& v) { return matmul(u, v); });
    add("linear", a, w, [](const Tensor& u, const Tensor& v) { return linear(u, v); });
    // 3x3 windows: nine channels make a depth
    const Index c = depth / 9;
    if (depth % 9 != 0) return;
    const Tensor x = normal({6, 8, 8, c}), k = normal({filters, 3, 3, c}), dy = normal({6, 8, 8, filters});
    add("conv2d", x, k, [](const Tensor& u, const Tensor& v) { return conv2d(u, v, {}, {.padding = 1}); });
    add("conv2d_input_grad", dy, k,
        [&](const Tensor& u, const Tensor& v) { return conv2d_input_grad(u, v, x.shape(), {.padding = 1}); });
    add("conv2d_weight_grad", x, dy,
        [&](const Tensor& u, const Tensor& v) { return conv2d_weight_grad(u, v, k.shape(), {.padding = 1}); });
  }

  template <class F>
  void add(const char* name, const Tensor& a, const Tensor& b, const F& f) {
    names.emplace_back(name);
    f32_results.push_back(f(a, b));
    f64_results.push_back(f(to(a, f64), to(b, f64)));
  }

  /// |f32 - f64| / |f64|, Frobenius norms.
  [[nodiscard]] double error(std::size_t i) const {
    const std::vector<double> got = values(f32_results[i]), expected = values(f64_results[i]);
    double difference = 0, size = 0;
    for (std::size_t k = 0; k < got.size(); ++k) {
      difference += (got[k] - expected[k]) * (got[k] - expected[k]);
      size += expected[k] * expected[k];
    }
    return std::sqrt(difference / size);
  }
};

}  // namespace

BOOST_AUTO_TEST_CASE(medium_errs_as_much_as_rounding_to_bf16_does_and_not_less) {
  const MatmulPrecisionGuard scope(MatmulPrecision::medium);
  for (const Index depth : {64, 576, 1152, 2304, 4608}) {
    const Products products(depth, depth == 2304 ? 256 : 24);
    for (std::size_t i = 0; i < products.names.size(); ++i) {
      const double error = products.error(i);
      BOOST_TEST_MESSAGE(products.names[i] << " " << depth << ": medium errs by " << error);
      BOOST_TEST(error < 3e-3, products.names[i] << " " << depth << ": " << error);
      // The lower bound notices products that were quietly computed in f32.
      if (kernels::has_bf16_products()) BOOST_TEST(error > 1e-3, products.names[i] << " " << depth << ": " << error);
    }
  }
}

BOOST_AUTO_TEST_CASE(highest_errs_as_f32_does) {
  for (const Index depth : {64, 576}) {
    const Products products(depth);
    for (std::size_t i = 0; i < products.names.size(); ++i) BOOST_TEST(products.error(i) < 2e-6, products.names[i]);
  }
}

BOOST_AUTO_TEST_CASE(high_is_another_f32_for_large_3x3_convolutions_and_the_same_for_everything_else) {
  const Products highest(2304, 256);
  const MatmulPrecisionGuard scope(MatmulPrecision::high);
  const Products high(2304, 256);
  for (std::size_t i = 0; i < highest.names.size(); ++i) {
    const bool is_convolution = highest.names[i].starts_with("conv2d");
    BOOST_TEST(same_bits(highest.f32_results[i], high.f32_results[i]) == !is_convolution, highest.names[i]);
    BOOST_TEST(high.error(i) < 2 * highest.error(i) + 1e-7,
               highest.names[i] << ": " << high.error(i) << " and " << highest.error(i));
    BOOST_TEST_MESSAGE(highest.names[i] << ": high errs by " << high.error(i) << ", highest by " << highest.error(i));
  }
}

BOOST_AUTO_TEST_CASE(without_bf16_products_medium_is_high) {
  std::vector<Products> of_precision;
  for (const MatmulPrecision precision : {MatmulPrecision::high, MatmulPrecision::medium}) {
    kernels::enable_bf16_products(false);
    const MatmulPrecisionGuard scope(precision);
    of_precision.emplace_back(2304, 256);
    kernels::enable_bf16_products(true);
  }
  for (std::size_t i = 0; i < of_precision[0].names.size(); ++i) {
    BOOST_TEST(same_bits(of_precision[0].f32_results[i], of_precision[1].f32_results[i]), of_precision[0].names[i]);
  }
}

BOOST_AUTO_TEST_CASE(medium_gives_the_same_bits_for_any_number_of_threads) {
  const MatmulPrecisionGuard scope(MatmulPrecision::medium);
  const int before = num_threads();
  set_num_threads(1);
  const Products first(1152);
  for (const int threads : {2, 3, 7}) {
    set_num_threads(threads);
    const Products again(1152);
    for (std::size_t i = 0; i < first.names.size(); ++i) {
      BOOST_TEST(same_bits(first.f32_results[i], again.f32_results[i]), first.names[i] << ", " << threads);
    }
  }
  set_num_threads(before);
}

BOOST_AUTO_TEST_CASE(gradients_of_medium_products_are_checked_through_their_rules) {
  const MatmulPrecisionGuard scope(MatmulPrecision::medium);
  Generator generator(3);
  Tensor x = randn({3, 5, 5, 4}, {.generator = &generator}), w = randn({6, 3, 3, 4}, {.generator = &generator});
  x.requires_grad(true);
  w.requires_grad(true);
  const Tensor dy = randn({3, 5, 5, 6}, {.generator = &generator});
  backward(conv2d(x, w, {}, {.padding = 1}), {.gradient = dy});
  BOOST_TEST(same_bits(x.grad(), conv2d_input_grad(dy, w.detach(), x.shape(), {.padding = 1})));
  BOOST_TEST(same_bits(w.grad(), conv2d_weight_grad(x.detach(), dy, w.shape(), {.padding = 1})));
}

BOOST_AUTO_TEST_CASE(convolutions_that_would_not_pay_stay_in_f32) {
  Generator generator(3);
  const Tensor x = randn({2, 6, 6, 8}, {.generator = &generator}), w = randn({8, 3, 3, 1}, {.generator = &generator});
  const Tensor k = randn({8, 1, 1, 8}, {.generator = &generator});
  const Tensor depthwise = conv2d(x, w, {}, {.padding = 1, .groups = 8}), strided = conv2d(x, k, {}, {.stride = 2});
  const MatmulPrecisionGuard scope(MatmulPrecision::medium);
  BOOST_TEST(same_bits(conv2d(x, w, {}, {.padding = 1, .groups = 8}), depthwise));
  BOOST_TEST(same_bits(conv2d(x, k, {}, {.stride = 2}), strided));
}

BOOST_AUTO_TEST_CASE(f64_does_not_care) {
  const Tensor a = to(randn({4, 30}), f64), b = to(randn({30, 5}), f64);
  const Tensor y = matmul(a, b);
  const MatmulPrecisionGuard scope(MatmulPrecision::medium);
  BOOST_TEST(same_bits(matmul(a, b), y));
}

BOOST_AUTO_TEST_CASE(the_setting_is_for_all_threads_and_a_scope_for_its_own) {
  BOOST_TEST(name_of(float32_matmul_precision()) == std::string("highest"));
  set_float32_matmul_precision("medium");
  std::string inside, beside;
  {
    const MatmulPrecisionGuard scope(MatmulPrecision::high);
    {
      const MatmulPrecisionGuard inner(MatmulPrecision::highest);
      inside = name_of(float32_matmul_precision());
    }
    inside += std::string(" ") + name_of(float32_matmul_precision());
    std::thread([&] { beside = name_of(float32_matmul_precision()); }).join();
  }
  const std::string after = name_of(float32_matmul_precision());
  set_float32_matmul_precision(MatmulPrecision::highest);
  BOOST_TEST(inside == "highest high");
  BOOST_TEST(beside == "medium");
  BOOST_TEST(after == "medium");
}

BOOST_AUTO_TEST_CASE(an_unknown_name_is_refused_and_changes_nothing) {
  BOOST_TEST(error<std::invalid_argument>([] { set_float32_matmul_precision("tf32"); }) ==
             "set_float32_matmul_precision: the precision must be highest, high or medium; got 'tf32'");
  BOOST_TEST(name_of(float32_matmul_precision()) == std::string("highest"));
}

BOOST_AUTO_TEST_SUITE_END()
