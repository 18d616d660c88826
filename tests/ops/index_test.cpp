#include <tapestry/ops/index.h>

#include <support/expect.h>
#include <support/op_table.h>

#include <cmath>
#include <limits>
#include <stdexcept>

#include <tapestry/autograd/backward.h>
#include <tapestry/autograd/base/parallel.h>
#include <tapestry/autograd/random.h>
#include <tapestry/ops/binary.h>
#include <tapestry/ops/cast.h>
#include <tapestry/ops/compare.h>
#include <tapestry/ops/shape_ops.h>

using namespace tapestry;
using namespace tapestry::test;

namespace {

constexpr double kNan = std::numeric_limits<double>::quiet_NaN();
constexpr double kInf = std::numeric_limits<double>::infinity();

const std::vector<Dtype> kDtypes{f32, f64, bf16, i64, i32, u8, boolean};

/// The gradient of y's sum.
Tensor ones_gradient(const Tensor& y, const Tensor& x) { return grad(y, x, {.grad_outputs = {ones_like(y)}}); }

Tensor leaf(const std::vector<double>& v, const Shape& shape) {
  return tensor(v, shape, {.dtype = f64, .requires_grad = true});
}

using In = const std::vector<Tensor>&;

std::function<std::vector<Tensor>(Generator&)> with_index(const Shape& shape, const Tensor& index) {
  return [shape, index](Generator& g) { return std::vector<Tensor>{sample(g, shape), index}; };
}

const OpRows rows{
    {.op = "take_along_dim",
     .variant = "broadcast index",
     .inputs = with_index({2, 3, 4}, reshape(tensor({3, 1}), {1, 1, 2})),
     .f = [](In x) { return take_along_dim(x[0], x[1]); },
     .first_order_linear = true},
    {.op = "scatter",
     .variant = "an index twice",
     .inputs =
         [](Generator& g) {
           return std::vector{sample(g, {2, 4}), tensor({{0, 2, 2}, {1, 0, 1}}), sample(g, {2, 3})};
         },
     .f = [](In x) { return scatter(x[0], x[1], x[2]); },
     .first_order_linear = true},
    {.op = "scatter",
     .variant = "dim 0, a number",
     .inputs = with_index({3, 4}, tensor({{2, 0, 2}})),
     .f = [](In x) { return scatter(x[0], x[1], 0.5, {.dim = 0}) * x[0]; }},
    {.op = "take",
     .variant = "",
     .inputs = with_index({3, 4}, tensor({{11, 0}, {5, 5}})),
     .f = [](In x) { return take(x[0], x[1]); },
     .first_order_linear = true},
    {.op = "index_put",
     .variant = "a place twice",
     .inputs =
         [](Generator& g) {
           return std::vector{sample(g, {3, 2, 2}), tensor({0, 2, 0}), sample(g, {3, 2, 2})};
         },
     .f = [](In x) { return index_put(x[0], {x[1]}, x[2]); },
     .first_order_linear = true},
    {.op = "index_put",
     .variant = "two indices, accumulated, values broadcast",
     .inputs =
         [](Generator& g) {
           return std::vector{sample(g, {3, 4, 2}), tensor({0, 2, 0}), tensor({1, 3, 1}), sample(g, {3, 1})};
         },
     .f =
         [](In x) {
           return index_put(x[0], {x[1], x[2]}, x[3], {.accumulate = true});
         },
     .first_order_linear = true},
    {.op = "masked_select",
     .variant = "",
     .inputs = with_index({2, 3}, tensor({{true, false, true}, {false, true, true}})),
     .f = [](In x) { return masked_select(x[0], x[1]); },
     .first_order_linear = true},
    {.op = "gather",
     .variant = "last dim, an index twice",
     .inputs = with_index({2, 3}, tensor({{0, 2, 2}, {1, 0, 1}})),
     .f = [](In x) { return gather(x[0], x[1]); },
     .first_order_linear = true},
    {.op = "gather",
     .variant = "dim 0, a smaller index",
     .inputs = with_index({3, 4}, tensor({{2, 0, 2}, {1, 0, 2}})),
     .f = [](In x) { return gather(x[0], x[1], {.dim = 0}); },
     .first_order_linear = true},
    {.op = "scatter_add",
     .variant = "",
     .inputs = with_index({2, 3}, tensor({{0, 2, 2}, {1, 0, 1}})),
     .f =
         [](In x) {
           return scatter_add(x[0], x[1], {2, 4});
         },
     .first_order_linear = true},
    {.op = "index_select",
     .variant = "dim 1, an index twice",
     .inputs = with_index({2, 3, 2}, tensor({2, 0, 2, 1})),
     .f = [](In x) { return index_select(x[0], x[1], {.dim = 1}); },
     .first_order_linear = true},
    {.op = "index_add",
     .variant = "dim 1",
     .inputs = with_index({2, 3, 2}, tensor({3, 0, 3})),
     .f = [](In x) { return index_add(x[0], x[1], 4, {.dim = 1}); },
     .first_order_linear = true},
    {.op = "embedding",
     .variant = "",
     .inputs = with_index({4, 3}, tensor({{1, 3}, {1, 0}})),
     .f = [](In x) { return embedding(x[0], x[1]); },
     .first_order_linear = true},
    {.op = "sort",
     .variant = "dim 0",
     .inputs =
         [](Generator& g) {
           return std::vector<Tensor>{sample_distinct(g, {5, 3})};
         },
     .f = [](In x) { return sort(x[0], {.dim = 0}).values; },
     .first_order_linear = true},
    {.op = "topk",
     .variant = "",
     .inputs =
         [](Generator& g) {
           return std::vector<Tensor>{sample_distinct(g, {3, 6})};
         },
     .f = [](In x) { return topk(x[0], 4).values; },
     .first_order_linear = true},
};

}  // namespace

