#include <tapestry/ops/compare.h>

#include <support/expect.h>
#include <support/op_table.h>

#include <algorithm>
#include <cmath>
#include <limits>
#include <stdexcept>

#include <tapestry/autograd/backward.h>
#include <tapestry/ops/binary.h>
#include <tapestry/ops/cast.h>
#include <tapestry/ops/unary.h>

using namespace tapestry;
using namespace tapestry::test;

namespace {

constexpr double inf = std::numeric_limits<double>::infinity();
constexpr double not_a_number = std::numeric_limits<double>::quiet_NaN();

using In = const std::vector<Tensor>&;

const OpRows rows{
    {.op = "where",
     .variant = "two tensors",
     .inputs =
         [](Generator& g) {
           return std::vector{sample(g, {2, 3}), sample(g, {2, 3})};
         },
     .f =
         [](In x) {
           return where(tensor({{true, false, true}, {false, true, false}}), x[0], x[1]);
         },
     .first_order_linear = true},
    {.op = "where",
     .variant = "broadcasting, a number",
     .inputs = [](Generator& g) { return std::vector{sample(g, {3})}; },
     .f =
         [](In x) {
           return where(tensor({{true}, {true}, {false}}), x[0], 2.0);
         },
     .first_order_linear = true},
    {.op = "masked_fill",
     .variant = "",
     .inputs =
         [](Generator& g) {
           return std::vector{sample(g, {2, 3})};
         },
     .f =
         [](In x) {
           return masked_fill(x[0], tensor({true, false, false}), 7);
         },
     .first_order_linear = true},
};

}  // namespace

BOOST_AUTO_TEST_SUITE(compare_test)

BOOST_AUTO_TEST_CASE(comparisons_are_bool_and_false_for_nan_but_for_unequal) {
  for (const Dtype dtype : {f32, f64}) {
    const Tensor a = to(tensor<double>({1, 2, not_a_number, inf}, {.dtype = f64}), dtype);
    const Tensor b = to(tensor<double>({2, 2, not_a_number, inf}, {.dtype = f64}), dtype);
    BOOST_TEST(eq(a, b).dtype() == boolean);
    BOOST_TEST(all_close(eq(a, b), {0, 1, 0, 1}, 0));
    BOOST_TEST(all_close(ne(a, b), {1, 0, 1, 0}, 0));
    BOOST_TEST(all_close(lt(a, b), {1, 0, 0, 0}, 0));
    BOOST_TEST(all_close(le(a, b), {1, 1, 0, 1}, 0));
    BOOST_TEST(all_close(gt(a, b), {0, 0, 0, 0}, 0));
    BOOST_TEST(all_close(ge(a, b), {0, 1, 0, 1}, 0));
  }
}

BOOST_AUTO_TEST_CASE(every_dtype_can_be_compared_also_with_a_number_on_either_side) {
  for (const Dtype dtype : {f32, f64, bf16, i64, i32, u8}) {
    const Tensor x = to(tensor({1, 2, 3}), dtype);
    BOOST_TEST(all_close(lt(x, 2), {1, 0, 0}, 0), name_of(dtype));
    BOOST_TEST(all_close(lt(2, x), {0, 0, 1}, 0), name_of(dtype));
  }
  BOOST_TEST(all_close(eq(tensor({true, false}), true), {1, 0}, 0));
  BOOST_TEST(all_close(ge(tensor({{1}, {2}}), tensor({1, 2})), {1, 0, 1, 1}, 0));
  BOOST_TEST(error<std::invalid_argument>([] { (void)lt(tensor({1}), 1.5); }) ==
             "lt: beside a tensor of i64 the number must be one that it can hold; got 1.5");
  BOOST_TEST(error<std::invalid_argument>([] { (void)gt(ones({1}), tensor({1})); }) ==
             "gt: the dtypes must be equal; got f32 and i64, convert one with to(x, f32)");
}

