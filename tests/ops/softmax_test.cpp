#include <support/expect.h>
#include <support/op_table.h>

#include <limits>
#include <stdexcept>

#include <tapestry/autograd/backward.h>
#include <tapestry/autograd/base/parallel.h>
#include <tapestry/autograd/grad_mode.h>
#include <tapestry/ops/binary.h>
#include <tapestry/ops/reduce.h>
#include <tapestry/ops/softmax.h>

using namespace tapestry;
using namespace tapestry::test;

namespace {

constexpr double inf = std::numeric_limits<double>::infinity();
constexpr double not_a_number = std::numeric_limits<double>::quiet_NaN();

/// softmax (or its logarithm) along the middle of [outer, n, inner], in plain double loops.
std::vector<double> naive(const std::vector<double>& x, Index outer, Index n, Index inner, bool log) {
  std::vector<double> y(x.size());
  for (Index o = 0; o < outer; ++o) {
    for (Index i = 0; i < inner; ++i) {
      const auto at = [&](Index k) { return static_cast<std::size_t>((o * n + k) * inner + i); };
      double most = -inf, sum = 0;
      for (Index k = 0; k < n; ++k) most = std::max(most, x[at(k)]);
      for (Index k = 0; k < n; ++k) sum += std::exp(x[at(k)] - most);
      for (Index k = 0; k < n; ++k) {
        y[at(k)] = log ? x[at(k)] - most - std::log(sum) : std::exp(x[at(k)] - most) / sum;
      }
    }
  }
  return y;
}

const OpRows rows{
    {.op = "softmax",
     .variant = "last dim",
     .inputs =
         [](Generator& g) {
           return std::vector{sample(g, {3, 5})};
         },
     .f = [](const std::vector<Tensor>& x) { return softmax(x[0]); }},
    {.op = "softmax",
     .variant = "middle dim",
     .inputs =
         [](Generator& g) {
           return std::vector{sample(g, {2, 3, 2})};
         },
     .f = [](const std::vector<Tensor>& x) { return softmax(x[0], {.dim = 1}); }},
    {.op = "log_softmax",
     .variant = "last dim",
     .inputs =
         [](Generator& g) {
           return std::vector{sample(g, {3, 5})};
         },
     .f = [](const std::vector<Tensor>& x) { return log_softmax(x[0]); }},
    {.op = "log_softmax",
     .variant = "first dim",
     .inputs =
         [](Generator& g) {
           return std::vector{sample(g, {3, 2, 2})};
         },
     .f = [](const std::vector<Tensor>& x) { return log_softmax(x[0], {.dim = 0}); }},
};

}  // namespace

BOOST_AUTO_TEST_SUITE(softmax_test)

BOOST_AUTO_TEST_CASE(values_agree_with_plain_loops_along_any_dimension_and_at_vector_edges) {
  Generator generator(1);
  for (const Index n : {1, 2, 7, 8, 9, 15, 16, 17, 31, 33, 50, 100}) {
    for (const Index inner : {1, 3, 17, 130}) {
      const Tensor x = sample(generator, {3, n, inner}, -5, 5);
      const Tensor x32 = tensor(std::vector<float>(x.data<double>(), x.data<double>() + x.numel()), x.shape());
      BOOST_TEST(all_close(softmax(x, {.dim = 1}), naive(values(x), 3, n, inner, false), 1e-13));
      BOOST_TEST(all_close(log_softmax(x, {.dim = 1}), naive(values(x), 3, n, inner, true), 1e-13, 1e-14));
      BOOST_TEST(all_close(softmax(x32, {.dim = 1}), naive(values(x32), 3, n, inner, false), 1.2e-6));
      BOOST_TEST(all_close(log_softmax(x32, {.dim = 1}), naive(values(x32), 3, n, inner, true), 1.2e-6, 1e-6));
    }
  }
}

