#include <tapestry/ops/reduce.h>

#include <support/expect.h>
#include <support/op_table.h>

#include <cmath>
#include <limits>
#include <stdexcept>

#include <tapestry/autograd/backward.h>
#include <tapestry/autograd/base/parallel.h>
#include <tapestry/autograd/functional.h>
#include <tapestry/ops/binary.h>
#include <tapestry/ops/broadcast.h>
#include <tapestry/ops/cast.h>
#include <tapestry/ops/unary.h>

using namespace tapestry;
using namespace tapestry::test;

namespace {

constexpr double inf = std::numeric_limits<double>::infinity();
constexpr double not_a_number = std::numeric_limits<double>::quiet_NaN();

using In = const std::vector<Tensor>&;
using Sampler = std::function<std::vector<Tensor>(Generator&)>;

Sampler one(const Shape& shape) {
  return [shape](Generator& g) { return std::vector{sample_signed(g, shape, 0.5, 2)}; };
}
Sampler distinct(const Shape& shape) {
  return [shape](Generator& g) { return std::vector{sample_distinct(g, shape)}; };
}

const OpRows rows{
    {.op = "sum",
     .variant = "all dims",
     .inputs = one({3, 4}),
     .f = [](In x) { return sum(x[0]); },
     .first_order_linear = true},
    {.op = "sum",
     .variant = "dims 0 and 2",
     .inputs = one({2, 3, 4}),
     .f =
         [](In x) {
           return sum(x[0], {.dim = {0, 2}});
         },
     .first_order_linear = true},
    {.op = "sum",
     .variant = "keepdim",
     .inputs = one({2, 3}),
     .f = [](In x) { return x[0] * sum(x[0], {.dim = 1, .keepdim = true}); }},
    {.op = "mean",
     .variant = "all dims",
     .inputs = one({3, 4}),
     .f = [](In x) { return mean(x[0]); },
     .first_order_linear = true},
    {.op = "mean",
     .variant = "all but the last dim",
     .inputs = one({2, 3, 4}),
     .f =
         [](In x) {
           return mean(x[0], {.dim = {0, 1}});
         },
     .first_order_linear = true},
    {.op = "var", .variant = "all dims", .inputs = one({3, 4}), .f = [](In x) { return var(x[0]); }},
    {.op = "var",
     .variant = "one dim, correction 0",
     .inputs = one({3, 4}),
     .f = [](In x) { return var(x[0], {.dim = 0, .keepdim = true, .correction = 0}); }},
    {.op = "stddev", .variant = "one dim", .inputs = one({3, 4}), .f = [](In x) { return stddev(x[0], {.dim = 1}); }},
    {.op = "amax",
     .variant = "all dims",
     .inputs = distinct({2, 3}),
     .f = [](In x) { return amax(x[0]) * amax(x[0]); }},
    {.op = "amax",
     .variant = "one dim",
     .inputs = distinct({3, 4}),
     .f = [](In x) { return amax(x[0], {.dim = 0}); },
     .first_order_linear = true},
    {.op = "amin",
     .variant = "two dims",
     .inputs = distinct({2, 2, 3}),
     .f =
         [](In x) {
           return amin(x[0], {.dim = {0, 2}});
         },
     .first_order_linear = true},
    {.op = "max",
     .variant = "",
     .inputs = distinct({2, 3}),
     .f = [](In x) { return max(x[0]); },
     .first_order_linear = true},
    {.op = "min",
     .variant = "",
     .inputs = distinct({2, 3}),
     .f = [](In x) { return min(x[0]); },
     .first_order_linear = true},
    {.op = "max_dim",
     .variant = "dim 1",
     .inputs = distinct({2, 3, 2}),
     .f = [](In x) { return max_dim(x[0], {.dim = 1}).values; },
     .first_order_linear = true},
    {.op = "min_dim",
     .variant = "last dim, keepdim",
     .inputs = distinct({3, 3}),
     .f = [](In x) { return min_dim(x[0], {.keepdim = true}).values; },
     .first_order_linear = true},
    {.op = "logsumexp",
     .variant = "last dim",
     .inputs = one({3, 4}),
     .f = [](In x) { return logsumexp(x[0], {.dim = -1}); }},
    {.op = "logsumexp", .variant = "all dims", .inputs = one({2, 3}), .f = [](In x) { return logsumexp(x[0]); }},
    {.op = "prod", .variant = "all dims", .inputs = one({2, 3}), .f = [](In x) { return prod(x[0]); }},
    {.op = "prod",
     .variant = "dims 0 and 2, keepdim",
     .inputs = one({2, 2, 3}),
     .f =
         [](In x) {
           return prod(x[0], {.dim = {0, 2}, .keepdim = true});
         }},
    {.op = "prod",
     .variant = "of a zero",
     .inputs = one({2, 3}),
     .f =
         [](In x) {
           return prod(x[0] * tensor({{1.0, 0.0, 1.0}, {1.0, 1.0, 1.0}}, {.dtype = x[0].dtype()}), {.dim = 1});
         }},
    {.op = "median", .variant = "", .inputs = distinct({3, 4}), .f = [](In x) { return median(x[0]) * sum(x[0]); }},
    {.op = "median_dim",
     .variant = "dim 0",
     .inputs = distinct({3, 4}),
     .f = [](In x) { return square(median_dim(x[0], {.dim = 0}).values); }},
    {.op = "norm",
     .variant = "p 1",
     .inputs = one({3, 4}),
     .f = [](In x) { return norm(x[0], {.p = 1, .dim = 1}) * sum(x[0]); }},
    {.op = "norm", .variant = "p 3", .inputs = one({3, 4}), .f = [](In x) { return norm(x[0], {.p = 3, .dim = 0}); }},
    {.op = "norm", .variant = "p 0.5", .inputs = one({3, 4}), .f = [](In x) { return norm(x[0], {.p = 0.5}); }},
    {.op = "norm",
     .variant = "p infinity",
     .inputs = distinct({3, 4}),
     .f = [](In x) { return square(norm(x[0], {.p = inf, .dim = 1, .keepdim = true})); }},
    {.op = "norm", .variant = "all dims", .inputs = one({3, 4}), .f = [](In x) { return norm(x[0]); }},
    {.op = "norm", .variant = "one dim", .inputs = one({3, 4}), .f = [](In x) { return norm(x[0], {.dim = 0}); }},
};

Tensor leaf(const std::vector<double>& v) {
  return tensor(v, {static_cast<Index>(v.size())}, {.dtype = f64, .requires_grad = true});
}

std::vector<double> gradient(const Tensor& y, const Tensor& x) {
  return values(grad(y, x, {.grad_outputs = {ones_like(y)}}));
}

/// Sum of x [a, b, c, d] over the dims whose bit is set, in long double.
std::vector<double> naive_sum(const Tensor& x, unsigned dims) {
  const Shape& s = x.shape();
  std::vector<Index> strides(4, 0);
  Index size = 1;
  for (Index d = 3; d >= 0; --d) {
    if ((dims >> d & 1U) != 0) continue;
    strides[static_cast<std::size_t>(d)] = size;
    size *= s[d];
  }
  std::vector<double> y(static_cast<std::size_t>(size));
  for (Index i = 0; i < x.numel(); ++i) {
    Index rest = i, to = 0;
    for (Index d = 3; d >= 0; --d) {
      to += rest % s[d] * strides[static_cast<std::size_t>(d)];
      rest /= s[d];
    }
    y[static_cast<std::size_t>(to)] += values(x)[static_cast<std::size_t>(i)];
  }
  return y;
}

}  // namespace

