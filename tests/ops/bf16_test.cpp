// Tensors of bf16 in ops that have kernels for them.
#include <boost/test/unit_test.hpp>
#include <cmath>
#include <functional>
#include <string>
#include <vector>

#include <support/expect.h>
#include <tapestry/autograd/backward.h>
#include <tapestry/autograd/random.h>
#include <tapestry/ops/activation.h>
#include <tapestry/ops/binary.h>
#include <tapestry/ops/cast.h>
#include <tapestry/ops/compare.h>
#include <tapestry/ops/conv2d.h>
#include <tapestry/ops/dropout.h>
#include <tapestry/ops/kernels/gemm/testing.h>
#include <tapestry/ops/loss.h>
#include <tapestry/ops/matmul.h>
#include <tapestry/ops/norm.h>
#include <tapestry/ops/pool2d.h>
#include <tapestry/ops/reduce.h>
#include <tapestry/ops/softmax.h>
#include <tapestry/ops/unary.h>

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

BOOST_AUTO_TEST_CASE(elementwise_ops_compute_in_f32_and_round) {
  const Tensor x = normal({5, 7, 2051}, 1), y = normal({5, 7, 2051}, 2), row = normal({2051}, 3),
               wide = normal({40000}, 4);
  using Unary = Tensor (*)(const Tensor&, Here);
  const std::pair<const char*, Unary> unaries[] = {{"relu", relu},
                                                   {"silu", silu},
                                                   {"relu6", relu6},
                                                   {"neg", neg},
                                                   {"selu", selu},
                                                   {"mish", mish},
                                                   {"softsign", softsign},
                                                   {"abs", abs},
                                                   {"exp", exp},
                                                   {"hardswish", hardswish},
                                                   {"hardsigmoid", hardsigmoid},
                                                   {"logsigmoid", logsigmoid}};
  for (const auto& [name, op] : unaries) {
    agrees_with_f64(
        name, [op = op](const auto& in) { return op(in[0], {}); }, {x}, bf16, 2);
    agrees_with_f64(
        name, [op = op](const auto& in) { return op(in[0], {}); }, {wide}, bf16, 2);
  }
  agrees_with_f64(
      "softplus", [](const auto& in) { return softplus(in[0]); }, {x}, bf16, 2);
  agrees_with_f64(
      "leaky_relu", [](const auto& in) { return leaky_relu(in[0]); }, {x}, bf16, 2);
  agrees_with_f64("elu", [](const auto& in) { return elu(in[0]); }, {x});
  agrees_with_f64("gelu", [](const auto& in) { return gelu(in[0]); }, {x});
  agrees_with_f64("gelu, tanh", [](const auto& in) { return gelu(in[0], {.approximate = GeluApproximation::tanh}); },
                  {x});
  agrees_with_f64("add", [](const auto& in) { return in[0] + in[1]; }, {x, y});
  agrees_with_f64(
      "add a row", [](const auto& in) { return in[0] + in[1]; }, {x, row}, bf16, 2);
  agrees_with_f64("add a number", [](const auto& in) { return in[0] + 0.5; }, {x});
  agrees_with_f64("sub", [](const auto& in) { return 2 - in[0]; }, {x});
  agrees_with_f64("mul", [](const auto& in) { return in[0] * in[1]; }, {x, y});
  agrees_with_f64(
      "div", [](const auto& in) { return in[0] / (in[1] * in[1] + 1); }, {x, y}, bf16, 8);
  agrees_with_f64("maximum", [](const auto& in) { return maximum(in[0], in[1]); }, {x, y});
  agrees_with_f64("where", [](const auto& in) { return where(gt(in[0], 0), in[0], in[1]); }, {x, y});
}

BOOST_AUTO_TEST_CASE(pooling_takes_bf16) {
  const Tensor x = normal({3, 9, 8, 21}, 1);
  agrees_with_f64("max_pool2d", [](const auto& in) { return max_pool2d(in[0], {.kernel = 2}); }, {x});
  agrees_with_f64("max_pool2d, overlapping",
                  [](const auto& in) { return max_pool2d(in[0], {.kernel = 3, .stride = 2, .padding = 1}); }, {x});
  agrees_with_f64("max_pool2d, many taps",
                  [](const auto& in) { return max_pool2d(in[0], {.kernel = 17, .stride = 1, .padding = 8}); },
                  {normal({1, 17, 17, 2}, 2)});
  agrees_with_f64("avg_pool2d",
                  [](const auto& in) { return avg_pool2d(in[0], {.kernel = 3, .stride = 2, .padding = 1}); }, {x});
  agrees_with_f64("global_avg_pool2d", [](const auto& in) { return global_avg_pool2d(in[0]); }, {x});
}