BOOST_AUTO_TEST_SUITE(index_test)

// --- gather, scatter_add

BOOST_AUTO_TEST_CASE(gather_takes_the_named_elements_of_every_dtype) {
  for (const Dtype dtype : kDtypes) {
    const Tensor x = to(tensor({{1, 0, 1}, {0, 0, 1}}), dtype);
    for (const Dtype index_dtype : {i64, i32}) {
      const Tensor index = to(tensor({{2, 1}, {0, 2}}), index_dtype);
      BOOST_TEST(all_close(gather(x, index), {1, 0, 0, 1}, 0));
      BOOST_TEST(gather(x, index).dtype() == dtype);
    }
  }
}

BOOST_AUTO_TEST_CASE(gather_along_any_dim_equals_a_naive_loop) {
  Generator g(1);
  const Tensor x = randn({4, 5, 6}, {.dtype = f64, .generator = &g});
  const std::vector<double> in = values(x);
  for (const Index d : {0, 1, 2}) {
    const Shape shape = Shape{3, 4, 5}.with(d, 7);
    const Tensor index = randint(0, x.size(d), shape, {.generator = &g});
    std::vector<double> expected, sums(in.size());
    for (Index i = 0; i < shape[0]; ++i) {
      for (Index j = 0; j < shape[1]; ++j) {
        for (Index k = 0; k < shape[2]; ++k) {
          Index at[] = {i, j, k};
          at[d] = index.data<std::int64_t>()[expected.size()];
          const auto from = static_cast<std::size_t>((at[0] * 5 + at[1]) * 6 + at[2]);
          expected.push_back(in[from]);
          sums[from] += static_cast<double>(expected.size());
        }
      }
    }
    BOOST_TEST(all_close(gather(x, index, {.dim = d}), expected, 0));
    const Tensor dy = to(reshape(arange(1, index.numel() + 1), shape), f64);
    BOOST_TEST(all_close(scatter_add(dy, index, x.shape(), {.dim = d}), sums, 0));
  }
}

