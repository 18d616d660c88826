#include <tapestry/ops/shape_ops.h>

#include <support/expect.h>
#include <support/op_table.h>

#include <algorithm>
#include <limits>
#include <numeric>
#include <stdexcept>

#include <tapestry/autograd/backward.h>
#include <tapestry/autograd/base/parallel.h>
#include <tapestry/autograd/grad_mode.h>
#include <tapestry/autograd/random.h>
#include <tapestry/ops/binary.h>
#include <tapestry/ops/cast.h>

using namespace tapestry;
using namespace tapestry::test;

namespace {

const std::vector<Dtype> kDtypes{f32, f64, bf16, i64, i32, u8, boolean};

/// 0, 1, 2, ... in a shape.
Tensor count_up(const Shape& shape, Dtype dtype = f64) { return to(reshape(arange(shape.numel()), shape), dtype); }

bool shares(const Tensor& a, const Tensor& b) { return a.impl().storage == b.impl().storage; }

/// d(sum of y * weights)/dx with weights 1, 2, 3, ...: tells apart where each element went.
std::vector<double> weighted_gradient(const Tensor& y, const Tensor& x) {
  return values(grad(y, x, {.grad_outputs = {count_up(y.shape())}}));
}

Tensor leaf(const Shape& shape) {
  Tensor x = count_up(shape);
  x.requires_grad(true);
  return x;
}

/// Naive permutation.
std::vector<double> permuted(const std::vector<double>& x, const Shape& shape, const std::vector<Index>& order) {
  std::vector<Index> strides(order.size(), 1), at(order.size(), 0);
  for (std::size_t d = order.size(); d-- > 1;) strides[d - 1] = strides[d] * shape[static_cast<Index>(d)];
  std::vector<double> y;
  for (std::size_t n = 0; n < x.size(); ++n) {
    Index from = 0;
    for (std::size_t d = 0; d < order.size(); ++d) from += at[d] * strides[static_cast<std::size_t>(order[d])];
    y.push_back(x[static_cast<std::size_t>(from)]);
    for (std::size_t d = order.size(); d-- > 0;) {
      if (++at[d] < shape[order[d]]) break;
      at[d] = 0;
    }
  }
  return y;
}

using In = const std::vector<Tensor>&;

std::function<std::vector<Tensor>(Generator&)> one(const Shape& shape) {
  return [shape](Generator& g) { return std::vector<Tensor>{sample(g, shape)}; };
}

const OpRows rows{
    {.op = "reshape",
     .variant = "",
     .inputs = one({2, 6}),
     .f =
         [](In x) {
           return reshape(x[0], {3, -1});
         },
     .first_order_linear = true},
    {.op = "flatten",
     .variant = "",
     .inputs = one({2, 3, 2}),
     .f = [](In x) { return flatten(x[0]); },
     .first_order_linear = true},
    {.op = "squeeze",
     .variant = "",
     .inputs = one({2, 1, 3}),
     .f = [](In x) { return squeeze(x[0], 1); },
     .first_order_linear = true},
    {.op = "unsqueeze",
     .variant = "",
     .inputs = one({2, 3}),
     .f = [](In x) { return unsqueeze(x[0], -1); },
     .first_order_linear = true},
    {.op = "permute",
     .variant = "three dims",
     .inputs = one({2, 3, 4}),
     .f =
         [](In x) {
           return permute(x[0], {2, 0, 1});
         },
     .first_order_linear = true},
    {.op = "transpose",
     .variant = "",
     .inputs = one({3, 4}),
     .f = [](In x) { return transpose(x[0], 0, 1); },
     .first_order_linear = true},
    {.op = "cat",
     .variant = "dim 1, one tensor twice",
     .inputs =
         [](Generator& g) {
           return std::vector<Tensor>{sample(g, {2, 3}), sample(g, {2, 1})};
         },
     .f =
         [](In x) {
           return cat({x[0], x[1], x[0]}, {.dim = 1});
         },
     .first_order_linear = true},
    {.op = "stack",
     .variant = "dim 1",
     .inputs =
         [](Generator& g) {
           return std::vector<Tensor>{sample(g, {2, 3}), sample(g, {2, 3})};
         },
     .f =
         [](In x) {
           return stack({x[0], x[1]}, {.dim = 1});
         },
     .first_order_linear = true},
    {.op = "slice",
     .variant = "leading dim",
     .inputs = one({5, 3}),
     .f = [](In x) { return slice(x[0], {.begin = 1, .end = 4}); },
     .first_order_linear = true},
    {.op = "slice",
     .variant = "inner dim",
     .inputs = one({3, 5, 2}),
     .f = [](In x) { return slice(x[0], {.dim = 1, .begin = 1, .end = 4}); },
     .first_order_linear = true},
    {.op = "slice",
     .variant = "step 2",
     .inputs = one({3, 5}),
     .f = [](In x) { return slice(x[0], {.dim = 1, .begin = 1, .step = 2}); },
     .first_order_linear = true},
    {.op = "select",
     .variant = "",
     .inputs = one({3, 4}),
     .f = [](In x) { return select(x[0], {.dim = 1, .index = -1}); },
     .first_order_linear = true},
    {.op = "narrow",
     .variant = "",
     .inputs = one({3, 4}),
     .f = [](In x) { return narrow(x[0], {.dim = 1, .start = 1, .length = 2}); },
     .first_order_linear = true},
    {.op = "split",
     .variant = "the pieces joined in another order",
     .inputs = one({2, 5}),
     .f =
         [](In x) {
           const auto p = split(x[0], 2, {.dim = 1});
           return cat({p[2], p[0], p[1]}, {.dim = 1});
         },
     .first_order_linear = true},
    {.op = "chunk",
     .variant = "the pieces joined in another order",
     .inputs = one({5, 2}),
     .f =
         [](In x) {
           const auto p = chunk(x[0], 2);
           return cat({p[1], p[0]});
         },
     .first_order_linear = true},
    {.op = "pad",
     .variant = "constant, cropping one side",
     .inputs = one({3, 4}),
     .f =
         [](In x) {
           return pad(x[0], {{1, 2}, {-1, 1}});
         },
     .first_order_linear = true},
    {.op = "pad",
     .variant = "reflect",
     .inputs = one({3, 4}),
     .f =
         [](In x) {
           return pad(x[0], {{1, 0}, {2, 3}}, {.mode = PadMode::reflect});
         },
     .first_order_linear = true},
    {.op = "pad2d",
     .variant = "",
     .inputs = one({2, 2, 3, 2}),
     .f = [](In x) { return pad2d(x[0], {.top = 1, .right = 1}); },
     .first_order_linear = true},
    {.op = "repeat",
     .variant = "",
     .inputs = one({2, 3}),
     .f =
         [](In x) {
           return repeat(x[0], {2, 1, 2});
         },
     .first_order_linear = true},
    {.op = "expand",
     .variant = "",
     .inputs = one({2, 1}),
     .f =
         [](In x) {
           return expand(x[0], {3, -1, 2});
         },
     .first_order_linear = true},
    {.op = "movedim",
     .variant = "",
     .inputs = one({2, 3, 4}),
     .f = [](In x) { return movedim(x[0], 0, -1); },
     .first_order_linear = true},
    {.op = "unflatten",
     .variant = "",
     .inputs = one({2, 6}),
     .f =
         [](In x) {
           return unflatten(x[0], 1, {3, -1});
         },
     .first_order_linear = true},
    {.op = "unbind",
     .variant = "the second times the first",
     .inputs = one({2, 3}),
     .f =
         [](In x) {
           const auto rows_of_x = unbind(x[0]);
           return rows_of_x[1] * rows_of_x[0];
         }},
    {.op = "tile",
     .variant = "",
     .inputs = one({2, 3}),
     .f = [](In x) { return tile(x[0], {2}); },
     .first_order_linear = true},
    {.op = "roll",
     .variant = "two dims",
     .inputs = one({2, 3, 4}),
     .f =
         [](In x) {
           return roll(x[0], {1, -5}, {1, 2});
         },
     .first_order_linear = true},
    {.op = "roll",
     .variant = "all elements",
     .inputs = one({2, 3}),
     .f = [](In x) { return roll(x[0], {2}); },
     .first_order_linear = true},
    {.op = "tril",
     .variant = "diagonal 1",
     .inputs = one({2, 3, 4}),
     .f = [](In x) { return tril(x[0], {.diagonal = 1}); },
     .first_order_linear = true},
    {.op = "triu",
     .variant = "diagonal -1",
     .inputs = one({4, 3}),
     .f = [](In x) { return triu(x[0], {.diagonal = -1}); },
     .first_order_linear = true},
    {.op = "flip",
     .variant = "two dims",
     .inputs = one({2, 3, 2}),
     .f =
         [](In x) {
           return flip(x[0], {0, -1});
         },
     .first_order_linear = true},
};

}  // namespace