BOOST_AUTO_TEST_CASE(infinite_and_huge_logits_keep_their_meaning) {
  for (const Dtype dtype : {f32, f64}) {
    const auto of = [&](std::initializer_list<double> x) { return tensor(x, {.dtype = dtype}); };
    BOOST_TEST(all_close(softmax(of({-inf, -inf})), {not_a_number, not_a_number}, 0));
    BOOST_TEST(all_close(softmax(of({inf, 0})), {not_a_number, not_a_number}, 0));
    BOOST_TEST(all_close(softmax(of({-inf, 0})), {0, 1}, 0));
    BOOST_TEST(all_close(softmax(of({1e4, -1e4})), {1, 0}, 0));
    BOOST_TEST(all_close(log_softmax(of({1e4, 0})), {0, -1e4}, 0));
    BOOST_TEST(all_close(softmax(of({not_a_number, 0, 1})), {not_a_number, not_a_number, not_a_number}, 0));
    BOOST_TEST(
        all_close(softmax(of({0, 1, not_a_number, 2})), {not_a_number, not_a_number, not_a_number, not_a_number}, 0));
  }
}

BOOST_AUTO_TEST_CASE(the_gradient_is_zero_at_a_logit_of_minus_infinity) {
  Tensor x = tensor({-inf, 0.0}, {.dtype = f64, .requires_grad = true});
  BOOST_TEST(all_close(grad(sum(softmax(x) * tensor({1.0, 2.0}, {.dtype = f64})), x), {0, 0}, 0));
}

BOOST_AUTO_TEST_CASE(gradients_add_up_to_zero_for_large_logits) {
  Tensor x = tensor({1e4, -1e4, 9999.0, 3.0}, {.dtype = f32, .requires_grad = true});
  const Tensor g = grad(sum(softmax(x) * tensor({1.0, 2.0, 3.0, 4.0}, {.dtype = f32})), x);
  BOOST_TEST(std::abs(sum(g).item()) < 1e-7);
}

BOOST_AUTO_TEST_CASE(a_scalar_and_empty_tensors_have_a_softmax) {
  BOOST_TEST(all_close(softmax(scalar(3)), {1}, 0));
  BOOST_TEST(all_close(log_softmax(scalar(3)), {0}, 0));
  BOOST_TEST(softmax(empty({0, 3})).shape() == (Shape{0, 3}));
  BOOST_TEST(log_softmax(empty({3, 0})).shape() == (Shape{3, 0}));
}

BOOST_AUTO_TEST_CASE(bits_do_not_depend_on_the_number_of_threads) {
  const int threads = num_threads();
  Tensor x = randn({700, 101});
  x.requires_grad(true);
  Tensor first, first_grad;
  for (const int count : {1, 2, 3, 7}) {
    set_num_threads(count);
    const Tensor y = log_softmax(x, {.dim = 0}) * softmax(x);
    const Tensor g = grad(sum(y), x);
    if (!first.defined()) {
      first = y.detach();
      first_grad = g;
    }
    BOOST_TEST(same_bits(y, first));
    BOOST_TEST(same_bits(g, first_grad));
  }
  set_num_threads(threads);
}

BOOST_AUTO_TEST_CASE(wrong_calls_are_refused) {
  BOOST_TEST(error<std::invalid_argument>([] { (void)softmax(zeros({2}, {.dtype = i64})); }) ==
             "softmax: the dtype must be f32, f64 or bf16; got i64, convert it with to(x, f32)");
  BOOST_TEST(error<std::invalid_argument>([] { (void)log_softmax(zeros({2}, {.dtype = boolean})); }) ==
             "log_softmax: the dtype must be f32, f64 or bf16; got bool, convert it with to(x, f32)");
  BOOST_TEST(error<std::invalid_argument>([] { (void)softmax(zeros({2, 3}), {.dim = 2}); }).find("softmax: ") == 0);
}

BOOST_AUTO_TEST_SUITE_END()