BOOST_AUTO_TEST_CASE(an_index_that_occurs_twice_adds_its_gradients) {
  Tensor x = leaf({5, 6}, {2});
  BOOST_TEST(all_close(ones_gradient(gather(x, tensor({0, 0, 1})), x), {2, 1}, 0));
  BOOST_TEST(all_close(ones_gradient(index_select(x, tensor({0, 0, 1})), x), {2, 1}, 0));
  BOOST_TEST(all_close(scatter_add(tensor<double>({1, 2}), tensor({0, 0}), {2}), {3, 0}, 0));
  BOOST_TEST(all_close(index_add(tensor<double>({1, 2}), tensor({0, 0}), 2), {3, 0}, 0));
}

BOOST_AUTO_TEST_CASE(an_empty_index_gives_an_empty_result_and_a_zero_gradient) {
  Tensor x = leaf({1, 2, 3}, {3});
  const Tensor none = empty({0}, i64);
  BOOST_TEST(gather(x, none).shape() == Shape{0});
  BOOST_TEST(index_select(x, none).shape() == Shape{0});
  BOOST_TEST(all_close(ones_gradient(gather(x, none), x), {0, 0, 0}, 0));
  BOOST_TEST(embedding(ones({3, 2}), empty({2, 0}, i64)).shape() == (Shape{2, 0, 2}));
  BOOST_TEST(one_hot(none, 3).shape() == (Shape{0, 3}));
  BOOST_TEST(gather(scalar(4), zeros({}, {.dtype = i64})).item() == 4);
}

BOOST_AUTO_TEST_CASE(an_index_out_of_range_names_value_position_and_range) {
  const Tensor x = ones({2, 3});
  BOOST_TEST(error<std::out_of_range>([&] {
               (void)gather(x, tensor({{0, 1, 3}}));
             }) == "gather: an index must be in [0, 3); got 3 at position 2");
  BOOST_TEST(error<std::out_of_range>([&] { (void)gather(x, tensor({{-1}})); }) ==
             "gather: an index must be in [0, 3); got -1 at position 0");
  BOOST_TEST(error<std::out_of_range>([&] {
               (void)scatter_add(x, zeros({2, 3}, {.dtype = i32}), {2, 0});
             }) == "scatter_add: an index must be in [0, 0); got 0 at position 0");
  BOOST_TEST(error<std::out_of_range>([&] {
               (void)index_select(x, tensor({1, 2}));
             }) == "index_select: an index must be in [0, 2); got 2 at position 1");
  BOOST_TEST(error<std::out_of_range>([&] {
               (void)index_add(x, tensor({1, 2}), 2);
             }) == "index_add: an index must be in [0, 2); got 2 at position 1");
  BOOST_TEST(error<std::out_of_range>([&] { (void)embedding(x, tensor({2})); }) ==
             "embedding: an index must be in [0, 2); got 2 at position 0");
  BOOST_TEST(error<std::out_of_range>([] {
               (void)one_hot(tensor({0, 3}), 3);
             }) == "one_hot: an index must be in [0, 3); got 3 at position 1");
}

BOOST_AUTO_TEST_CASE(index_ops_refuse_shapes_and_dtypes_that_do_not_fit) {
  const Tensor x = ones({2, 3});
  BOOST_TEST(error<std::invalid_argument>([&] {
               (void)gather(x, ones({2, 3}));
             }) == "gather: the index must be i64 or i32; got f32");
  BOOST_TEST(error<std::invalid_argument>([&] { (void)gather(x, tensor({0})); }) ==
             "gather: the index must have x's rank and no larger extents but in dim 1; x is [2, 3], the index [1]");
  BOOST_TEST(error<std::invalid_argument>([&] {
               (void)gather(x, zeros({3, 1}, {.dtype = i64}));
             }) ==
             "gather: the index must have x's rank and no larger extents but in dim 1; x is [2, 3], the index [3, 1]");
  BOOST_TEST(error<std::invalid_argument>([&] {
               (void)scatter_add(x, tensor({{0}}), {2, 3});
             }) == "scatter_add: x must be [1, 1]; got [2, 3]");
  BOOST_TEST(error<std::invalid_argument>([] { (void)scatter_add(tensor({1}), tensor({0}), {1}); }) ==
             "scatter_add: the dtype must be f32, f64 or bf16; got i64, convert it with to(x, f32)");
  BOOST_TEST(error<std::invalid_argument>([&] { (void)index_select(x, tensor({{0}})); }) ==
             "index_select: the index must have one dimension; got [1, 1]");
  BOOST_TEST(error<std::invalid_argument>([] { (void)index_select(scalar(1), tensor({0})); }) ==
             "index_select: a scalar has no dim to select from");
  BOOST_TEST(error<std::invalid_argument>([&] { (void)index_add(x, tensor({0}), 2); }) ==
             "index_add: the index must be [2]; got [1]");
  BOOST_TEST(error<std::invalid_argument>([&] { (void)gather(x, tensor({{0}}), {.dim = 2}); }) ==
             "gather: dim must be in [-2, 1]; got 2");
}