BOOST_AUTO_TEST_SUITE(shape_ops_test)

// --- reshape and its kin

BOOST_AUTO_TEST_CASE(reshape_keeps_the_order_and_shares_storage) {
  const Tensor x = count_up({2, 6});
  const Tensor y = reshape(x, {3, -1});
  BOOST_TEST(y.shape() == (Shape{3, 4}));
  BOOST_TEST(shares(x, y));
  BOOST_TEST(values(y) == values(x));
  BOOST_TEST(reshape(x, {2, 6}).is_same(x));
  BOOST_TEST(reshape(x, Shape{12}).shape() == Shape{12});
  BOOST_TEST(reshape(scalar(3), {1, 1}).shape() == (Shape{1, 1}));
}

BOOST_AUTO_TEST_CASE(one_extent_of_reshape_may_be_minus_one_unless_it_is_ambiguous) {
  BOOST_TEST(reshape(empty({0, 3}), {-1, 3}).shape() == (Shape{0, 3}));
  BOOST_TEST(error<std::invalid_argument>([] {
               (void)reshape(empty({0, 3}), {-1, 0});
             }) == "reshape: -1 beside an extent of 0 is ambiguous; x is [0, 3]");
  BOOST_TEST(error<std::invalid_argument>([] {
               (void)reshape(empty({4}), {-1, -1});
             }) == "reshape: at most one extent may be -1; got 2");
  BOOST_TEST(error<std::invalid_argument>([] {
               (void)reshape(empty({2, 5}), {3, -1});
             }) == "reshape: 10 elements must divide into the other extents, 3; x is [2, 5]");
  BOOST_TEST(error<std::invalid_argument>([] {
               (void)reshape(empty({2, 5}), {3, 3});
             }) == "reshape: the number of elements must stay 10; got [3, 3] for x of shape [2, 5]");
  BOOST_TEST(error<std::invalid_argument>([] {
               (void)reshape(empty({2, 5}), {-2, -1});
             }) == "shape: extents must not be negative; got [-2, 1]");
}

