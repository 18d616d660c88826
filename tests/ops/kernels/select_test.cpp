#include <tapestry/ops/kernels/conv2d/select.h>
#include <tapestry/ops/kernels/gemm/select.h>
#include <tapestry/ops/kernels/gemm/testing.h>

#include <ops/kernels/conv2d_cases.h>
#include <boost/test/unit_test.hpp>

#include <ostream>

namespace tapestry::kernels {

inline std::ostream& operator<<(std::ostream& out, Conv2dMethod method) {
  const char* const names[] = {"product", "depthwise", "tiles", "winograd", "pair_product", "pair_tiles"};
  return out << names[static_cast<int>(method)];
}

}  // namespace tapestry::kernels

namespace {

using namespace tapestry;
using namespace tapestry::test;
using kernels::Precision;
using Method = kernels::Conv2dMethod;
using Pass = kernels::Conv2dPass;

constexpr Pass kPasses[] = {Pass::forward, Pass::input_grad, Pass::weight_grad};
constexpr Precision kPrecisions[] = {Precision::highest, Precision::high, Precision::medium};

Method select(Pass pass, const Conv2dShape& s, Dtype dtype, Precision precision = Precision::highest) {
  return kernels::select_conv2d(pass, s, dtype, dtype, precision);
}

const Conv2dShape kDense = shape(128, 32, 32, 64, 64, 3, 3, same(1));
const Conv2dShape kPointwise = shape(128, 32, 32, 64, 64, 1, 1, same(0));
const Conv2dShape kDepthwise = shape(128, 32, 32, 64, 64, 3, 3, same(1, 1, 64));

BOOST_AUTO_TEST_SUITE(select_test)

BOOST_AUTO_TEST_CASE(at_the_highest_precision_shapes_alone_decide) {
  for (const Dtype dtype : {f32, f64}) {
    for (const Pass pass : kPasses) {
      BOOST_TEST(select(pass, kDense, dtype) == Method::tiles);
      BOOST_TEST(select(pass, kDepthwise, dtype) == Method::depthwise);
      BOOST_TEST(select(pass, kPointwise, dtype) == (pass == Pass::weight_grad ? Method::tiles : Method::product));
      BOOST_TEST(select(pass, shape(2, 8, 8, 12, 20, 3, 3, same(1, 1, 4)), dtype) == Method::tiles);
      BOOST_TEST(select(pass, shape(2, 8, 8, 5, 15, 3, 3, same(1, 1, 5)), dtype) == Method::tiles);  // 3 filters each
      BOOST_TEST(select(pass, shape(2, 8, 8, 1, 1, 3, 3, same(1)), dtype) == Method::tiles);  // one channel: no groups
    }
  }
}

BOOST_AUTO_TEST_CASE(a_matrix_product_has_one_tap_no_stride_no_padding_and_one_group) {
  for (const Conv2dShape& s : {shape(2, 8, 8, 6, 4, 1, 1, same(0, 2)), shape(2, 8, 8, 6, 4, 1, 1, same(1)),
                               shape(2, 8, 8, 6, 4, 1, 2, same(0)), shape(2, 8, 8, 6, 4, 2, 1, same(0)),
                               shape(2, 8, 8, 6, 4, 1, 1, same(0, 1, 2))}) {
    BOOST_TEST(select(Pass::forward, s, f32) == Method::tiles);
  }
}

BOOST_AUTO_TEST_CASE(bf16_operands_are_multiplied_in_pairs_wherever_there_are_pairs) {
  for (const Precision precision : kPrecisions) {
    for (const Pass pass : kPasses) {
      BOOST_TEST(select(pass, kDense, bf16, precision) == Method::pair_tiles);
      BOOST_TEST(select(pass, kDepthwise, bf16, precision) == Method::depthwise);
      BOOST_TEST(select(pass, kPointwise, bf16, precision) ==
                 (pass == Pass::weight_grad ? Method::pair_tiles : Method::pair_product));
    }
    const Conv2dShape odd_in = shape(2, 8, 8, 6, 8, 3, 3, same(1, 1, 2)),
                      odd_out = shape(2, 8, 8, 8, 6, 3, 3, same(1, 1, 2));
    BOOST_TEST(select(Pass::forward, odd_in, bf16, precision) == Method::tiles);
    BOOST_TEST(select(Pass::input_grad, odd_in, bf16, precision) == Method::pair_tiles);
    BOOST_TEST(select(Pass::weight_grad, odd_in, bf16, precision) == Method::pair_tiles);
    BOOST_TEST(select(Pass::forward, odd_out, bf16, precision) == Method::pair_tiles);
    BOOST_TEST(select(Pass::input_grad, odd_out, bf16, precision) == Method::tiles);
    BOOST_TEST(select(Pass::forward, shape(2, 8, 8, 3, 8, 3, 3, same(1)), bf16, precision) == Method::pair_tiles);
    BOOST_TEST(kernels::select_conv2d(Pass::forward, kDense, bf16, f32, precision) == Method::pair_tiles);
  }
}

BOOST_AUTO_TEST_CASE(at_high_precision_only_small_dense_kernels_with_enough_channels_and_pixels_are_worth_a_transform) {
  const auto is_winograd = [](const Conv2dShape& s) {
    const Method method = select(Pass::forward, s, f32, Precision::high);
    for (const Pass pass : kPasses)
      BOOST_TEST((select(pass, s, f32, Precision::high) == Method::winograd) == (method == Method::winograd));
    return method == Method::winograd;
  };
  BOOST_TEST(is_winograd(kDense));
  BOOST_TEST(is_winograd(shape(128, 4, 4, 512, 512, 3, 3, same(1))));
  BOOST_TEST(!is_winograd(shape(128, 2, 2, 512, 512, 3, 3, same(1))));  // nine taps of which four count
  BOOST_TEST(!is_winograd(shape(128, 32, 32, 3, 64, 3, 3, same(1))));
  BOOST_TEST(!is_winograd(shape(1, 4, 4, 512, 512, 3, 3, same(1))));  // taps are transformed for four squares
  BOOST_TEST(!is_winograd(shape(128, 32, 32, 64, 64, 3, 3, same(1, 2))));
  BOOST_TEST(!is_winograd(shape(128, 32, 32, 64, 64, 3, 3, same(1, 1, 2))));
  BOOST_TEST(!is_winograd(shape(128, 32, 32, 64, 64, 5, 5, same(2))));
  BOOST_TEST(!is_winograd(shape(128, 32, 32, 64, 64, 3, 3, {.dilation_h = 2, .dilation_w = 2})));
  BOOST_TEST(!is_winograd(shape(0, 32, 32, 64, 64, 3, 3, same(1))));
  BOOST_TEST(select(Pass::forward, kDense, f64, Precision::high) == Method::tiles);
}

BOOST_AUTO_TEST_CASE(at_medium_precision_f32_is_rounded_where_the_cpu_and_the_number_of_products_make_it_pay) {
  const bool has = kernels::has_bf16_products();
  for (const Pass pass : kPasses) {
    BOOST_TEST(select(pass, kDense, f32, Precision::medium) == (has ? Method::pair_tiles : Method::winograd));
    BOOST_TEST(select(pass, kDepthwise, f32, Precision::medium) == Method::depthwise);  // nine products an element
    BOOST_TEST(select(pass, kDense, f64, Precision::medium) == Method::tiles);
  }
  const Conv2dShape narrow = shape(128, 32, 32, 64, 8, 1, 1, same(0));  // eight products an element of x
  BOOST_TEST(select(Pass::forward, narrow, f32, Precision::medium) == Method::product);
  kernels::enable_bf16_products(false);
  for (const Pass pass : kPasses) BOOST_TEST(select(pass, kDense, f32, Precision::medium) == Method::winograd);
  kernels::enable_bf16_products(true);
}

BOOST_AUTO_TEST_CASE(matrix_products_are_of_bf16_where_one_side_is_or_where_they_may_and_the_cpu_has_them) {
  using kernels::multiplies_as_bf16;
  for (const Precision precision : kPrecisions) {
    BOOST_TEST(!multiplies_as_bf16(f64, f64, f64, precision));
    BOOST_TEST(multiplies_as_bf16(bf16, f32, f32, precision));
    BOOST_TEST(multiplies_as_bf16(f32, bf16, f32, precision));
    BOOST_TEST(multiplies_as_bf16(f32, f32, bf16, precision));
    BOOST_TEST(multiplies_as_bf16(f32, f32, f32, precision) ==
               (precision == Precision::medium && kernels::has_bf16_products()));
  }
}

BOOST_AUTO_TEST_SUITE_END()

}  // namespace