// --- index_select, embedding, one_hot

BOOST_AUTO_TEST_CASE(index_select_takes_slices_of_every_dtype) {
  for (const Dtype dtype : kDtypes) {
    const Tensor x = to(tensor({{1, 0, 1}, {0, 0, 1}}), dtype);
    BOOST_TEST(all_close(index_select(x, tensor({1, 0, 1})), {0, 0, 1, 1, 0, 1, 0, 0, 1}, 0));
    BOOST_TEST(all_close(index_select(x, tensor({2, 1}), {.dim = -1}), {1, 0, 1, 0}, 0));
  }
  BOOST_TEST(index_select(empty({3, 0}), tensor({1, 1})).shape() == (Shape{2, 0}));
}

BOOST_AUTO_TEST_CASE(large_selections_and_their_sums_are_the_same_on_any_number_of_threads) {
  Generator g(3);
  const Tensor x = randn({3, 200, 70}, {.generator = &g});
  const Tensor index = randint(0, 200, {500}, {.generator = &g});
  const int threads = num_threads();
  set_num_threads(1);
  const Tensor selected = index_select(x, index, {.dim = 1});
  const Tensor added = index_add(selected, index, 200, {.dim = 1});
  for (const int n : {2, 3, 7}) {
    set_num_threads(n);
    BOOST_TEST(same_bits(index_select(x, index, {.dim = 1}), selected));
    BOOST_TEST(same_bits(index_add(selected, index, 200, {.dim = 1}), added));
  }
  set_num_threads(threads);
  std::vector<double> times(200);
  for (const std::int64_t i : index.span<std::int64_t>()) times[static_cast<std::size_t>(i)] += 1;
  for (std::size_t i = 0; i < 200; ++i) {
    BOOST_TEST(added.data<float>()[i * 70] == x.data<float>()[i * 70] * times[i], boost::test_tools::tolerance(1e-5));
  }
}

BOOST_AUTO_TEST_CASE(embedding_looks_rows_up_and_leaves_the_padding_row_without_gradient) {
  Tensor w = leaf({1, 2, 3, 4, 5, 6}, {3, 2});
  const Tensor index = to(tensor({{0, 2}, {2, 1}}), i32);
  BOOST_TEST(embedding(w, index).shape() == (Shape{2, 2, 2}));
  BOOST_TEST(all_close(embedding(w, index), {1, 2, 5, 6, 5, 6, 3, 4}, 0));
  BOOST_TEST(all_close(ones_gradient(embedding(w, index), w), {1, 1, 1, 1, 2, 2}, 0));
  const Tensor padded = embedding(w, index, {.padding_idx = 2});
  BOOST_TEST(all_close(padded, {1, 2, 5, 6, 5, 6, 3, 4}, 0));
  BOOST_TEST(all_close(ones_gradient(padded, w), {1, 1, 1, 1, 0, 0}, 0));
  BOOST_TEST(error<std::invalid_argument>([] { (void)embedding(ones({3}), tensor({0})); }) ==
             "embedding: the weight must be [V, D]; got [3]");
  BOOST_TEST(error<std::out_of_range>([&] { (void)embedding(w, index, {.padding_idx = 3}); }) ==
             "embedding: padding_idx must be in [0, 3); got 3");
}