BOOST_AUTO_TEST_CASE(a_write_through_a_reshape_is_seen_by_what_was_saved) {
  Tensor x = leaf({2, 2});
  Tensor y = reshape(x.detach(), {4});
  const auto before = x.impl().storage->version();
  y.mutable_data<double>()[0] = 7;
  BOOST_TEST(x.impl().storage->version() != before);
  BOOST_TEST(values(x)[0] == 7);
}

BOOST_AUTO_TEST_CASE(flatten_keeps_the_batch_dim) {
  const Tensor x = count_up({2, 3, 4, 5});
  BOOST_TEST(flatten(x).shape() == (Shape{2, 60}));
  BOOST_TEST(shares(flatten(x), x));
  BOOST_TEST(flatten(x, {.start_dim = 0}).shape() == Shape{120});
  BOOST_TEST(flatten(x, {.start_dim = -3, .end_dim = 2}).shape() == (Shape{2, 12, 5}));
  BOOST_TEST(flatten(count_up({3})).shape() == Shape{3});
  BOOST_TEST(flatten(scalar(1)).shape() == Shape{1});
  BOOST_TEST(flatten(empty({0, 2, 3})).shape() == (Shape{0, 6}));
  BOOST_TEST(error<std::invalid_argument>([&] { (void)flatten(x, {.start_dim = 2, .end_dim = 1}); }) ==
             "flatten: start_dim must not lie behind end_dim; got 2 and 1");
  BOOST_TEST(error<std::invalid_argument>([&] { (void)flatten(x, {.start_dim = 4}); }) ==
             "flatten: dim must be in [-4, 3]; got 4");
}

BOOST_AUTO_TEST_CASE(squeeze_leaves_an_extent_other_than_one) {
  const Tensor x = count_up({2, 1, 3});
  BOOST_TEST(squeeze(x, 1).shape() == (Shape{2, 3}));
  BOOST_TEST(squeeze(x, -2).shape() == (Shape{2, 3}));
  BOOST_TEST(squeeze(x, 0).is_same(x));
  BOOST_TEST(unsqueeze(x, -1).shape() == (Shape{2, 1, 3, 1}));
  BOOST_TEST(unsqueeze(x, 0).shape() == (Shape{1, 2, 1, 3}));
  BOOST_TEST(unsqueeze(scalar(1), 0).shape() == Shape{1});
  BOOST_TEST(shares(unsqueeze(x, 0), x));
  BOOST_TEST(error<std::invalid_argument>([&] { (void)squeeze(x, 3); }) == "squeeze: dim must be in [-3, 2]; got 3");
  BOOST_TEST(error<std::invalid_argument>([&] { (void)unsqueeze(x, 4); }) ==
             "unsqueeze: dim must be in [-4, 3]; got 4");
}

// --- permute

BOOST_AUTO_TEST_CASE(permute_moves_every_dtype_as_a_naive_loop_does) {
  const Shape shape{3, 4, 2, 5};
  for (const Dtype dtype : kDtypes) {
    const Tensor x = count_up(shape, dtype);
    for (const std::vector<Index>& order : {std::vector<Index>{0, 3, 1, 2}, {3, 2, 1, 0}, {1, 0, 3, 2}, {0, 1, 2, 3}}) {
      BOOST_TEST(all_close(permute(x, order), permuted(values(x), shape, order), 0));
    }
  }
}

BOOST_AUTO_TEST_CASE(transposes_around_the_tile_size_are_right_for_any_number_of_threads) {
  for (const Index m : {1, 2, 31, 32, 33, 67}) {
    for (const Index n : {1, 3, 31, 32, 33, 67}) {
      const Tensor x = count_up({m, n}, f32);
      BOOST_TEST(all_close(transpose(x, 0, 1), permuted(values(x), {m, n}, {1, 0}), 0));
    }
  }
  const int threads = num_threads();
  const Tensor x = randn({9, 33, 70, 5});
  const std::vector<double> expected = permuted(values(x), x.shape(), {0, 3, 1, 2});
  for (const int n : {1, 2, 3, 7}) {
    set_num_threads(n);
    BOOST_TEST(all_close(permute(x, {0, 3, 1, 2}), expected, 0));
  }
  set_num_threads(threads);
}

BOOST_AUTO_TEST_CASE(permute_back_gives_the_same_bits) {
  const Tensor x = randn({4, 5, 6, 7});
  BOOST_TEST(same_bits(permute(permute(x, {0, 3, 1, 2}), {0, 2, 3, 1}), x));
  BOOST_TEST(permute(empty({0, 3}), {1, 0}).shape() == (Shape{3, 0}));
  BOOST_TEST(permute(scalar(2), {}).item() == 2);
  BOOST_TEST(transpose(x, 2, -2).is_same(x));
}

