#include <tapestry/ops/autocast.h>

#include <boost/test/unit_test.hpp>
#include <thread>
#include <vector>

#include <support/expect.h>
#include <tapestry/autograd/backward.h>
#include <tapestry/autograd/base/parallel.h>
#include <tapestry/autograd/random.h>
#include <tapestry/ops/activation.h>
#include <tapestry/ops/binary.h>
#include <tapestry/ops/cast.h>
#include <tapestry/ops/conv2d.h>
#include <tapestry/ops/cross_entropy.h>
#include <tapestry/ops/kernels/gemm/testing.h>
#include <tapestry/ops/matmul.h>
#include <tapestry/ops/norm.h>
#include <tapestry/ops/pool2d.h>
#include <tapestry/ops/shape_ops.h>

using namespace tapestry;
using namespace tapestry::test;

BOOST_AUTO_TEST_SUITE(autocast_test)

namespace {

Tensor normal(const Shape& shape, std::uint64_t seed) {
  Generator generator(seed);
  return randn(shape, {.generator = &generator});
}

Tensor parameter(const Shape& shape, std::uint64_t seed) { return normal(shape, seed).requires_grad(true); }

/// Whether every element could be a bf16.
bool is_rounded(const Tensor& x) { return same_bits(to(to(x, bf16), f32), x); }

}  // namespace

BOOST_AUTO_TEST_CASE(products_give_bf16_and_everything_else_takes_it) {
  const Tensor x = normal({8, 8, 8, 3}, 1), labels = tensor({0, 1, 2, 3, 0, 1, 2, 3});
  const Tensor w1 = parameter({16, 3, 3, 3}, 2), scale = ones({16}).requires_grad(true), shift = parameter({16}, 3);
  const Tensor w2 = parameter({16, 3, 3, 16}, 4), b2 = parameter({16}, 5);
  const Tensor w3 = (0.01 * normal({4, 256}, 6)).requires_grad(true), b3 = parameter({4}, 7);
  Tensor loss;
  {
    const Autocast scope(bf16);
    const Tensor a = conv2d(x, w1, {}, {.padding = 1});
    BOOST_TEST(a.dtype() == bf16);
    const Tensor b = relu(batch_norm(a, {.weight = scale, .bias = shift}, {.training = true}));
    BOOST_TEST(b.dtype() == bf16);
    const Tensor c = relu(conv2d(b, w2, b2, {.padding = 1}) + b);
    BOOST_TEST(c.dtype() == bf16);
    const Tensor logits = linear(flatten(max_pool2d(c, {.kernel = 2}), {.start_dim = 1}), w3, b3);
    BOOST_TEST(logits.dtype() == bf16);
    loss = cross_entropy(logits, labels);
    BOOST_TEST(loss.dtype() == f32);
  }
  loss.backward();  // outside the scope
  for (const Tensor& p : {w1, scale, shift, w2, b2, w3, b3}) {
    BOOST_TEST(p.grad().dtype() == f32);
    BOOST_TEST(p.grad().shape() == p.shape());
    BOOST_TEST(!is_rounded(p.grad()));  // sums in f32 reach the master weights
  }
}

BOOST_AUTO_TEST_CASE(gradients_are_those_of_f32_but_for_the_rounding_of_operands) {
  const auto gradients = [](bool lower) {
    const Tensor x = parameter({6, 7, 7, 5}, 1), w = parameter({12, 3, 3, 5}, 2), b = parameter({12}, 3),
                 v = parameter({9, 12}, 4), u = parameter({9}, 5);
    Tensor y;
    {
      const Autocast scope(lower ? bf16 : f32);
      y = linear(conv2d(x, w, b, {.padding = 1}), v, u);
    }
    BOOST_TEST(y.dtype() == (lower ? bf16 : f32));
    backward(y, {.gradient = to(normal(y.shape(), 6), y.dtype())});
    return std::vector<Tensor>{to(y.detach(), f32), x.grad(), w.grad(), b.grad(), v.grad(), u.grad()};
  };
  for (const bool products : {true, false}) {
    kernels::enable_bf16_products(products);
    const auto got = gradients(true), expected = gradients(false);
    for (std::size_t i = 0; i < got.size(); ++i) {
      BOOST_TEST(got[i].dtype() == f32);
      double difference = 0, size = 0;
      const auto a = values(got[i]), b = values(expected[i]);
      for (std::size_t k = 0; k < a.size(); ++k) {
        difference += (a[k] - b[k]) * (a[k] - b[k]);
        size += b[k] * b[k];
      }
      const double error = std::sqrt(difference / size);
      BOOST_TEST(error < 8e-3, "result " << i << ": " << error);
      BOOST_TEST(error > 5e-4, "result " << i << ": " << error);  // or nothing was rounded
    }
  }
  kernels::enable_bf16_products(true);
}

