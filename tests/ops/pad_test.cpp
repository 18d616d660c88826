#include <tapestry/ops/pad.h>

#include <support/expect.h>
#include <support/op_table.h>

#include <stdexcept>

#include <tapestry/autograd/backward.h>
#include <tapestry/ops/cast.h>

/// Modes of pad; constants and crops are tested with their transpose, slice, in shape_ops_test.cpp.
using namespace tapestry;
using namespace tapestry::test;

namespace {

using In = const std::vector<Tensor>&;

OpSpec row(const char* variant, PadMode mode) {
  return {.op = "pad",
          .variant = variant,
          .inputs =
              [](Generator& g) {
                return std::vector{sample(g, {3, 4})};
              },
          .f =
              [mode](In x) {
                return pad(x[0], {{2, 1}, {3, -1}}, {.mode = mode});
              },
          .first_order_linear = true};
}

const OpRows rows{row("replicate, cropping one side", PadMode::replicate),
                  row("circular, cropping one side", PadMode::circular)};

Tensor line(std::initializer_list<int> values_of) { return tensor(values_of); }

std::string refused(const Tensor& x, std::pair<Index, Index> widths, PadMode mode) {
  return error<std::invalid_argument>([&] { (void)pad(x, {widths}, {.mode = mode}); });
}

}  // namespace

BOOST_AUTO_TEST_SUITE(pad_test)

BOOST_AUTO_TEST_CASE(reflection_does_not_repeat_the_border) {
  const PadOptions reflect{.mode = PadMode::reflect};
  BOOST_TEST(all_close(pad(line({1, 2, 3}), {{2, 1}}, reflect), {3, 2, 1, 2, 3, 2}, 0));
  BOOST_TEST(all_close(pad(line({1, 2, 3, 4}), {{2, -1}}, reflect), {3, 2, 1, 2, 3}, 0));
  BOOST_TEST(all_close(pad(line({7, 1, 2, 3}), {{-1, 2}}, reflect), {1, 2, 3, 2, 1}, 0));
}

BOOST_AUTO_TEST_CASE(replication_repeats_the_border_as_often_as_one_likes) {
  const PadOptions replicate{.mode = PadMode::replicate};
  BOOST_TEST(all_close(pad(line({1, 2, 3}), {{2, 1}}, replicate), {1, 1, 1, 2, 3, 3}, 0));
  BOOST_TEST(all_close(pad(line({1, 2}), {{0, 5}}, replicate), {1, 2, 2, 2, 2, 2, 2}, 0));
  BOOST_TEST(all_close(pad(line({1, 2, 3}), {{1, -1}}, replicate), {1, 1, 2}, 0));
  BOOST_TEST(all_close(pad(line({9, 1, 2}), {{-1, 1}}, replicate), {1, 2, 2}, 0));
}

BOOST_AUTO_TEST_CASE(a_circle_goes_on_at_the_other_side) {
  const PadOptions circular{.mode = PadMode::circular};
  BOOST_TEST(all_close(pad(line({1, 2, 3}), {{2, 1}}, circular), {2, 3, 1, 2, 3, 1}, 0));
  BOOST_TEST(all_close(pad(line({1, 2, 3}), {{3, 3}}, circular), {1, 2, 3, 1, 2, 3, 1, 2, 3}, 0));
  BOOST_TEST(all_close(pad(line({1, 2, 3}), {{1, -1}}, circular), {2, 1, 2}, 0));
}

BOOST_AUTO_TEST_CASE(gradients_add_up_where_an_element_is_repeated) {
  const Tensor x = tensor({1.0, 2.0, 3.0}, {.dtype = f64, .requires_grad = true});
  const auto gradient = [&](PadMode mode) {
    const Tensor y = pad(x, {{2, 1}}, {.mode = mode});
    return values(grad(y, x, {.grad_outputs = {ones_like(y)}}));
  };
  BOOST_TEST(gradient(PadMode::reflect) == (std::vector<double>{1, 3, 2}));
  BOOST_TEST(gradient(PadMode::replicate) == (std::vector<double>{3, 1, 2}));
  BOOST_TEST(gradient(PadMode::circular) == (std::vector<double>{2, 2, 2}));
}

BOOST_AUTO_TEST_CASE(images_are_padded_by_rows_and_columns_in_every_dtype) {
  for (const Dtype dtype : {f32, f64, bf16, i64, i32, u8, boolean}) {
    const Tensor x = to(tensor({1, 0, 1, 1}), dtype);
    const Tensor image = tensor({1, 0, 1, 1}, {.dtype = dtype});
    const Tensor y = pad(image, {{1, 1}}, {.mode = PadMode::circular});
    BOOST_TEST(all_close(y, {1, 1, 0, 1, 1, 1}, 0), dtype);
    BOOST_TEST((y.dtype() == x.dtype()));
  }
}

BOOST_AUTO_TEST_CASE(widths_that_a_mode_does_not_reach_are_refused) {
  const Tensor x = line({1, 2, 3});
  BOOST_TEST(refused(x, {3, 0}, PadMode::reflect) ==
             "pad: a reflected width must be at most 2 beside an extent of 3; got (3, 0) in dim 0");
  BOOST_TEST(refused(x, {0, 4}, PadMode::circular) ==
             "pad: a circular width must be at most 3 beside an extent of 3; got (0, 4) in dim 0");
  BOOST_TEST(refused(zeros({0}), {1, 0}, PadMode::replicate) ==
             "pad: a replicated width must be at most 0 beside an extent of 0; got (1, 0) in dim 0");
}

BOOST_AUTO_TEST_SUITE_END()