/// Of a cube all orders have the same shape, so that only values tell one from its inverse: d/dx of the sum of
/// permute(x) * permute(x), the second one a constant, is x.
BOOST_AUTO_TEST_CASE(the_gradient_of_every_order_of_a_cube_is_turned_back) {
  for (const Index rank : {2, 3, 4}) {
    const std::vector<Index> cube(static_cast<std::size_t>(rank), 3);
    const Tensor x = leaf(Shape(std::span<const Index>(cube)));
    std::vector<Index> order(static_cast<std::size_t>(rank));
    std::iota(order.begin(), order.end(), 0);
    int orders = 0;
    do {
      const Tensor y = permute(x, order), expected = x.detach(), dy = y.detach();
      const Tensor again = grad(y, x, {.grad_outputs = {dy}, .retain_graph = true});
      const Tensor recorded = grad(y, x, {.grad_outputs = {clone(dy).requires_grad(true)}, .create_graph = true});
      std::string name;
      for (const Index d : order) name += std::to_string(d) + ' ';
      BOOST_TEST(same_bits(again, expected), "order " << name);
      BOOST_TEST(same_bits(recorded.detach(), expected), "order " << name << "recorded");
      BOOST_TEST(all_close(y, permuted(values(x), x.shape(), order), 0), "order " << name);
      ++orders;
    } while (std::next_permutation(order.begin(), order.end()));
    BOOST_TEST(orders == (rank == 4 ? 24 : rank == 3 ? 6 : 2));
  }
}

BOOST_AUTO_TEST_CASE(permute_refuses_an_order_that_is_none) {
  const Tensor x = empty({2, 3});
  BOOST_TEST(error<std::invalid_argument>([&] { (void)permute(x, {0}); }) ==
             "permute: the order must name all 2 dims; got 1");
  BOOST_TEST(error<std::invalid_argument>([&] {
               (void)permute(x, {0, -2});
             }) == "permute: each dim must be named once; got 0 twice");
  BOOST_TEST(error<std::invalid_argument>([&] {
               (void)permute(x, {0, 2});
             }) == "permute: dim must be in [-2, 1]; got 2");
  BOOST_TEST(error<std::invalid_argument>([&] { (void)transpose(x, 0, 2); }) ==
             "transpose: dim must be in [-2, 1]; got 2");
}

// --- cat, stack

BOOST_AUTO_TEST_CASE(cat_joins_tensors_along_a_dim_in_every_dtype) {
  for (const Dtype dtype : kDtypes) {
    const Tensor a = to(tensor({{1, 0}, {1, 1}}), dtype), b = to(tensor({{0}, {1}}), dtype);
    BOOST_TEST(all_close(cat({a, b, a}, {.dim = 1}), {1, 0, 0, 1, 0, 1, 1, 1, 1, 1}, 0));
    BOOST_TEST(all_close(cat({a, a}), {1, 0, 1, 1, 1, 0, 1, 1}, 0));
    BOOST_TEST(cat({a, b}, {.dim = -1}).dtype() == dtype);
  }
  BOOST_TEST(cat({empty({0, 2}), ones({1, 2})}).shape() == (Shape{1, 2}));
}

BOOST_AUTO_TEST_CASE(cat_of_large_tensors_is_the_same_on_any_number_of_threads) {
  const int threads = num_threads();
  const Tensor a = randn({300, 1000}), b = randn({300, 7});
  set_num_threads(1);
  const Tensor expected = cat({a, b}, {.dim = 1});
  BOOST_TEST(values(slice(expected, {.dim = 1, .begin = 1000})) == values(b));
  BOOST_TEST(values(slice(expected, {.dim = 1, .end = 1000})) == values(a));
  for (const int n : {2, 3, 7}) {
    set_num_threads(n);
    BOOST_TEST(same_bits(cat({a, b}, {.dim = 1}), expected));
  }
  set_num_threads(threads);
}

BOOST_AUTO_TEST_CASE(the_gradient_of_cat_goes_back_piece_by_piece) {
  Tensor a = leaf({2, 2}), b = leaf({2, 1});
  const Tensor y = cat({a, b, a}, {.dim = 1});
  const auto g = grad({y}, {a, b}, {.grad_outputs = {count_up({2, 5})}});
  BOOST_TEST(all_close(g[0], {3, 5, 13, 15}, 0));
  BOOST_TEST(all_close(g[1], {2, 7}, 0));
}

BOOST_AUTO_TEST_CASE(stack_makes_a_dim) {
  const Tensor a = tensor({1, 2}), b = tensor({3, 4});
  BOOST_TEST(all_close(stack({a, b}), {1, 2, 3, 4}, 0));
  BOOST_TEST(all_close(stack({a, b}, {.dim = -1}), {1, 3, 2, 4}, 0));
  BOOST_TEST(stack({scalar(1), scalar(2)}).shape() == Shape{2});
}

BOOST_AUTO_TEST_CASE(cat_and_stack_refuse_what_does_not_fit) {
  BOOST_TEST(error<std::invalid_argument>([] { (void)cat({}); }) == "cat: there must be a tensor; got an empty list");
  BOOST_TEST(error<std::invalid_argument>([] { (void)stack({}); }) ==
             "stack: there must be a tensor; got an empty list");
  BOOST_TEST(error<std::invalid_argument>([] { (void)cat({scalar(1)}); }) ==
             "cat: scalars cannot be joined; use stack");
  BOOST_TEST(error<std::invalid_argument>([] {
               (void)cat({empty({2, 3}), empty({2, 4})});
             }) == "cat: extents other than that of dim 0 must be equal; tensor 0 is [2, 3], tensor 1 is [2, 4]");
  BOOST_TEST(error<std::invalid_argument>([] {
               (void)cat({empty({2, 3}), empty({0})});
             }) == "cat: extents other than that of dim 0 must be equal; tensor 0 is [2, 3], tensor 1 is [0]");
  BOOST_TEST(error<std::invalid_argument>([] {
               (void)cat({empty({2}), empty({2}, f64)});
             }) == "cat: the dtypes must be equal; got f32 and f64, convert one with to(x, f32)");
  BOOST_TEST(error<std::invalid_argument>([] {
               (void)stack({empty({2}), empty({3})});
             }) == "stack: shapes must be equal; tensor 0 is [2], tensor 1 is [3]");
}