BOOST_AUTO_TEST_CASE(scopes_nest_and_belong_to_a_thread) {
  const Tensor a = ones({2, 3}), b = ones({3, 4});
  const auto result = [&] { return matmul(a, b).dtype(); };
  BOOST_TEST(!is_autocast_enabled());
  {
    const Autocast outer(bf16);
    BOOST_TEST(result() == bf16);
    {
      const Autocast inner(f32);
      BOOST_TEST(result() == f32);
    }
    BOOST_TEST(result() == bf16);
    Dtype beside = i64;
    std::thread([&] { beside = result(); }).join();
    BOOST_TEST(beside == f32);
  }
  BOOST_TEST(result() == f32);
}

BOOST_AUTO_TEST_CASE(backward_within_the_scope_gives_the_same_bits) {
  const auto gradient = [](bool within) {
    const Tensor x = normal({6, 10}, 1), w = parameter({7, 10}, 2), v = parameter({3, 7}, 3);
    const Autocast scope(bf16);
    const Tensor y = linear(relu(linear(x, w)), v);
    const Autocast rest(within ? bf16 : f32);
    backward(y, {.gradient = to(ones(y.shape()), bf16)});
    return w.grad();
  };
  BOOST_TEST(same_bits(gradient(true), gradient(false)));
}

BOOST_AUTO_TEST_CASE(f64_and_integers_are_left_alone) {
  const Autocast scope(bf16);
  BOOST_TEST(matmul(ones({2, 3}, {.dtype = f64}), ones({3, 4}, {.dtype = f64})).dtype() == f64);
  BOOST_TEST(conv2d(ones({1, 3, 3, 1}, {.dtype = f64}), ones({1, 1, 1, 1}, {.dtype = f64})).dtype() == f64);
  BOOST_TEST(error<std::invalid_argument>([] {
               (void)matmul(ones({2, 3}), ones({3, 4}, {.dtype = f64}));
             }) == "matmul: the dtypes must be equal; got f32 and f64, convert one with to(x, f32)");
  BOOST_TEST(error<std::invalid_argument>([] {
               (void)linear(arange(3), ones({4, 3}));
             }) == "linear: the dtype must be f32, f64 or bf16; got i64, convert it with to(x, f32)");
}

BOOST_AUTO_TEST_CASE(second_derivatives_work_through_mixed_dtypes) {
  const Autocast scope(bf16);
  const Tensor x = parameter({2, 5, 5, 2}, 1), w = parameter({3, 3, 3, 2}, 2), v = parameter({4, 75}, 3);
  const Tensor y = linear(flatten(conv2d(x, w, {}, {.padding = 1}), {.start_dim = 1}), v);
  const Tensor dx = grad(y, x, {.grad_outputs = {to(ones(y.shape()), bf16)}, .create_graph = true});
  BOOST_TEST(dx.dtype() == f32);
  const auto second = grad({dx}, {w, v}, {.grad_outputs = {ones(dx.shape())}});
  BOOST_TEST(second[0].dtype() == f32);
  BOOST_TEST(second[1].dtype() == f32);
}

BOOST_AUTO_TEST_CASE(other_dtypes_are_refused) {
  BOOST_TEST(error<std::invalid_argument>([] { const Autocast scope(f64); }) ==
             "Autocast: the dtype must be bf16, or f32 for none; got f64");
  BOOST_TEST(!is_autocast_enabled());
}

BOOST_AUTO_TEST_SUITE_END()
