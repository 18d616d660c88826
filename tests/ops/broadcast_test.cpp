#include <tapestry/ops/broadcast.h>

#include <support/expect.h>
#include <support/op_table.h>

#include <stdexcept>

#include <tapestry/autograd/backward.h>
#include <tapestry/ops/cast.h>

using namespace tapestry;
using namespace tapestry::test;

namespace {

using In = const std::vector<Tensor>&;

const OpRows rows{
    {.op = "broadcast_to",
     .variant = "new leading dim",
     .inputs =
         [](Generator& g) {
           return std::vector{sample(g, {2, 3})};
         },
     .f =
         [](In x) {
           return broadcast_to(x[0], {4, 2, 3});
         },
     .first_order_linear = true},
    {.op = "broadcast_to",
     .variant = "inner dim",
     .inputs =
         [](Generator& g) {
           return std::vector{sample(g, {2, 1, 3})};
         },
     .f =
         [](In x) {
           return broadcast_to(x[0], {2, 4, 3});
         },
     .first_order_linear = true},
    {.op = "sum_to",
     .variant = "leading and inner dim",
     .inputs =
         [](Generator& g) {
           return std::vector{sample(g, {4, 2, 3, 2})};
         },
     .f =
         [](In x) {
           return sum_to(x[0], {2, 1, 2});
         },
     .first_order_linear = true},
};

}  // namespace

BOOST_AUTO_TEST_SUITE(broadcast_test)

BOOST_AUTO_TEST_CASE(broadcasting_repeats_elements_of_every_dtype) {
  for (const Dtype dtype : {f32, f64, bf16, i64, i32, u8, boolean}) {
    const Tensor x = to(tensor({{0, 1, 1}}), dtype);
    BOOST_TEST(all_close(broadcast_to(x, {2, 2, 3}), {0, 1, 1, 0, 1, 1, 0, 1, 1, 0, 1, 1}, 0), name_of(dtype));
    const Tensor column = to(tensor({{1}, {0}}), dtype);
    BOOST_TEST(all_close(broadcast_to(column, {2, 3}), {1, 1, 1, 0, 0, 0}, 0), name_of(dtype));
  }
}

BOOST_AUTO_TEST_CASE(a_sum_undoes_a_broadcast_times_the_number_of_copies) {
  const Tensor x = tensor({{1.0}, {2.0}}, {.dtype = f64});
  BOOST_TEST(all_close(sum_to(broadcast_to(x, {5, 2, 3}), {2, 1}), tensor({{15.0}, {30.0}}, {.dtype = f64}), 0));
  BOOST_TEST(all_close(sum_to(ones({2, 3}), {}), {6}, 0));
}

BOOST_AUTO_TEST_CASE(equal_shapes_are_handed_through_without_a_copy) {
  const Tensor x = ones({2, 3});
  BOOST_TEST(broadcast_to(x, {2, 3}).is_same(x));
  BOOST_TEST(sum_to(x, {2, 3}).is_same(x));
}

BOOST_AUTO_TEST_CASE(a_row_longer_than_a_task_is_copied_whole) {
  const Tensor x = to(arange(100'001), f32);
  BOOST_TEST(all_close(broadcast_to(x, {1, 100'001}), values(x), 0));
  BOOST_TEST(all_close(broadcast_to(tensor({7}), {100'001}), std::vector<double>(100'001, 7), 0));
}

BOOST_AUTO_TEST_CASE(extents_of_zero_take_part) {
  BOOST_TEST(broadcast_to(ones({1}), {0}).shape() == Shape({0}));
  BOOST_TEST(all_close(sum_to(zeros({0}), {1}), {0}, 0));
  BOOST_TEST(all_close(sum_to(zeros({2, 0, 3}), {3}), {0, 0, 0}, 0));
}

BOOST_AUTO_TEST_CASE(what_does_not_broadcast_is_refused_with_both_shapes) {
  BOOST_TEST(error<std::invalid_argument>([] { (void)broadcast_to(ones({2}), {3}); }) ==
             "broadcast_to: extents must be equal or 1, aligned at the last dimension; got [2] for [3]");
  BOOST_TEST(error<std::invalid_argument>([] {
               (void)broadcast_to(ones({2, 3}), {3});
             }) == "broadcast_to: extents must be equal or 1, aligned at the last dimension; got [2, 3] for [3]");
  BOOST_TEST(error<std::invalid_argument>([] {
               (void)sum_to(ones({2, 3}), {2});
             }) == "sum_to: the shape must be one that broadcasts to [2, 3]; got [2]");
}

BOOST_AUTO_TEST_SUITE_END()