BOOST_AUTO_TEST_CASE(logic_is_for_bools_of_one_shape) {
  const Tensor a = tensor({true, true, false, false}), b = tensor({true, false, true, false});
  BOOST_TEST(all_close(logical_and(a, b), {1, 0, 0, 0}, 0));
  BOOST_TEST(all_close(logical_or(a, b), {1, 1, 1, 0}, 0));
  BOOST_TEST(all_close(logical_xor(a, b), {0, 1, 1, 0}, 0));
  BOOST_TEST(all_close(logical_not(a), {0, 0, 1, 1}, 0));
  BOOST_TEST(error<std::invalid_argument>([&] { (void)logical_and(a, ones({4})); }) ==
             "logical_and: the dtype must be bool; got f32");
  BOOST_TEST(all_close(logical_or(a, tensor({true})), {1, 1, 1, 1}, 0));
  BOOST_TEST((logical_and(tensor({{true}, {false}}), a).shape() == Shape{2, 4}));
  BOOST_TEST(error<std::invalid_argument>([&] {
               (void)logical_or(a, tensor({true, false}));
             }) == "logical_or: shapes must broadcast, extents equal or 1; got [4] and [2], which differ in dim -1");
}

BOOST_AUTO_TEST_CASE(numbers_that_are_none_or_infinite_are_told_apart) {
  const Tensor x = tensor<double>({1, not_a_number, inf, -inf}, {.dtype = f64});
  BOOST_TEST(all_close(isnan(x), {0, 1, 0, 0}, 0));
  BOOST_TEST(all_close(isinf(x), {0, 0, 1, 1}, 0));
  BOOST_TEST(all_close(isfinite(x), {1, 0, 0, 0}, 0));
}

BOOST_AUTO_TEST_CASE(where_selects_gradients_and_never_multiplies_them) {
  const Tensor x = tensor({0, 2}, {.dtype = f64, .requires_grad = true});
  const Tensor positive = gt(x, 0);
  const Tensor plain = where(positive, log(x), 0.0);
  BOOST_TEST(all_close(plain, {0, std::log(2.0)}, 1e-15));
  BOOST_TEST(all_close(grad(plain, x, {.grad_outputs = {ones({2}, {.dtype = f64})}}), {not_a_number, 0.5}, 0));
  const Tensor guarded = where(positive, log(where(positive, x, 1.0)), 0.0);
  BOOST_TEST(all_close(grad(guarded, x, {.grad_outputs = {ones({2}, {.dtype = f64})}}), {0, 0.5}, 0));
}

BOOST_AUTO_TEST_CASE(where_works_on_every_dtype_and_broadcasts_all_three) {
  const Tensor condition = tensor({{true}, {false}});
  for (const Dtype dtype : {f32, f64, bf16, i64, i32, u8, boolean}) {
    const Tensor a = to(tensor({0, 1}), dtype), b = to(tensor({{1}, {1}}), dtype);
    BOOST_TEST(all_close(where(condition, a, b), {0, 1, 1, 1}, 0), name_of(dtype));
    BOOST_TEST(all_close(where(condition, a, 1), {0, 1, 1, 1}, 0), name_of(dtype));
  }
  BOOST_TEST(error<std::invalid_argument>([&] { (void)where(ones({2}), 1.0, ones({2})); }) ==
             "where: the condition must be bool; got f32");
  BOOST_TEST(error<std::invalid_argument>([&] { (void)where(condition, 1, 2); }) ==
             "where: one of a and b must be a tensor; got two numbers");
  BOOST_TEST(error<std::invalid_argument>([&] {
               (void)where(condition, ones({2}), tensor({1, 2}));
             }) == "where: the dtypes must be equal; got f32 and i64, convert one with to(x, f32)");
}

BOOST_AUTO_TEST_CASE(where_selects_each_element_around_vectors_and_chunks) {
  for (const Index n : {0, 1, 15, 16, 17, 67, 32 * 1024 + 1}) {
    for (const Dtype dtype : {f32, f64, i64, u8}) {
      const Tensor a = to(arange(n), dtype), b = to(full({n}, 3), dtype), condition = gt(a, b);
      std::vector<double> larger = values(a);
      for (double& v : larger) v = std::max(v, 3.0);
      BOOST_TEST(all_close(where(condition, a, b), larger, 0), n << " of " << name_of(dtype));
      BOOST_TEST(all_close(where(condition, a, 3), larger, 0), n << " of " << name_of(dtype));
    }
  }
}