BOOST_AUTO_TEST_CASE(one_hot_marks_the_class_in_any_dtype) {
  BOOST_TEST(one_hot(tensor({1}), 2).dtype() == i64);
  for (const Dtype dtype : kDtypes) {
    BOOST_TEST(all_close(one_hot(tensor({{2, 0}}), 3, {.dtype = dtype}), {0, 0, 1, 1, 0, 0}, 0));
  }
  BOOST_TEST(one_hot(tensor({{2, 0}}), 3).shape() == (Shape{1, 2, 3}));
  BOOST_TEST(error<std::invalid_argument>([] { (void)one_hot(tensor({0}), 0); }) ==
             "one_hot: num_classes must be at least 1; got 0");
}

// --- sort, topk

BOOST_AUTO_TEST_CASE(sort_puts_nan_last_and_topk_first) {
  const Tensor x = tensor<double>({kNan, 1, kInf}, {.dtype = f64});
  BOOST_TEST(all_close(sort(x).values, {1, kInf, kNan}, 0));
  BOOST_TEST(all_close(sort(x, {.descending = true}).values, {kNan, kInf, 1}, 0));
  BOOST_TEST(all_close(topk(x, 2).values, {kNan, kInf}, 0));
  BOOST_TEST(all_close(topk(x, 2, {.largest = false}).values, {1, kInf}, 0));
  BOOST_TEST(all_close(argsort(x), {1, 2, 0}, 0));
}

BOOST_AUTO_TEST_CASE(ties_keep_their_order) {
  const Tensor x = tensor({1, 0, 1, 0, 1});
  BOOST_TEST(all_close(argsort(x), {1, 3, 0, 2, 4}, 0));
  BOOST_TEST(all_close(argsort(x, {.descending = true}), {0, 2, 4, 1, 3}, 0));
  BOOST_TEST(all_close(topk(x, 2).indices, {0, 2}, 0));
  BOOST_TEST(all_close(topk(x, 2, {.largest = false}).indices, {1, 3}, 0));
}

BOOST_AUTO_TEST_CASE(sort_along_any_dim_equals_sorting_each_line) {
  Generator g(4);
  const Tensor x = randn({4, 33, 3}, {.generator = &g});
  const Tensor y = sort(x, {.dim = 1}).values;
  for (Index n = 0; n < 4; ++n) {
    for (Index c = 0; c < 3; ++c) {
      std::vector<double> line;
      for (Index i = 0; i < 33; ++i) line.push_back(x.data<float>()[(n * 33 + i) * 3 + c]);
      std::sort(line.begin(), line.end());
      BOOST_TEST(all_close(select(select(y, {.index = n}), {.dim = 1, .index = c}), line, 0));
    }
  }
  BOOST_TEST(all_close(topk(x, 5, {.dim = 1, .largest = false}).values, slice(y, {.dim = 1, .end = 5}), 0));
}

BOOST_AUTO_TEST_CASE(topk_needs_that_many_elements) {
  BOOST_TEST(topk(ones({2, 3}), 0).values.shape() == (Shape{2, 0}));
  BOOST_TEST(topk(ones({0, 3}), 2).indices.shape() == (Shape{0, 2}));
  BOOST_TEST(sort(ones({3, 0})).values.shape() == (Shape{3, 0}));
  BOOST_TEST(sort(scalar(3)).values.item() == 3);
  BOOST_TEST(error<std::invalid_argument>([] {
               (void)topk(ones({2, 3}), 4);
             }) == "topk: k must be in [0, 3], the extent of dim 1; got 4");
  BOOST_TEST(error<std::invalid_argument>([] {
               (void)topk(ones({2, 3}), -1);
             }) == "topk: k must be in [0, 3], the extent of dim 1; got -1");
  BOOST_TEST(error<std::invalid_argument>([] {
               (void)sort(ones({2, 3}), {.dim = 2});
             }) == "sort: dim must be in [-2, 1]; got 2");
}