BOOST_AUTO_TEST_SUITE(reduce_test)

BOOST_AUTO_TEST_CASE(sums_over_every_set_of_dims_agree_with_a_naive_loop) {
  Generator generator(5);
  const Tensor x = sample(generator, {3, 2, 5, 4});
  for (unsigned dims = 1; dims < 16; ++dims) {
    std::vector<Index> list;
    for (Index d = 0; d < 4; ++d) {
      if ((dims >> d & 1U) != 0) list.push_back(d);
    }
    BOOST_TEST(all_close(sum(x, {.dim = Dims(list)}), naive_sum(x, dims), 1e-13), "set " << dims);
    BOOST_TEST(all_close(sum(to(x, f32), {.dim = Dims(list)}), naive_sum(x, dims), 1e-5, 1e-5), "set " << dims);
    BOOST_TEST(sum(x, {.dim = Dims(list), .keepdim = true}).dim() == 4);
    std::vector<double> average = naive_sum(x, dims);
    for (double& v : average) v /= static_cast<double>(x.numel()) / static_cast<double>(average.size());
    BOOST_TEST(all_close(mean(x, {.dim = Dims(list)}), average, 1e-13, 1e-15), "mean over set " << dims);
  }
}

BOOST_AUTO_TEST_CASE(large_sums_over_each_side_are_exact_on_integers_for_every_number_of_threads) {
  const int outer = num_threads();
  for (const Shape& shape : {Shape{5000, 64}, Shape{70'000, 3}, Shape{2, 40'000}, Shape{100'003, 1}}) {
    Tensor x = empty(shape);
    float* data = x.mutable_data<float>();
    std::vector<double> columns(static_cast<std::size_t>(shape[1])), lines(static_cast<std::size_t>(shape[0]));
    double total = 0;
    for (Index i = 0; i < x.numel(); ++i) {
      data[i] = static_cast<float>(i * 7 % 33 - 16);
      const double v = static_cast<double>(data[i]);
      columns[static_cast<std::size_t>(i % shape[1])] += v;
      lines[static_cast<std::size_t>(i / shape[1])] += v;
      total += v;
    }
    for (const int threads : {1, 2, 3, 7}) {
      set_num_threads(threads);
      BOOST_TEST(all_close(sum(x, {.dim = 0}), columns, 0));
      BOOST_TEST(all_close(sum(x, {.dim = 1}), lines, 0));
      BOOST_TEST(sum(x).item() == total);
    }
    set_num_threads(outer);
  }
}

BOOST_AUTO_TEST_CASE(sums_have_the_same_bits_for_every_number_of_threads) {
  const int outer = num_threads();
  Generator generator(6);
  for (const Shape& shape : {Shape{3000, 50}, Shape{9, 30'000}, Shape{40, 60, 70}}) {
    const Tensor x = to(sample(generator, shape), f32);
    std::vector<Tensor> first;
    for (const int threads : {1, 2, 3, 7}) {
      set_num_threads(threads);
      const std::vector<Tensor> all{sum(x),  sum(x, {.dim = 0}), sum(x, {.dim = -1}),
                                    mean(x), var(x, {.dim = 0}), norm(x)};
      if (first.empty()) first = all;
      for (std::size_t i = 0; i < all.size(); ++i) BOOST_TEST(same_bits(all[i], first[i]), threads << " threads");
    }
    set_num_threads(outer);
  }
}

BOOST_AUTO_TEST_CASE(ten_million_tenths_add_up_to_a_million) {
  const double sum_of = sum(full({10'000'000}, 0.1)).item();
  BOOST_TEST(std::abs(sum_of / (1e7 * static_cast<double>(0.1F)) - 1) < 1e-6);
}

BOOST_AUTO_TEST_CASE(the_variance_of_values_around_ten_thousand_is_accurate_in_f32) {
  Tensor x = empty({100'000});
  float* data = x.mutable_data<float>();
  double total = 0, squares = 0;
  for (Index i = 0; i < x.numel(); ++i) {
    data[i] = 1e4F + (static_cast<float>(i % 4) - 1.5F) * 0.9F;
    total += static_cast<double>(data[i]) - 1e4;
    squares += (static_cast<double>(data[i]) - 1e4) * (static_cast<double>(data[i]) - 1e4);
  }
  const double n = 1e5, exact = (squares - total * total / n) / (n - 1);
  BOOST_TEST(std::abs(var(x).item() / exact - 1) < 1e-5);
}

BOOST_AUTO_TEST_CASE(reductions_over_nothing_have_their_neutral_value_or_an_error) {
  const Tensor none = zeros({0, 3}, {.dtype = f64, .requires_grad = true});
  BOOST_TEST(all_close(sum(none, {.dim = 0}), {0, 0, 0}, 0));
  BOOST_TEST(sum(none).item() == 0);
  BOOST_TEST(std::isnan(mean(none).item()));
  BOOST_TEST(std::isnan(var(none).item()));
  BOOST_TEST(logsumexp(none).item() == -inf);
  BOOST_TEST(grad(sum(none), none).shape() == Shape({0, 3}));
  BOOST_TEST(amax(none, {.dim = 1}).shape() == Shape({0}));
  BOOST_TEST(argmax(none, {.dim = 1}).shape() == Shape({0}));
  BOOST_TEST(error<std::invalid_argument>([&] { (void)max(none); }) ==
             "max: there must be an element to choose; got shape [0, 3]");
  BOOST_TEST(error<std::invalid_argument>([&] { (void)argmax(none, {.dim = 0}); }) ==
             "argmax: there must be an element to choose; got shape [0, 3]");
  BOOST_TEST(sum(zeros({3, 0}), {.dim = 0}).shape() == Shape({0}));
  BOOST_TEST(!any(empty({0}, boolean)).item<bool>());
  BOOST_TEST(all(empty({0}, boolean)).item<bool>());
}

BOOST_AUTO_TEST_CASE(integers_and_bools_add_up_in_i64) {
  const Tensor x = to(tensor({200, 100}), u8);
  BOOST_TEST(sum(x).dtype() == i64);
  BOOST_TEST(sum(x).item<std::int64_t>() == 300);
  BOOST_TEST(sum(tensor({true, false, true})).item<std::int64_t>() == 2);
  BOOST_TEST(all_close(sum(tensor({{1, 2, 3}, {4, 5, 6}}), {.dim = 0}), {5, 7, 9}, 0));
  BOOST_TEST(error<std::invalid_argument>([] { (void)mean(tensor({1})); }) ==
             "mean: the dtype must be f32, f64 or bf16; got i64, convert it with to(x, f32)");
}

BOOST_AUTO_TEST_CASE(dims_out_of_range_or_named_twice_are_refused_and_a_scalar_takes_0_and_minus_1) {
  const Tensor x = ones({2, 3});
  BOOST_TEST(error<std::invalid_argument>([&] {
               (void)sum(x, {.dim = {0, -2}});
             }) == "sum: each dim must be named once; got -2 twice");
  const std::string text = error<std::invalid_argument>([&] { (void)sum(x, {.dim = 2}); });
  BOOST_TEST(text.find("sum: ") == 0U, text);
  BOOST_TEST(text.find("2") != std::string::npos, text);
  BOOST_TEST(sum(scalar(4), {.dim = -1}).item() == 4);
  BOOST_TEST(amax(scalar(4), {.dim = 0}).item() == 4);
}

BOOST_AUTO_TEST_CASE(tied_extremes_share_the_gradient_unless_an_index_is_chosen) {
  const Tensor x = leaf({3, 1, 3});
  BOOST_TEST(gradient(max(x), x) == (std::vector<double>{0.5, 0, 0.5}), boost::test_tools::per_element());
  BOOST_TEST(gradient(amax(x), x) == (std::vector<double>{0.5, 0, 0.5}), boost::test_tools::per_element());
  const ValuesAndIndices best = max_dim(x);
  BOOST_TEST(best.indices.item<std::int64_t>() == 0);
  BOOST_TEST(gradient(best.values, x) == (std::vector<double>{1, 0, 0}), boost::test_tools::per_element());
  BOOST_TEST(argmax(leaf({-inf, -inf})).item<std::int64_t>() == 0);
  BOOST_TEST(argmin(leaf({2, 1, 1})).item<std::int64_t>() == 1);
}

BOOST_AUTO_TEST_CASE(nan_wins_every_comparison_and_the_first_one_is_named) {
  const Tensor x = leaf({1, not_a_number, not_a_number});
  BOOST_TEST(std::isnan(max(x).item()));
  BOOST_TEST(std::isnan(min(x).item()));
  BOOST_TEST(argmax(x).item<std::int64_t>() == 1);
  BOOST_TEST(all_close(gradient(max(x), x), std::vector<double>{0, 0.5, 0.5}, 0));
  BOOST_TEST(all_close(gradient(amax(x), x), std::vector<double>{0, 0.5, 0.5}, 0));
  BOOST_TEST(all_close(gradient(max_dim(x).values, x), std::vector<double>{0, 1, 0}, 0));
}

BOOST_AUTO_TEST_CASE(a_nan_wins_at_any_place_of_a_vector_a_tail_or_a_chunk) {
  for (const Index n : {1, 7, 16, 33, 67, 40'000}) {
    for (const Index at : {Index{0}, n / 2, n - 1}) {
      for (const Dtype dtype : {f32, f64}) {
        std::vector<double> line(static_cast<std::size_t>(n), 1.0);
        line[static_cast<std::size_t>(at)] = not_a_number;
        const Tensor x = to(tensor(line, {1, n}, {.dtype = f64}), dtype);
        BOOST_TEST(std::isnan(max(x).item()), n << " elements, NaN at " << at);
        BOOST_TEST(std::isnan(min(x).item()), n << " elements, NaN at " << at);
        BOOST_TEST(all_close(amax(broadcast_to(x, {3, n}), {.dim = 0}), line, 0), n << " columns, NaN at " << at);
        line[static_cast<std::size_t>(at)] = -5;
        BOOST_TEST(min(to(tensor(line, {n}, {.dtype = f64}), dtype)).item() == -5, n << " elements, least at " << at);
      }
    }
  }
}

BOOST_AUTO_TEST_CASE(extremes_along_every_dim_agree_with_a_naive_loop) {
  Generator generator(7);
  const Tensor x = to(sample_distinct(generator, {5, 37, 3}), f32);
  for (const Index dim : {0, 1, 2}) {
    const Index outer = x.shape().numel(0, dim), n = x.size(dim), inner = x.shape().numel(dim + 1, 3);
    std::vector<double> best, at;
    for (Index o = 0; o < outer; ++o) {
      for (Index i = 0; i < inner; ++i) {
        Index k = 0;
        for (Index j = 1; j < n; ++j) {
          if (x.data<float>()[(o * n + j) * inner + i] > x.data<float>()[(o * n + k) * inner + i]) k = j;
        }
        best.push_back(static_cast<double>(x.data<float>()[(o * n + k) * inner + i]));
        at.push_back(static_cast<double>(k));
      }
    }
    BOOST_TEST(all_close(amax(x, {.dim = dim}), best, 0));
    BOOST_TEST(all_close(max_dim(x, {.dim = dim}).values, best, 0));
    BOOST_TEST(all_close(argmax(x, {.dim = dim}), at, 0));
    BOOST_TEST(all_close(argmin(-x, {.dim = dim}), at, 0));
  }
}

BOOST_AUTO_TEST_CASE(variance_takes_a_correction_and_is_nan_for_one_element) {
  const Tensor x = leaf({0, 2}), single = leaf({5});
  BOOST_TEST(var(x).item() == 2);
  BOOST_TEST(var(x, {.correction = 0}).item() == 1);
  BOOST_TEST(std::isnan(var(single).item()));
  BOOST_TEST(std::isnan(gradient(var(single), single)[0]));
  BOOST_TEST(var(single, {.correction = 0}).item() == 0);
  BOOST_TEST(gradient(var(single, {.correction = 0}), single)[0] == 0);
  const Tensor constant = leaf({3, 3, 3});
  BOOST_TEST(stddev(constant).item() == 0);
  BOOST_TEST(all_close(gradient(stddev(constant), constant), std::vector<double>{0, 0, 0}, 0));
  BOOST_TEST(std::isnan(stddev(single).item()));
}

BOOST_AUTO_TEST_CASE(the_norm_does_not_overflow_in_f32_and_has_gradient_zero_at_zero) {
  BOOST_TEST(norm(tensor({3e30F, 4e30F})).item() == 5e30, boost::test_tools::tolerance(1e-6));
  const Tensor zero = leaf({0, 0});
  BOOST_TEST(all_close(gradient(norm(zero), zero), std::vector<double>{0, 0}, 0));
}

BOOST_AUTO_TEST_CASE(logsumexp_handles_infinities) {
  const Tensor low = leaf({-inf, -inf}), high = leaf({inf, 0}), mixed = leaf({-inf, 0});
  BOOST_TEST(logsumexp(low).item() == -inf);
  BOOST_TEST(all_close(gradient(logsumexp(low), low), std::vector<double>{not_a_number, not_a_number}, 0));
  BOOST_TEST(logsumexp(high).item() == inf);
  BOOST_TEST(all_close(gradient(logsumexp(high), high), std::vector<double>{not_a_number, 0}, 0));
  BOOST_TEST(logsumexp(mixed).item() == 0);
  BOOST_TEST(all_close(gradient(logsumexp(mixed), mixed), std::vector<double>{0, 1}, 0));
  BOOST_TEST(logsumexp(leaf({1000, 1000})).item() == 1000 + std::log(2.0), boost::test_tools::tolerance(1e-12));
}

BOOST_AUTO_TEST_CASE(any_and_all_follow_dims_and_take_bools_only) {
  const Tensor x = tensor({{true, false}, {true, true}});
  BOOST_TEST(all_close(any(x, {.dim = 0}), {1, 1}, 0));
  BOOST_TEST(all_close(all(x, {.dim = 0}), {1, 0}, 0));
  BOOST_TEST(!all(x).item<bool>());
  BOOST_TEST(error<std::invalid_argument>([] { (void)any(ones({1})); }) == "any: the dtype must be bool; got f32");
}

BOOST_AUTO_TEST_CASE(products_have_gradients_at_zeros_of_every_order) {
  const auto at = [](const std::vector<double>& v) {
    return tensor(v, {static_cast<Index>(v.size())}, {.dtype = f64, .requires_grad = true});
  };
  const Tensor one_zero = at({2, 0, 3}), two_zeros = at({0, 0, 3});
  BOOST_TEST(prod(one_zero).item() == 0);
  BOOST_TEST(all_close(gradient(prod(one_zero), one_zero), std::vector<double>{0, 6, 0}, 0));
  BOOST_TEST(all_close(gradient(prod(two_zeros), two_zeros), std::vector<double>{0, 0, 0}, 0));
  const Tensor g = grad(prod(two_zeros), two_zeros, {.create_graph = true});
  BOOST_TEST(all_close(gradient(sum(g), two_zeros), std::vector<double>{3, 3, 0}, 0));
}

BOOST_AUTO_TEST_CASE(products_of_every_shape_and_dtype) {
  BOOST_TEST(all_close(prod(tensor<double>({{1, 2, 3}, {4, 5, 6}}), {.dim = 0}), {4, 10, 18}, 0));
  BOOST_TEST(all_close(prod(tensor<double>({{1, 2, 3}, {4, 5, 6}}), {.dim = 1}), {6, 120}, 0));
  BOOST_TEST(prod(tensor({3, 5, 7})).item<std::int64_t>() == 105);
  BOOST_TEST((prod(tensor({3, 5, 7})).dtype() == i64));
  BOOST_TEST(prod(tensor({true, true})).item<std::int64_t>() == 1);
  BOOST_TEST(prod(tensor({3037000499, 3037000499})).item<std::int64_t>() == 9223372030926249001);  // beyond 2^53
  BOOST_TEST((prod(ones({2, 3}, {.dtype = bf16})).dtype() == f32));
  const Tensor empty = zeros({0, 3}, {.dtype = f64, .requires_grad = true});
  BOOST_TEST(prod(empty).item() == 1);
  BOOST_TEST(all_close(prod(empty, {.dim = 0}), {1, 1, 1}, 0));
  BOOST_TEST(prod(empty, {.dim = 1}).numel() == 0);
  BOOST_TEST(grad(prod(empty), empty).numel() == 0);
  const Tensor lone = scalar(5);
  BOOST_TEST(prod(lone).item() == 5);
  BOOST_TEST(!prod(lone).is_same(lone));
  BOOST_TEST(error<std::invalid_argument>([] { (void)prod(ones({2}), {.dim = 1}); }) ==
             "prod: dim must be in [-1, 0]; got 1");
}

BOOST_AUTO_TEST_CASE(the_median_is_the_lower_middle_and_nan_wins) {
  const Tensor x = tensor({3.0, 1.0, 4.0, 2.0}, {.dtype = f64, .requires_grad = true});
  BOOST_TEST(median(x).item() == 2);
  BOOST_TEST(all_close(gradient(median(x), x), std::vector<double>{0, 0, 0, 1}, 0));
  const Tensor rows_of_x = tensor({{5.0, not_a_number, 1.0}, {7.0, 9.0, 8.0}}, {.dtype = f64});
  const ValuesAndIndices m = median_dim(rows_of_x);
  BOOST_TEST(all_close(m.values, {not_a_number, 8}, 0));
  BOOST_TEST(all_close(m.indices, {1, 2}, 0));
  BOOST_TEST((median_dim(rows_of_x, {.dim = 0, .keepdim = true}).values.shape() == Shape{1, 3}));
  BOOST_TEST(median(tensor({4, 9, 2, 7})).item<std::int64_t>() == 4);
  BOOST_TEST(median(scalar(6)).item() == 6);
  BOOST_TEST(median_dim(zeros({0, 3}), {.dim = 1}).values.numel() == 0);
  BOOST_TEST(error<std::invalid_argument>([] { (void)median(zeros({0})); }) ==
             "median: there must be an element to choose; got shape [0]");
  BOOST_TEST(error<std::invalid_argument>([] {
               (void)median_dim(zeros({2, 0}));
             }) == "median_dim: there must be an element to choose; got shape [2, 0]");
}

BOOST_AUTO_TEST_CASE(norms_of_every_power) {
  const Tensor x = tensor({2.0, -2.0, 1.0}, {.dtype = f64, .requires_grad = true});
  BOOST_TEST(norm(x, {.p = 1}).item() == 5);
  BOOST_TEST(norm(x, {.p = inf}).item() == 2);
  BOOST_TEST(all_close(gradient(norm(x, {.p = inf}), x), std::vector<double>{0.5, -0.5, 0}, 0));
  BOOST_TEST(norm(x, {.p = -inf}).item() == 1);
  BOOST_TEST(norm(x, {.p = 3}).item() == std::cbrt(17), boost::test_tools::tolerance(1e-14));
  const Tensor holed = tensor({0.0, 3.0, 0.0}, {.dtype = f64, .requires_grad = true});
  BOOST_TEST(norm(holed, {.p = 0}).item() == 1);
  for (const double p : {0.0, 0.5, 1.0, 3.0}) {
    const double slope = p == 0 ? 0 : 1;
    BOOST_TEST(all_close(gradient(norm(holed, {.p = p}), holed), std::vector<double>{0, slope, 0}, 1e-14));
    const Tensor zero = zeros({2}, {.dtype = f64, .requires_grad = true});
    BOOST_TEST(norm(zero, {.p = p}).item() == 0);
    BOOST_TEST(all_close(gradient(norm(zero, {.p = p}), zero), std::vector<double>{0, 0}, 0));
    // While a graph is created, and in forward mode, 0 meets infinite slopes.
    const auto recorded = grad(norm(holed, {.p = p}), holed, {.create_graph = true});
    BOOST_TEST(all_close(recorded, {0, slope, 0}, 1e-14));
    const auto f = [p](const Tensor& at) { return norm(at, {.p = p}); };
    BOOST_TEST(jvp(f, zero.detach(), ones_like(zero)).item() == 0);
    BOOST_TEST(jvp(f, holed.detach(), ones_like(holed)).item() == slope, boost::test_tools::tolerance(1e-14));
  }
  BOOST_TEST(norm(tensor({3e30F, 4e30F}), {.p = 3}).item() == 4.497941445e30, boost::test_tools::tolerance(1e-6));
  BOOST_TEST(norm(tensor({inf, 1.0}), {.p = 3}).item() == inf);
  BOOST_TEST(std::isnan(norm(tensor({not_a_number, 1.0}), {.p = 3}).item()));
  BOOST_TEST(norm(zeros({0}), {.p = 3}).item() == 0);
  BOOST_TEST(error<std::invalid_argument>([] { (void)norm(zeros({0}), {.p = inf}); }) ==
             "norm: with an infinite p there must be an element to choose; got shape [0]");
  BOOST_TEST(error<std::invalid_argument>([] { (void)norm(ones({2}), {.p = -1}); }) ==
             "norm: .p must be 0 or more, or infinite; got -1");
}

BOOST_AUTO_TEST_SUITE_END()