BOOST_AUTO_TEST_CASE(masked_fill_has_gradient_zero_where_it_filled_and_keeps_the_shape) {
  const Tensor x = tensor({{1.0, 2.0}, {3.0, 4.0}}, {.dtype = f64, .requires_grad = true});
  const Tensor y = masked_fill(x, tensor({true, false}), -inf);
  BOOST_TEST(all_close(y, {-inf, 2, -inf, 4}, 0));
  BOOST_TEST(all_close(grad(y, x, {.grad_outputs = {ones_like(y)}}), {0, 1, 0, 1}, 0));
  BOOST_TEST(error<std::invalid_argument>([&] {
               (void)masked_fill(ones({2}), tensor({{true}, {true}}), 0);
             }) == "masked_fill: the mask must broadcast to x's shape [2]; got [2, 1]");
}

BOOST_AUTO_TEST_CASE(comparisons_are_written_as_operators) {
  const Tensor x = tensor({1, 2, 3}), y = tensor({3, 2, 1});
  BOOST_TEST(all_close(x > 1, {0, 1, 1}, 0));
  BOOST_TEST(all_close(2 > x, {1, 0, 0}, 0));
  BOOST_TEST(all_close(x >= y, {0, 1, 1}, 0));
  BOOST_TEST(all_close(x < y, {1, 0, 0}, 0));
  BOOST_TEST(all_close(x <= 2, {1, 1, 0}, 0));
  BOOST_TEST(all_close((x == y), {0, 1, 0}, 0));
  BOOST_TEST(all_close((x != 2), {1, 0, 1}, 0));
  BOOST_TEST(all_close((x > 1) & (y > 1), {0, 1, 0}, 0));
  BOOST_TEST(all_close((x > 2) | (y > 2), {1, 0, 1}, 0));
  BOOST_TEST(all_close((x > 1) ^ (y > 1), {1, 0, 1}, 0));
  BOOST_TEST(all_close(!(x > 1), {1, 0, 0}, 0));
}

BOOST_AUTO_TEST_CASE(closeness_is_relative_to_the_second_operand_and_absolute_at_zero) {
  const Tensor a = tensor({1.0, 1.0, 0.0, inf, inf, -inf, not_a_number}, {.dtype = f64});
  const Tensor b = tensor({1.00001, 1.0001, 1e-9, inf, 1e308, inf, not_a_number}, {.dtype = f64});
  BOOST_TEST(all_close(isclose(a, b), {1, 0, 1, 1, 0, 0, 0}, 0));
  BOOST_TEST(all_close(isclose(a, b, {.equal_nan = true}), {1, 0, 1, 1, 0, 0, 1}, 0));
  BOOST_TEST(all_close(isclose(a, b, {.rtol = 1e-3}), {1, 1, 1, 1, 0, 0, 0}, 0));
  BOOST_TEST(!allclose(a, b));
  BOOST_TEST(allclose(tensor({1.0F, 2.0F}), tensor({{1.0F, 2.0F}, {1.000001F, 2.0F}})));
  BOOST_TEST(allclose(tensor({3, 4}), tensor({3, 4})));
  BOOST_TEST(!allclose(tensor({3, 4}), 3));
  BOOST_TEST(allclose(zeros({0}), zeros({0})));
  BOOST_TEST(error<std::invalid_argument>([&] { (void)isclose(a, tensor({1})); }) ==
             "isclose: the dtypes must be equal; got f64 and i64, convert one with to(x, f64)");
  BOOST_TEST(error<std::invalid_argument>([&] { (void)isclose(a, b, {.rtol = -1}); }) ==
             "isclose: .rtol and .atol must not be negative; got -1 and 1e-08");
}

BOOST_AUTO_TEST_SUITE_END()