BOOST_AUTO_TEST_CASE(take_along_dim_broadcasts_and_take_counts_in_row_major_order) {
  const Tensor x = tensor({{1, 2, 3}, {4, 5, 6}});
  BOOST_TEST(all_close(take_along_dim(x, tensor({{2, 0}}), {.dim = 1}), {3, 1, 6, 4}, 0));
  BOOST_TEST(
      all_close(take_along_dim(x, argsort(x, {.dim = 1, .descending = true}), {.dim = 1}), {3, 2, 1, 6, 5, 4}, 0));
  BOOST_TEST(all_close(take(x, tensor({{5, 0}})), {6, 1}, 0));
  BOOST_TEST((take(x, tensor({{5, 0}})).shape() == Shape{1, 2}));
  BOOST_TEST(error<std::out_of_range>([&] {
               (void)take(x, tensor({1, 6}));
             }) == "take: an index must be in [0, 6); got 6 at position 1");
  BOOST_TEST(error<std::out_of_range>([&] { (void)take_along_dim(x, tensor({{-1}}), {.dim = 1}); }) ==
             "take_along_dim: an index must be in [0, 3); got -1 at position 0");
  BOOST_TEST(error<std::invalid_argument>([&] { (void)take_along_dim(x, tensor({1})); }) ==
             "take_along_dim: the index must have x's rank; x is [2, 3], the index [1]");
}

BOOST_AUTO_TEST_CASE(scatter_writes_the_last_of_several_which_alone_gets_the_gradient) {
  const Tensor x = leaf({5, 6}, {2}), src = leaf({1, 2}, {2}), at = tensor({0, 0});
  const Tensor y = scatter(x, at, src);
  BOOST_TEST(all_close(y, {2, 6}, 0));
  const auto g = grad({y}, {x, src}, {.grad_outputs = {ones_like(y)}});
  BOOST_TEST(all_close(g[0], {0, 1}, 0));
  BOOST_TEST(all_close(g[1], {0, 1}, 0));
  for (const Dtype dtype : kDtypes) {
    const Tensor written = scatter(zeros({2, 3}, {.dtype = dtype}), tensor({{1}, {2}}), 1);
    BOOST_TEST(all_close(written, {0, 1, 0, 0, 0, 1}, 0), dtype);
    BOOST_TEST((written.dtype() == dtype));
  }
  const Tensor rows_of = scatter(zeros({3, 2}), tensor({{2, 0}}), tensor({{7.0F, 8.0F}}), {.dim = 0});
  BOOST_TEST(all_close(rows_of, {0, 8, 0, 0, 7, 0}, 0));
  const Tensor untouched = scatter(x, zeros({0}, {.dtype = i64}), zeros({0}, {.dtype = f64}));
  BOOST_TEST(all_close(untouched, {5, 6}, 0));
  BOOST_TEST(!untouched.is_same(x));
}

BOOST_AUTO_TEST_CASE(scatter_agrees_with_a_loop_at_sizes_of_several_tasks) {
  Generator generator(3);
  const Tensor x = sample(generator, {70, 900}), src = sample(generator, {70, 1300});
  for (const Index dim : {0, 1}) {
    const Tensor index =
        randint(0, x.size(dim), dim == 1 ? Shape{70, 1300} : Shape{140, 900}, {.generator = &generator});
    const Tensor from = dim == 1 ? src : sample(generator, {140, 900});
    const Tensor y = scatter(x, index, from, {.dim = dim});
    std::vector<double> expected = values(x);
    const auto at = values(index), v = values(from);
    for (Index i = 0; i < index.size(0); ++i) {
      for (Index j = 0; j < index.size(1); ++j) {
        const auto k = static_cast<std::size_t>(i * index.size(1) + j);
        const auto place = static_cast<Index>(at[k]);
        expected[static_cast<std::size_t>(dim == 1 ? i * 900 + place : place * 900 + j)] = v[k];
      }
    }
    BOOST_TEST(values(y) == expected);
  }
}

