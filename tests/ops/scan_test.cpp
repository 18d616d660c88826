#include <tapestry/ops/scan.h>

#include <support/expect.h>
#include <support/op_table.h>

#include <cmath>
#include <limits>
#include <stdexcept>

#include <tapestry/autograd/backward.h>
#include <tapestry/autograd/base/parallel.h>
#include <tapestry/ops/binary.h>
#include <tapestry/ops/cast.h>
#include <tapestry/ops/reduce.h>
#include <tapestry/ops/shape_ops.h>

using namespace tapestry;
using namespace tapestry::test;

namespace {

constexpr double inf = std::numeric_limits<double>::infinity();
constexpr double not_a_number = std::numeric_limits<double>::quiet_NaN();

using In = const std::vector<Tensor>&;

std::function<std::vector<Tensor>(Generator&)> signed_samples(std::size_t count, const Shape& shape) {
  return [=](Generator& g) {
    std::vector<Tensor> xs;
    for (std::size_t i = 0; i < count; ++i) xs.push_back(sample_signed(g, shape, 0.5, 1.5));
    return xs;
  };
}

const OpRows rows{
    {.op = "cumsum",
     .variant = "last dim",
     .inputs = signed_samples(1, {2, 4}),
     .f = [](In x) { return cumsum(x[0]); },
     .first_order_linear = true},
    {.op = "cumsum",
     .variant = "middle dim",
     .inputs = signed_samples(1, {2, 3, 2}),
     .f = [](In x) { return cumsum(x[0] * x[0], {.dim = 1}); }},
    {.op = "cumprod",
     .variant = "last dim",
     .inputs = signed_samples(1, {2, 4}),
     .f = [](In x) { return cumprod(x[0]); }},
    {.op = "cumprod",
     .variant = "dim 0",
     .inputs = signed_samples(1, {3, 2, 2}),
     .f = [](In x) { return cumprod(x[0], {.dim = 0}); }},
    {.op = "linear_recurrence",
     .variant = "last dim",
     .inputs = signed_samples(2, {2, 4}),
     .f = [](In x) { return linear_recurrence(x[0], x[1]); }},
    {.op = "linear_recurrence",
     .variant = "middle dim, reverse",
     .inputs = signed_samples(2, {2, 3, 2}),
     .f = [](In x) { return linear_recurrence(x[0], x[1], {.dim = 1, .reverse = true}); }},
};

/// h[k] = a[k] h[k - 1] + b[k] along one dimension, element by element.
std::vector<double> naive(const Tensor& a, const Tensor& b, Index d, bool reverse) {
  const std::vector<double> u = values(a), v = values(b);
  std::vector<double> h(u.size());
  const Index n = a.shape()[d], inner = a.shape().numel(d + 1, a.dim());
  for (Index line = 0; line < a.numel() / std::max<Index>(n, 1); ++line) {
    double last = 0;
    for (Index i = 0; i < n; ++i) {
      const Index k = reverse ? n - 1 - i : i;
      const auto at = static_cast<std::size_t>((line / inner * n + k) * inner + line % inner);
      h[at] = last = (i == 0 ? 0 : u[at] * last) + v[at];
    }
  }
  return h;
}

std::vector<double> gradient_of(const Tensor& y, const Tensor& x) {
  return values(grad(y, x, {.grad_outputs = {ones_like(y)}}));
}

}  // namespace

BOOST_AUTO_TEST_SUITE(scan_test)

BOOST_AUTO_TEST_CASE(every_dim_and_size_agrees_with_a_loop_on_any_number_of_threads) {
  const int threads = static_cast<int>(num_threads());
  Generator generator(5);
  for (const Shape& shape : {Shape{7}, Shape{1, 5}, Shape{3, 4, 5}, Shape{2, 3, 63}, Shape{2, 3, 64}, Shape{2, 3, 65},
                             Shape{2, 130, 129}, Shape{300, 301}, Shape{0, 3}, Shape{3, 0}}) {
    const Tensor a = sample(generator, shape), b = sample(generator, shape), one = ones(shape, {.dtype = f64});
    for (Index d = 0; d < shape.rank(); ++d) {
      for (const bool reverse : {false, true}) {
        const Tensor h = linear_recurrence(a, b, {.dim = d, .reverse = reverse});
        BOOST_TEST(all_close(h, naive(a, b, d, reverse), 1e-13, 1e-13), to_string(shape) << ", dim " << d);
        set_num_threads(1);
        BOOST_TEST(same_bits(linear_recurrence(a, b, {.dim = d, .reverse = reverse}), h));
        set_num_threads(threads);
      }
      BOOST_TEST(all_close(cumsum(b, {.dim = d}), naive(one, b, d, false), 1e-13, 1e-13));
    }
  }
}