BOOST_AUTO_TEST_CASE(reductions_and_losses_of_bf16_are_f32) {
  const Tensor x = normal({6, 10}, 1), y = normal({6, 10}, 2), labels = tensor({1, 0, 9, 4, 4, 7});
  agrees_with_f64(
      "sum", [](const auto& in) { return sum(in[0], {.dim = 0}); }, {x}, f32);
  agrees_with_f64(
      "mean", [](const auto& in) { return mean(in[0]); }, {x}, f32);
  agrees_with_f64(
      "var", [](const auto& in) { return var(in[0]); }, {x}, f32);
  agrees_with_f64(
      "amax", [](const auto& in) { return amax(in[0], {.dim = 1}); }, {x}, f32);
  agrees_with_f64(
      "norm", [](const auto& in) { return norm(in[0]); }, {x}, f32);
  agrees_with_f64(
      "softmax", [](const auto& in) { return softmax(in[0]); }, {x}, f32);
  agrees_with_f64(
      "log_softmax", [](const auto& in) { return log_softmax(in[0]); }, {x}, f32);
  agrees_with_f64(
      "cross_entropy", [&](const auto& in) { return cross_entropy(in[0], labels); }, {x}, f32);
  agrees_with_f64(
      "nll_loss", [&](const auto& in) { return nll_loss(in[0], labels); }, {x}, f32);
  agrees_with_f64(
      "mse_loss", [](const auto& in) { return mse_loss(in[0], in[1]); }, {x, y}, f32);
  agrees_with_f64(
      "l1_loss", [](const auto& in) { return l1_loss(in[0], in[1]); }, {x, y}, f32);
  agrees_with_f64(
      "huber_loss", [](const auto& in) { return huber_loss(in[0], in[1]); }, {x, y}, f32);
  agrees_with_f64(
      "binary_cross_entropy_with_logits", [](const auto& in) { return binary_cross_entropy_with_logits(in[0], in[1]); },
      {x, y}, f32);
  BOOST_TEST(all_close(values(argmax(to(x, bf16), {.dim = 1})), values(argmax(to(to(x, bf16), f32), {.dim = 1})), 0));
  BOOST_TEST(mse_loss(to(x, bf16), y).dtype() == f32);  // a target need not be converted
}

BOOST_AUTO_TEST_CASE(dropout_of_bf16_drops_what_it_drops_of_f32) {
  const Tensor x = to(normal({40, 50}, 1), bf16);
  Generator a(1), b(1);
  const Tensor dropped = dropout(x, {.p = 0.5, .training = true, .generator = &a});
  BOOST_TEST(dropped.dtype() == bf16);
  BOOST_TEST(same_bits(dropped, to(dropout(to(x, f32), {.p = 0.5, .training = true, .generator = &b}), bf16)));
  BOOST_TEST(dropout(x, {.training = false}).is_same(x));
}

namespace {

/// batch_norm of bf16 beside f32 parameters; x and dy are what f64 sees as well.
struct NormCase {
  Tensor x, weight, bias, mean, var;
  explicit NormCase(const Shape& shape)
      : x(to(normal(shape, 1) * 2 + 3, bf16)),
        weight(normal({shape[shape.rank() - 1]}, 2)),
        bias(normal({shape[shape.rank() - 1]}, 3)),
        mean(full({shape[shape.rank() - 1]}, 0.25)),
        var(full({shape[shape.rank() - 1]}, 2.0)) {}

  /// y, dx, dweight, dbias, running mean and variance.
  [[nodiscard]] std::vector<Tensor> run(bool training, Dtype dtype) const {
    const Dtype statistics = dtype == bf16 ? f32 : dtype;
    Tensor leaf = to(x, dtype).detach(), w = clone(to(weight, statistics)).detach(),
           b = clone(to(bias, statistics)).detach();
    for (Tensor* t : {&leaf, &w, &b}) t->requires_grad(true);
    const Tensor running_mean = clone(to(mean, statistics)), running_var = clone(to(var, statistics));
    const Tensor y =
        batch_norm(leaf, {.running_mean = running_mean, .running_var = running_var, .weight = w, .bias = b},
                   {.training = training});
    backward(y, {.gradient = to(to(normal(x.shape(), 4), bf16), dtype)});
    return {y.detach(), leaf.grad(), w.grad(), b.grad(), running_mean, running_var};
  }
};

}  // namespace

BOOST_AUTO_TEST_CASE(batch_norm_takes_bf16_beside_f32_parameters_and_keeps_f32_statistics) {
  for (const Shape& shape : {Shape{40, 9, 9, 3}, Shape{33, 5, 5, 64}, Shape{17, 1100}, Shape{5, 1, 2, 7}}) {
    const NormCase norm(shape);
    for (const bool training : {true, false}) {
      const auto got = norm.run(training, bf16), expected = norm.run(training, f64);
      for (std::size_t i = 0; i < got.size(); ++i) {
        const bool per_element = i < 2;
        BOOST_TEST(got[i].dtype() == (per_element ? bf16 : f32));
        // Per channel nothing has been rounded to bf16.
        BOOST_TEST(
            all_close(values(got[i]), values(expected[i]), per_element ? 1.0 / 256 : 1e-5, per_element ? 1e-3 : 1e-4),
            to_string(shape) << " result " << i << (training ? ", training" : ""));
      }
    }
  }
}

BOOST_AUTO_TEST_CASE(batch_norm_refuses_bf16_parameters) {
  const Tensor x = to(ones({4, 3}), bf16), wrong = to(ones({3}), bf16);
  BOOST_TEST(error<std::invalid_argument>([&] { (void)batch_norm(x, {.weight = wrong}, {.training = true}); }) ==
             "batch_norm: weight must be f32 beside a bf16 input; got bf16, convert it with to(x, f32)");
}

BOOST_AUTO_TEST_CASE(ops_without_bf16_name_themselves_and_the_way_out) {
  const Tensor x = to(ones({4, 6}), bf16);
  BOOST_TEST(error<std::invalid_argument>([&] { (void)layer_norm(x, {6}); }) ==
             "layer_norm: the dtype must be f32 or f64; got bf16, convert it with to(x, f32)");
  BOOST_TEST(error<std::invalid_argument>([&] { (void)normalize(x); }) ==
             "normalize: the dtype must be f32 or f64; got bf16, convert it with to(x, f32)");
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