BOOST_AUTO_TEST_CASE(index_put_writes_or_adds_at_places_that_indices_name_together) {
  const Tensor x = zeros({2, 3}, {.dtype = f64});
  const Tensor i = tensor({0, 1, 0}), j = tensor({2, 0, 2}), v = tensor({1.0, 2.0, 3.0}, {.dtype = f64});
  BOOST_TEST(all_close(index_put(x, {i, j}, v), {0, 0, 3, 2, 0, 0}, 0));
  BOOST_TEST(all_close(index_put(x, {i, j}, v, {.accumulate = true}), {0, 0, 4, 2, 0, 0}, 0));
  BOOST_TEST(all_close(index_put(x, {tensor({1})}, scalar(9, {.dtype = f64})), {0, 0, 0, 9, 9, 9}, 0));
  BOOST_TEST(all_close(index_put(x, {tensor({{0}, {1}}), tensor({0, 2})}, tensor({5.0, 6.0}, {.dtype = f64})),
                       {5, 0, 6, 5, 0, 6}, 0));
  BOOST_TEST(all_close(index_put(tensor({1, 2, 3}), {tensor({1})}, tensor({7})), {1, 7, 3}, 0));
  BOOST_TEST(all_close(index_put(x, {zeros({0}, {.dtype = i64})}, zeros({0, 3}, {.dtype = f64})), values(x), 0));
  BOOST_TEST(error<std::out_of_range>([&] {
               (void)index_put(x, {tensor({0, 2})}, scalar(1, {.dtype = f64}));
             }) == "index_put: an index must be in [0, 2); got 2 at position 1");
  BOOST_TEST(error<std::invalid_argument>([&] { (void)index_put(x, {}, scalar(1, {.dtype = f64})); }) ==
             "index_put: there must be an index for one to 2 dims; got 0");
  BOOST_TEST(error<std::invalid_argument>([&] { (void)index_put(x, {tensor({0})}, zeros({2}, {.dtype = f64})); }) ==
             "index_put: shapes must broadcast, extents equal or 1; got [2] and [1, 3], which differ in dim -1");
  BOOST_TEST(error<std::invalid_argument>([&] {
               (void)index_put(x, {scalar(0, {.dtype = i64})}, v * ones({4, 1}, {.dtype = f64}));
             }) == "index_put: values must broadcast to [3]; got [4, 3]");
  BOOST_TEST(error<std::invalid_argument>([&] {
               (void)index_put(tensor({1}), {tensor({0})}, tensor({1}), {.accumulate = true});
             }) == "index_put: the dtype must be f32, f64 or bf16; got i64, convert it with to(x, f32)");
}

BOOST_AUTO_TEST_CASE(masked_select_and_nonzero_list_what_is_true_in_row_major_order) {
  const Tensor x = tensor({{1, 0, 3}, {0, 5, 6}});
  BOOST_TEST(all_close(masked_select(x, gt(x, 2)), {3, 5, 6}, 0));
  BOOST_TEST(all_close(masked_select(x, tensor({true, false, false})), {1, 0}, 0));
  BOOST_TEST((masked_select(x, gt(x, 9)).shape() == Shape{0}));
  const Tensor at = nonzero(x);
  BOOST_TEST((at.shape() == Shape{4, 2}));
  BOOST_TEST(all_close(at, {0, 0, 0, 2, 1, 1, 1, 2}, 0));
  BOOST_TEST((nonzero(zeros({2, 3})).shape() == Shape{0, 2}));
  BOOST_TEST((nonzero(zeros({0, 3})).shape() == Shape{0, 2}));
  BOOST_TEST((nonzero(scalar(4)).shape() == Shape{1, 0}));
  BOOST_TEST(all_close(nonzero(tensor({kNan, 0.0, -0.0, kInf})), {0, 3}, 0));
  BOOST_TEST(all_close(nonzero(tensor({true, false, true})), {0, 2}, 0));
  BOOST_TEST(error<std::invalid_argument>([&] { (void)masked_select(x, x); }) ==
             "masked_select: the mask must be bool; got i64");
}

BOOST_AUTO_TEST_SUITE_END()