// --- slice, select, narrow, split

BOOST_AUTO_TEST_CASE(slice_clamps_its_ends) {
  BOOST_TEST(all_close(slice(arange(3), {.begin = 1, .end = 10}), {1, 2}, 0));
  BOOST_TEST(all_close(slice(arange(5), {.begin = -10, .end = 2}), {0, 1}, 0));
  BOOST_TEST(slice(arange(5), {.begin = 3, .end = 1}).shape() == Shape{0});
  BOOST_TEST(all_close(slice(arange(5), {.begin = -2}), {3, 4}, 0));
  BOOST_TEST(all_close(slice(arange(5), {.end = -3}), {0, 1}, 0));
  BOOST_TEST(all_close(slice(arange(6), {.begin = 1, .step = 2}), {1, 3, 5}, 0));
  BOOST_TEST(all_close(slice(arange(6), {.step = 100}), {0}, 0));
  BOOST_TEST(slice(empty({0, 2}), {.begin = 1}).shape() == (Shape{0, 2}));
}

BOOST_AUTO_TEST_CASE(only_a_leading_slice_without_gaps_shares_storage) {
  const Tensor x = count_up({4, 3});
  const Tensor leading = slice(x, {.begin = 1, .end = 3});
  BOOST_TEST(shares(leading, x));
  BOOST_TEST(all_close(leading, {3, 4, 5, 6, 7, 8}, 0));
  BOOST_TEST(shares(slice(reshape(x, {1, 4, 3}), {.dim = 1, .end = 2}), x));
  BOOST_TEST(!shares(slice(x, {.step = 2}), x));
  BOOST_TEST(!shares(slice(x, {.dim = 1, .end = 2}), x));
  BOOST_TEST(slice(x, {}).is_same(x));
}

BOOST_AUTO_TEST_CASE(slices_of_every_dtype_take_the_right_elements) {
  for (const Dtype dtype : kDtypes) {
    const Tensor x = to(tensor({{1, 0, 1}, {0, 0, 1}}), dtype);
    BOOST_TEST(all_close(slice(x, {.dim = 1, .begin = 1}), {0, 1, 0, 1}, 0));
    BOOST_TEST(all_close(slice(x, {.dim = 1, .step = 2}), {1, 1, 0, 1}, 0));
    BOOST_TEST(all_close(select(x, {.dim = 1, .index = -1}), {1, 1}, 0));
    BOOST_TEST(all_close(flip(x, {1}), {1, 0, 1, 1, 0, 0}, 0));
    BOOST_TEST(all_close(pad(x, {{0, 1}, {1, 0}}, {.value = 1}), {1, 1, 0, 1, 1, 0, 0, 1, 1, 1, 1, 1}, 0));
  }
}

BOOST_AUTO_TEST_CASE(the_gradient_of_a_slice_is_zero_outside_it) {
  Tensor x = leaf({2, 4});
  BOOST_TEST(weighted_gradient(slice(x, {.begin = 1}), x) == (std::vector<double>{0, 0, 0, 0, 0, 1, 2, 3}));
  BOOST_TEST(weighted_gradient(slice(x, {.dim = 1, .begin = 1, .end = 3}), x) ==
             (std::vector<double>{0, 0, 1, 0, 0, 2, 3, 0}));
  BOOST_TEST(weighted_gradient(slice(x, {.dim = 1, .begin = 1, .step = 2}), x) ==
             (std::vector<double>{0, 0, 0, 1, 0, 2, 0, 3}));
  BOOST_TEST(weighted_gradient(slice(x, {.end = 0}), x) == std::vector<double>(8, 0));
}

BOOST_AUTO_TEST_CASE(slice_refuses_a_step_below_one_and_a_scalar) {
  BOOST_TEST(error<std::invalid_argument>([] { (void)slice(arange(3), {.step = 0}); }) ==
             "slice: step must be at least 1; got 0");
  BOOST_TEST(error<std::invalid_argument>([] { (void)slice(scalar(3), {}); }) == "slice: a scalar has no dim to slice");
  BOOST_TEST(error<std::invalid_argument>([] { (void)slice(arange(3), {.dim = 1}); }) ==
             "slice: dim must be in [-1, 0]; got 1");
}

