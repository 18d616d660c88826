// Tensors of bf16 in ops that have kernels for them.
#include <boost/test/unit_test.hpp>
#include <cmath>
#include <functional>
#include <string>
#include <vector>

#include <support/expect.h>
#include <tapestry/autograd/backward.h>
#include <tapestry/autograd/random.h>
#include <tapestry/ops/cast.h>
#include <tapestry/ops/conv2d.h>
#include <tapestry/ops/kernels/bf16.h>
#include <tapestry/ops/matmul.h>

using namespace tapestry;
using namespace tapestry::test;

BOOST_AUTO_TEST_SUITE(bf16_test)

namespace {

using Op = std::function<Tensor(const std::vector<Tensor>&)>;

/// Value and gradients of an op, from the same numbers in another dtype.
std::vector<Tensor> value_and_gradients(const Op& op, const std::vector<Tensor>& inputs, Dtype dtype) {
  std::vector<Tensor> leaves;
  for (const Tensor& x : inputs) {
    leaves.push_back(is_float(x.dtype()) ? to(x, dtype).detach() : x);
    if (is_float(x.dtype())) leaves.back().requires_grad(true);
  }
  Tensor y = op(leaves);
  Generator generator(9);
  const Tensor dy = to(to(randn(y.shape(), {.generator = &generator}), bf16), y.dtype());
  backward(y, {.gradient = dy});
  std::vector<Tensor> all{y.detach()};
  for (const Tensor& x : leaves) {
    if (x.requires_grad()) all.push_back(x.grad());
  }
  return all;
}

/// The op on bf16 tensors gives what it gives in f64 for the same numbers, but for `units` roundings of the result to
/// bf16 (2^-8 of the largest value each), in value and in every gradient; and every result has the dtype of its place.
void agrees_with_f64(const std::string& name, const Op& op, const std::vector<Tensor>& inputs, Dtype result = bf16,
                     double units = 1) {
  std::vector<Tensor> rounded;
  for (const Tensor& x : inputs) rounded.push_back(is_float(x.dtype()) ? to(x, bf16) : x);
  const auto got = value_and_gradients(op, rounded, bf16), expected = value_and_gradients(op, rounded, f64);
  for (std::size_t i = 0; i < got.size(); ++i) {
    BOOST_TEST(got[i].dtype() == (i == 0 ? result : bf16), name << ", result " << i);
    double largest = 0;
    for (const double v : values(expected[i])) largest = std::max(largest, std::abs(v));
    BOOST_TEST(all_close(values(got[i]), values(expected[i]), units / 256, units * largest / 2048),
               name << ", result " << i);
  }
}

Tensor normal(const Shape& shape, std::uint64_t seed) {
  Generator generator(seed);
  return randn(shape, {.generator = &generator});
}

/// On VDPBF16PS where the CPU has it, and without.
template <class F>
void with_and_without_products(const F& f) {
  for (const bool enabled : {true, false}) {
    kernels::enable_bf16_products(enabled);
    BOOST_TEST_CONTEXT((kernels::has_bf16_products() ? "VDPBF16PS" : "widened")) f();
  }
  kernels::enable_bf16_products(true);
}

}  // namespace

BOOST_AUTO_TEST_CASE(convolutions_and_products_round_their_result_once) {
  with_and_without_products([] {
    for (const Conv2dOptions& options : {Conv2dOptions{}, Conv2dOptions{.stride = 2, .padding = 1},
                                         Conv2dOptions{.padding = 1, .groups = 2}, Conv2dOptions{.padding = 1}}) {
      const Tensor w = normal({8, 3, 3, 6 / options.groups}, 2);  // an odd group with two groups
      agrees_with_f64("conv2d", [&](const auto& in) { return conv2d(in[0], in[1], in[2], options); },
                      {normal({3, 7, 6, 6}, 1), w, normal({8}, 3)});
    }
    agrees_with_f64("stem", [](const auto& in) { return conv2d(in[0], in[1], {}, {.padding = 1}); },
                    {normal({3, 7, 6, 3}, 1), normal({7, 3, 3, 3}, 2)});
    agrees_with_f64("depthwise", [](const auto& in) { return conv2d(in[0], in[1], {}, {.padding = 1, .groups = 4}); },
                    {normal({3, 7, 6, 4}, 1), normal({4, 3, 3, 1}, 2)});
    agrees_with_f64("linear", [](const auto& in) { return linear(in[0], in[1], in[2]); },
                    {normal({4, 3, 33}, 1), normal({10, 33}, 2), normal({10}, 3)});
    agrees_with_f64("matmul", [](const auto& in) { return matmul(in[0], in[1], {.transpose_a = true}); },
                    {normal({2, 19, 7}, 1), normal({2, 19, 10}, 2)});
    agrees_with_f64("matmul of one matrix", [](const auto& in) { return matmul(in[0], in[1]); },
                    {normal({2, 5, 20}, 1), normal({20, 10}, 2)});
    agrees_with_f64("matmul of a vector", [](const auto& in) { return matmul(in[0], in[1]); },
                    {normal({20}, 1), normal({3, 20, 10}, 2)});
  });
}

BOOST_AUTO_TEST_CASE(second_derivatives_stay_in_bf16) {
  Tensor x = to(normal({2, 4, 4, 2}, 1), bf16), w = to(normal({3, 3, 3, 2}, 2), bf16);
  x.requires_grad(true);
  w.requires_grad(true);
  const Tensor y = conv2d(x, w, {}, {.padding = 1});
  const Tensor dx = grad(y, x, {.grad_outputs = {y.detach()}, .create_graph = true});
  const Tensor ddw = grad(dx, w, {.grad_outputs = {x.detach()}});
  BOOST_TEST(ddw.dtype() == bf16);
  BOOST_TEST(ddw.shape() == w.shape());
}

BOOST_AUTO_TEST_CASE(dtypes_are_not_mixed_outside_autocast) {
  const Tensor x = to(ones({1, 4, 4, 2}), bf16), w = ones({3, 3, 3, 2});
  BOOST_TEST(error<std::invalid_argument>([&] { (void)conv2d(x, w); }) ==
             "conv2d: the dtypes must be equal; got bf16 and f32, convert one with to(x, bf16)");
  BOOST_TEST(error<std::invalid_argument>([&] {
               (void)linear(to(ones({2, 3}), bf16), ones({4, 3}));
             }) == "linear: the dtypes must be equal; got bf16 and f32, convert one with to(x, bf16)");
  BOOST_TEST(error<std::invalid_argument>([&] {
               (void)matmul(ones({2, 3}), to(ones({3, 4}), bf16));
             }) == "matmul: the dtypes must be equal; got f32 and bf16, convert one with to(x, f32)");
}

BOOST_AUTO_TEST_SUITE_END()