BOOST_AUTO_TEST_CASE(sums_of_floats_are_kept_in_double) {
  constexpr Index n = 1'000'000;
  const Tensor x = full({n}, 0.1);
  const Tensor y = cumsum(x);
  BOOST_TEST(y.data<float>()[n - 1] == 100'000.0F, boost::test_tools::tolerance(1e-6F));
  const Tensor columns = cumsum(full({n / 4, 4}, 0.1), {.dim = 0});
  BOOST_TEST(columns.data<float>()[n - 1] == 25'000.0F, boost::test_tools::tolerance(1e-6F));
}

BOOST_AUTO_TEST_CASE(integers_and_bool_give_i64_and_bf16_gives_f32) {
  BOOST_TEST(all_close(cumsum(tensor({true, false, true})), {1, 1, 2}, 0));
  BOOST_TEST((cumsum(tensor({true})).dtype() == i64));
  BOOST_TEST(all_close(cumprod(to(tensor({200, 2, 3}), u8)), {200, 400, 1200}, 0));
  const Tensor big = cumsum(tensor({std::int64_t{1} << 53, std::int64_t{1}}));
  BOOST_TEST(big.data<std::int64_t>()[1] == (std::int64_t{1} << 53) + 1);
  constexpr auto most = std::numeric_limits<std::int64_t>::max();
  BOOST_TEST(cumsum(tensor({most, std::int64_t{1}})).data<std::int64_t>()[1] ==
             std::numeric_limits<std::int64_t>::min());
  BOOST_TEST((cumsum(ones({3}, {.dtype = bf16})).dtype() == f32));
  BOOST_TEST((cumprod(ones({3}, {.dtype = bf16})).dtype() == f32));
}

BOOST_AUTO_TEST_CASE(products_have_gradients_at_zeros) {
  const Tensor x = tensor({2.0, 0.0, 3.0}, {.dtype = f64, .requires_grad = true});
  BOOST_TEST(all_close(cumprod(x), {2, 0, 0}, 0));
  BOOST_TEST(gradient_of(cumprod(x), x) == (std::vector<double>{1, 8, 0}));
}

BOOST_AUTO_TEST_CASE(scalars_and_nothing_are_as_they_are) {
  const Tensor x = scalar(3, {.dtype = f64, .requires_grad = true});
  BOOST_TEST(cumsum(x).item() == 3);
  BOOST_TEST(cumprod(x).item() == 3);
  BOOST_TEST(linear_recurrence(x, x, {.dim = 0}).item() == 3);
  BOOST_TEST(gradient_of(cumprod(x), x) == (std::vector<double>{1}));
  BOOST_TEST(gradient_of(linear_recurrence(x, x), x) == (std::vector<double>{1}));
  BOOST_TEST((cumsum(zeros({0, 3})).shape() == Shape{0, 3}));
  BOOST_TEST((cumprod(zeros({3, 0})).shape() == Shape{3, 0}));
}

BOOST_AUTO_TEST_CASE(what_stands_before_the_first_element_is_zero_even_for_an_infinite_factor) {
  const Tensor a = tensor({inf, 2.0}, {.dtype = f64}), b = tensor({1.0, 1.0}, {.dtype = f64});
  BOOST_TEST(all_close(linear_recurrence(a, b), {1, 3}, 0));
  BOOST_TEST(
      all_close(linear_recurrence(b, tensor({not_a_number, 1.0}, {.dtype = f64})), {not_a_number, not_a_number}, 0));
}

BOOST_AUTO_TEST_CASE(arguments_that_do_not_fit_are_refused) {
  const Tensor x = ones({2, 3});
  BOOST_TEST(error<std::invalid_argument>([&] { (void)cumsum(x, {.dim = 2}); }) ==
             "cumsum: dim must be in [-2, 1]; got 2");
  BOOST_TEST(error<std::invalid_argument>([&] { (void)linear_recurrence(x, ones({3})); }) ==
             "linear_recurrence: b must be [2, 3]; got [3]");
  BOOST_TEST(error<std::invalid_argument>([&] { (void)linear_recurrence(tensor({1}), tensor({1})); }) ==
             "linear_recurrence: the dtype must be f32 or f64; got i64, convert it with to(x, f32)");
  BOOST_TEST(error<std::invalid_argument>([&] {
               (void)linear_recurrence(x, ones({2, 3}, {.dtype = f64}));
             }) == "linear_recurrence: the dtypes must be equal; got f32 and f64, convert one with to(x, f32)");
  BOOST_TEST(error<std::logic_error>([&] { (void)cumprod(Tensor()); }) != "");
}

BOOST_AUTO_TEST_SUITE_END()