BOOST_AUTO_TEST_CASE(select_and_narrow_never_clamp) {
  const Tensor x = count_up({3, 4});
  BOOST_TEST(all_close(select(x, {.index = 1}), {4, 5, 6, 7}, 0));
  BOOST_TEST(all_close(select(x, {.dim = 1, .index = -4}), {0, 4, 8}, 0));
  BOOST_TEST(error<std::out_of_range>([&] { (void)select(x, {.index = 3}); }) ==
             "select: the index must be in [-3, 3); got 3 for dim 0 of [3, 4]");
  BOOST_TEST(error<std::out_of_range>([&] { (void)select(x, {.dim = 1, .index = -5}); }) ==
             "select: the index must be in [-4, 4); got -5 for dim 1 of [3, 4]");
  BOOST_TEST(all_close(narrow(x, {.dim = 1, .start = 1, .length = 2}), {1, 2, 5, 6, 9, 10}, 0));
  BOOST_TEST(all_close(narrow(x, {.start = -1, .length = 1}), {8, 9, 10, 11}, 0));
  BOOST_TEST(narrow(x, {.start = 3, .length = 0}).shape() == (Shape{0, 4}));
  BOOST_TEST(error<std::out_of_range>([&] { (void)narrow(x, {.start = 2, .length = 2}); }) ==
             "narrow: start and start + length must lie in an extent of 3; got start 2, length 2");
  BOOST_TEST(error<std::invalid_argument>([] { (void)select(scalar(1), {}); }) ==
             "select: a scalar has no dim to select from");
}

BOOST_AUTO_TEST_CASE(split_and_chunk_cut_as_pytorch_does) {
  const auto extents = [](const std::vector<Tensor>& pieces) {
    std::vector<Index> out;
    for (const Tensor& piece : pieces) out.push_back(piece.size(0));
    return out;
  };
  BOOST_TEST(extents(split(arange(7), 3)) == (std::vector<Index>{3, 3, 1}));
  BOOST_TEST(extents(chunk(arange(7), 4)) == (std::vector<Index>{2, 2, 2, 1}));
  BOOST_TEST(extents(chunk(arange(5), 4)) == (std::vector<Index>{2, 2, 1}));
  BOOST_TEST(extents(chunk(arange(0), 4)) == (std::vector<Index>{0}));
  BOOST_TEST(extents(split(arange(7), std::vector<Index>{3, 0, 4})) == (std::vector<Index>{3, 0, 4}));
  BOOST_TEST(all_close(split(arange(7), 3)[2], {6}, 0));
  BOOST_TEST(error<std::invalid_argument>([] {
               (void)split(arange(7), std::vector<Index>{3, 3});
             }) == "split: sizes must add up to 7, the extent of dim 0; got 6");
  BOOST_TEST(error<std::invalid_argument>([] { (void)split(arange(7), 0); }) ==
             "split: the size of a piece must be at least 1; got 0");
  BOOST_TEST(error<std::invalid_argument>([] { (void)chunk(arange(7), 0); }) ==
             "chunk: the number of chunks must be at least 1; got 0");
}

// --- pad, repeat, expand, flip

BOOST_AUTO_TEST_CASE(pad_adds_a_constant_or_crops) {
  BOOST_TEST(all_close(pad(arange(2), {{1, 2}}, {.value = 9}), {9, 0, 1, 9, 9}, 0));
  BOOST_TEST(all_close(pad(arange(4), {{-1, -1}}), {1, 2}, 0));
  BOOST_TEST(all_close(pad(arange(4), {{-2, 1}}, {.value = 7}), {2, 3, 7}, 0));
  BOOST_TEST(pad(arange(4), {{-2, -2}}).shape() == Shape{0});
  BOOST_TEST(all_close(pad(empty({0}, f64), {{1, 1}}, {.value = 3}), {3, 3}, 0));
  BOOST_TEST(all_close(pad(tensor({{1, 2}, {3, 4}}), {{1, 0}, {0, 1}}), {0, 0, 0, 1, 2, 0, 3, 4, 0}, 0));
  const Tensor x = arange(3);
  BOOST_TEST(pad(x, {{0, 0}}).is_same(x));
}

BOOST_AUTO_TEST_CASE(pad_of_images_equals_a_naive_loop) {
  const Tensor x = count_up({2, 3, 4, 2});
  const Tensor y = pad2d(x, {.top = 1, .bottom = 2, .left = 3, .right = 0, .value = -5});
  BOOST_REQUIRE(y.shape() == (Shape{2, 6, 7, 2}));
  std::vector<double> expected;
  for (Index n = 0; n < 2; ++n) {
    for (Index i = -1; i < 5; ++i) {
      for (Index j = -3; j < 4; ++j) {
        for (Index c = 0; c < 2; ++c) {
          const bool inside = i >= 0 && i < 3 && j >= 0;
          expected.push_back(inside ? values(x)[static_cast<std::size_t>(((n * 3 + i) * 4 + j) * 2 + c)] : -5);
        }
      }
    }
  }
  BOOST_TEST(all_close(y, expected, 0));
  BOOST_TEST(error<std::invalid_argument>([] {
               (void)pad2d(empty({3, 3, 1}), {.top = 1});
             }) == "pad2d: the input must be [N, H, W, C]; got [3, 3, 1], reshape one image to [1, H, W, C]");
}

BOOST_AUTO_TEST_CASE(the_gradient_of_pad_is_a_crop_and_that_of_a_crop_zeros) {
  Tensor x = leaf({3});
  BOOST_TEST(weighted_gradient(pad(x, {{1, 1}}, {.value = 4}), x) == (std::vector<double>{1, 2, 3}));
  BOOST_TEST(weighted_gradient(pad(x, {{-1, 2}}), x) == (std::vector<double>{0, 0, 1}));
  BOOST_TEST(weighted_gradient(pad(x, {{2, 0}}, {.mode = PadMode::reflect}), x) == (std::vector<double>{2, 4, 4}));
}

