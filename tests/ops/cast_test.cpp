#include <tapestry/ops/cast.h>

#include <support/expect.h>
#include <support/op_table.h>

#include <limits>

#include <tapestry/autograd/backward.h>

using namespace tapestry;
using namespace tapestry::test;

namespace {

constexpr double inf = std::numeric_limits<double>::infinity();
constexpr double not_a_number = std::numeric_limits<double>::quiet_NaN();

const OpRows rows{
    {.op = "to",
     .variant = "its own dtype",
     .inputs =
         [](Generator& g) {
           return std::vector{sample(g, {2, 3})};
         },
     .f = [](const std::vector<Tensor>& x) { return to(x[0], x[0].dtype()); },
     .first_order_linear = true},
    {.op = "clone",
     .variant = "",
     .inputs =
         [](Generator& g) {
           return std::vector{sample(g, {2, 3})};
         },
     .f = [](const std::vector<Tensor>& x) { return clone(x[0]); },
     .first_order_linear = true},
};

}  // namespace

BOOST_AUTO_TEST_SUITE(cast_test)

BOOST_AUTO_TEST_CASE(floats_become_integers_by_truncation_and_saturate) {
  for (const Dtype dtype : {f32, f64}) {
    const Tensor x = to(tensor({-1.7, 1.7, not_a_number, inf, -inf, 3e9}, {.dtype = f64}), dtype);
    const double most32 = 2147483647, most64 = 9223372036854775807.0;
    BOOST_TEST(all_close(to(x, i32), {-1, 1, 0, most32, -most32 - 1, most32}, 0));
    BOOST_TEST(all_close(to(x, i64), {-1, 1, 0, most64, -most64, 3e9}, 0));
    BOOST_TEST(all_close(to(x, u8), {0, 1, 0, 255, 0, 255}, 0));
  }
}

BOOST_AUTO_TEST_CASE(everything_but_zero_becomes_true) {
  BOOST_TEST(all_close(to(tensor({0.0, -0.0, not_a_number, 0.5}, {.dtype = f64}), boolean), {0, 0, 1, 1}, 0));
  BOOST_TEST(all_close(to(tensor({0, 256, -1}), boolean), {0, 1, 1}, 0));
}

BOOST_AUTO_TEST_CASE(bf16_rounds_to_nearest_even) {
  const Tensor x = tensor({1.0F, 1.00390625F, 1.01171875F, 1.0F + 0.0039064F});
  BOOST_TEST(all_close(to(x, bf16), {1, 1, 1.015625, 1.0078125}, 0));
}

BOOST_AUTO_TEST_CASE(the_gradient_returns_in_the_source_dtype_and_integers_end_the_graph) {
  const Tensor x = tensor({1.0, 2.0}, {.dtype = f64, .requires_grad = true});
  const Tensor y = to(x, f32);
  BOOST_TEST(y.requires_grad());
  const Tensor g = grad(y, x, {.grad_outputs = {tensor({3.0F, 4.0F})}});
  BOOST_TEST(g.dtype() == f64);
  BOOST_TEST(all_close(g, {3, 4}, 0));
  BOOST_TEST(!to(x, i64).requires_grad());
  BOOST_TEST(to(x, f64).is_same(x));
}

/// What a gradient goes through is its own dtype and that of the source, nothing less.
BOOST_AUTO_TEST_CASE(a_gradient_is_rounded_once_and_to_the_source_dtype_only) {
  const auto rounded = [](double v, Dtype dtype) {
    const auto f = static_cast<float>(v);
    return dtype == f64 ? v : dtype == f32 ? f : static_cast<double>(static_cast<float>(BFloat16(f)));
  };
  for (const Dtype from : {f32, f64, bf16}) {
    for (const Dtype target : {f32, f64, bf16}) {
      if (from == target) continue;
      for (const Index n : {1, 100, 32 * 1024 + 1, 3 * 32 * 1024 + 5}) {
        Generator g(n);
        const Tensor x = zeros({n}, {.dtype = from, .requires_grad = true});
        const Tensor dy = to(uniform({n}, -2, 2, {.dtype = f64, .generator = &g}), target);
        std::vector<double> expected = values(dy);
        for (double& v : expected) v = rounded(v, from);
        const Tensor dx = grad(to(x, target), x, {.grad_outputs = {dy}});
        BOOST_TEST(dx.dtype() == from);
        BOOST_TEST(all_close(dx, expected, 0), from << " to " << target << ", " << n << " elements");
      }
    }
  }
}

BOOST_AUTO_TEST_CASE(a_clone_has_storage_of_its_own_and_is_recorded) {
  const Tensor x = to(arange(100'001), f32).requires_grad(true);
  const Tensor y = clone(x);
  BOOST_TEST(y.requires_grad());
  BOOST_TEST(y.impl().bytes() != x.impl().bytes());
  BOOST_TEST(same_bits(y, x));
  BOOST_TEST(clone(empty({0, 3})).shape() == Shape({0, 3}));
}

BOOST_AUTO_TEST_SUITE_END()