BOOST_AUTO_TEST_CASE(pad_refuses_what_leaves_less_than_nothing) {
  BOOST_TEST(error<std::invalid_argument>([] {
               (void)pad(arange(3), {{-2, -2}});
             }) == "pad: what is left must not be negative; got 3 with (-2, -2) in dim 0");
  BOOST_TEST(error<std::invalid_argument>([] {
               (void)pad(arange(3), {{-4, 5}});
             }) == "pad: what is left must not be negative; got 3 with (-4, 5) in dim 0");
  BOOST_TEST(error<std::invalid_argument>([] {
               (void)pad(arange(3), {{1, 1}, {1, 1}});
             }) == "pad: there must be at most 1 pairs, one per dim; got 2");
  BOOST_TEST(error<std::invalid_argument>([] {
               (void)pad(arange(3), {{1, 1}}, {.value = 1.5});
             }) == "pad: beside a tensor of i64 the number must be one that it can hold; got 1.5");
}

BOOST_AUTO_TEST_CASE(repeat_tiles_and_expand_broadcasts) {
  BOOST_TEST(all_close(repeat(tensor({1, 2}), {2, 2}), {1, 2, 1, 2, 1, 2, 1, 2}, 0));
  BOOST_TEST(all_close(repeat(tensor({{1}, {2}}), {2, 2}), {1, 1, 2, 2, 1, 1, 2, 2}, 0));
  BOOST_TEST(repeat(tensor({1, 2}), {0}).shape() == Shape{0});
  BOOST_TEST(error<std::invalid_argument>([] {
               (void)repeat(empty({2, 3}), {2});
             }) == "repeat: there must be a count for each of 2 dims; got 1");
  BOOST_TEST(error<std::invalid_argument>([] { (void)repeat(empty({2}), {-1}); }) ==
             "repeat: a count must not be negative; got -1 for dim 0");
  BOOST_TEST(all_close(expand(tensor({{1}, {2}}), {-1, 2}), {1, 1, 2, 2}, 0));
  BOOST_TEST(error<std::invalid_argument>([] {
               (void)expand(empty({2}), {-1, 2});
             }) == "expand: -1 stands for an extent of x; got it for new dim 0");
}

BOOST_AUTO_TEST_CASE(flip_turns_dims_round) {
  const Tensor x = tensor({{1, 2, 3}, {4, 5, 6}});
  BOOST_TEST(all_close(flip(x, {0}), {4, 5, 6, 1, 2, 3}, 0));
  BOOST_TEST(all_close(flip(x, {0, 1}), {6, 5, 4, 3, 2, 1}, 0));
  BOOST_TEST(all_close(flip(x, {}), x, 0));
  BOOST_TEST(flip(empty({0, 2}), {0, 1}).shape() == (Shape{0, 2}));
  BOOST_TEST(error<std::invalid_argument>([&] {
               (void)flip(x, {1, -1});
             }) == "flip: each dim must be named once; got -1 twice");
}

BOOST_AUTO_TEST_CASE(nothing_is_recorded_for_constants_and_no_grad) {
  BOOST_TEST(!permute(count_up({2, 2}), {1, 0}).requires_grad());
  const Tensor x = leaf({2, 2});
  const NoGradGuard guard;
  BOOST_TEST(!slice(x, {.begin = 1}).requires_grad());
  BOOST_TEST(!reshape(x, {4}).requires_grad());
}

// --- movedim, unflatten, unbind, tile, roll, triangles

BOOST_AUTO_TEST_CASE(movedim_keeps_the_order_of_the_others) {
  const Tensor x = count_up({2, 3, 4, 5});
  BOOST_TEST((movedim(x, 0, 2).shape() == Shape{3, 4, 2, 5}));
  BOOST_TEST((movedim(x, -1, 0).shape() == Shape{5, 2, 3, 4}));
  BOOST_TEST(same_bits(movedim(x, 0, 2), permute(x, {1, 2, 0, 3})));
  BOOST_TEST(same_bits(movedim(x, {0, 3}, {3, 1}), permute(x, {1, 3, 2, 0})));
  const Tensor lone = scalar(3);
  BOOST_TEST(movedim(lone, 0, -1).item() == 3);
  BOOST_TEST(error<std::invalid_argument>([&] {
               (void)movedim(x, {0, 1}, {2});
             }) == "movedim: there must be a destination for each source; got 2 and 1");
  BOOST_TEST(error<std::invalid_argument>([&] {
               (void)movedim(x, {0, 0}, {1, 2});
             }) == "movedim: each dim must be named once on either side; got 0 to 2 after another");
  BOOST_TEST(error<std::invalid_argument>([&] { (void)movedim(x, 4, 0); }) == "movedim: dim must be in [-4, 3]; got 4");
}

BOOST_AUTO_TEST_CASE(unflatten_undoes_flatten) {
  const Tensor x = count_up({2, 12});
  BOOST_TEST((unflatten(x, 1, {3, -1}).shape() == Shape{2, 3, 4}));
  BOOST_TEST((unflatten(x, -1, {2, 2, 3}).shape() == Shape{2, 2, 2, 3}));
  BOOST_TEST(shares(unflatten(x, 1, {3, 4}), x));
  BOOST_TEST((unflatten(count_up({0, 2}), 0, {0, 5}).shape() == Shape{0, 5, 2}));
  const auto refused = [&](const std::vector<Index>& extents) {
    return error<std::invalid_argument>([&] { (void)unflatten(x, 1, extents); });
  };
  BOOST_TEST(refused({3, 5}) == "unflatten: extents must multiply to 12, that of dim 1; got 15");
  BOOST_TEST(refused({5, -1}) == "unflatten: the extent 12 of dim 1 must divide into the other extents, 5");
  BOOST_TEST(refused({-1, -1}) == "unflatten: extents must not be negative but for one -1; got -1");
  BOOST_TEST(refused({0, -1}) == "unflatten: the extent 12 of dim 1 must divide into the other extents, 0");
  BOOST_TEST(error<std::invalid_argument>([] { (void)unflatten(scalar(1), 0, {1}); }) ==
             "unflatten: a scalar has no dim to unflatten");
}

BOOST_AUTO_TEST_CASE(unbind_gives_every_slice) {
  const std::vector<Tensor> columns = unbind(tensor({{1, 2}, {3, 4}, {5, 6}}), {.dim = 1});
  BOOST_REQUIRE(columns.size() == 2U);
  BOOST_TEST(all_close(columns[1], {2, 4, 6}, 0));
  BOOST_TEST((columns[1].shape() == Shape{3}));
  BOOST_TEST(unbind(zeros({0, 2})).empty());
  BOOST_TEST(error<std::invalid_argument>([] { (void)unbind(scalar(1)); }) == "unbind: a scalar has no dim to unbind");
}

BOOST_AUTO_TEST_CASE(tile_takes_counts_for_the_last_dims) {
  const Tensor x = tensor({{1, 2}, {3, 4}});
  BOOST_TEST(all_close(tile(x, {2}), {1, 2, 1, 2, 3, 4, 3, 4}, 0));
  BOOST_TEST((tile(x, {2, 1, 3}).shape() == Shape{2, 2, 6}));
  BOOST_TEST(same_bits(tile(x, {3, 2}), repeat(x, {3, 2})));
}

BOOST_AUTO_TEST_CASE(roll_moves_elements_in_a_circle) {
  const Tensor x = tensor({{1, 2, 3}, {4, 5, 6}});
  BOOST_TEST(all_close(roll(x, {1}, {1}), {3, 1, 2, 6, 4, 5}, 0));
  BOOST_TEST(all_close(roll(x, {-1}, {1}), {2, 3, 1, 5, 6, 4}, 0));
  BOOST_TEST(all_close(roll(x, {7}, {1}), {3, 1, 2, 6, 4, 5}, 0));
  BOOST_TEST(all_close(roll(x, {1, 1}, {0, 1}), {6, 4, 5, 3, 1, 2}, 0));
  BOOST_TEST(all_close(roll(x, {2}), {5, 6, 1, 2, 3, 4}, 0));
  BOOST_TEST(all_close(roll(x, {std::numeric_limits<Index>::min()}, {1}), {3, 1, 2, 6, 4, 5}, 0));  // -2^63 % 3 = -2
  BOOST_TEST(roll(zeros({0, 3}), {1}, {0}).numel() == 0);
  BOOST_TEST(roll(scalar(4), {3}).item() == 4);
  BOOST_TEST(error<std::invalid_argument>([&] {
               (void)roll(x, {1, 2});
             }) == "roll: there must be a shift for each dim, or one shift and no dim; got 2 and 0");
}

BOOST_AUTO_TEST_CASE(triangles_keep_one_side_of_a_diagonal) {
  const Tensor x = reshape(arange(1, 13), {3, 4});
  BOOST_TEST(all_close(tril(x), {1, 0, 0, 0, 5, 6, 0, 0, 9, 10, 11, 0}, 0));
  BOOST_TEST(all_close(triu(x), {1, 2, 3, 4, 0, 6, 7, 8, 0, 0, 11, 12}, 0));
  BOOST_TEST(all_close(tril(x, {.diagonal = -1}), {0, 0, 0, 0, 5, 0, 0, 0, 9, 10, 0, 0}, 0));
  BOOST_TEST(all_close(triu(x, {.diagonal = 2}), {0, 0, 3, 4, 0, 0, 0, 8, 0, 0, 0, 0}, 0));
  constexpr Index far = std::numeric_limits<Index>::max(), low = std::numeric_limits<Index>::min();
  for (const Index d : {far, Index{4}}) {
    BOOST_TEST(same_bits(tril(x, {.diagonal = d}), x));
    BOOST_TEST(all_close(triu(x, {.diagonal = d}), std::vector<double>(12, 0), 0));
  }
  for (const Index d : {low, low + 1, Index{-3}}) {
    BOOST_TEST(all_close(tril(x, {.diagonal = d}), std::vector<double>(12, 0), 0));
    BOOST_TEST(same_bits(triu(x, {.diagonal = d}), x));
  }
  for (const Dtype dtype : kDtypes) BOOST_TEST(all_close(tril(ones({2, 2}, {.dtype = dtype})), {1, 0, 1, 1}, 0));
  const Tensor infinite = full({2, 2}, std::numeric_limits<double>::infinity());
  BOOST_TEST(tril(infinite).data<float>()[1] == 0);  // chosen, not multiplied
  BOOST_TEST(error<std::invalid_argument>([] { (void)tril(ones({3})); }) == "tril: x must be [..., M, N]; got [3]");
}

BOOST_AUTO_TEST_SUITE_END()
