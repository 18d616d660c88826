#include <tapestry/ops/matmul.h>

#include <support/expect.h>
#include <support/op_table.h>

#include <stdexcept>

#include <tapestry/autograd/backward.h>
#include <tapestry/autograd/base/parallel.h>
#include <tapestry/autograd/grad_mode.h>
#include <tapestry/autograd/memory/allocator.h>
#include <tapestry/autograd/random.h>
#include <tapestry/autograd/tape.h>
#include <tapestry/ops/cast.h>
#include <tapestry/ops/shape_ops.h>

using namespace tapestry;
using namespace tapestry::test;

namespace {

/// a [m, k] b [k, n], either stored the other way round, as a naive loop.
std::vector<double> naive(const std::vector<double>& a, const std::vector<double>& b, Index m, Index n, Index k,
                          bool ta, bool tb) {
  std::vector<double> y;
  for (Index i = 0; i < m; ++i) {
    for (Index j = 0; j < n; ++j) {
      double sum = 0;
      for (Index p = 0; p < k; ++p) {
        sum += a[static_cast<std::size_t>(ta ? p * m + i : i * k + p)] *
               b[static_cast<std::size_t>(tb ? j * k + p : p * n + j)];
      }
      y.push_back(sum);
    }
  }
  return y;
}

/// Integers whose products add up exactly in f32.
Tensor integers(const Shape& shape, Dtype dtype, Generator& g) {
  return to(randint(-8, 9, shape, {.generator = &g}), dtype);
}

Shape matrix(Index rows, Index columns, bool transposed) {
  return transposed ? Shape{columns, rows} : Shape{rows, columns};
}

using In = const std::vector<Tensor>&;

std::function<std::vector<Tensor>(Generator&)> shapes(const std::vector<Shape>& list) {
  return [list](Generator& g) {
    std::vector<Tensor> out;
    for (const Shape& shape : list) out.push_back(sample(g, shape));
    return out;
  };
}

const OpRows rows{
    {.op = "matmul",
     .variant = "plain",
     .inputs = shapes({{3, 4}, {4, 2}}),
     .f = [](In x) { return matmul(x[0], x[1]); }},
    {.op = "matmul",
     .variant = "a transposed",
     .inputs = shapes({{4, 3}, {4, 2}}),
     .f = [](In x) { return matmul(x[0], x[1], {.transpose_a = true}); }},
    {.op = "matmul",
     .variant = "b transposed",
     .inputs = shapes({{3, 4}, {2, 4}}),
     .f = [](In x) { return matmul(x[0], x[1], {.transpose_b = true}); }},
    {.op = "matmul",
     .variant = "both transposed",
     .inputs = shapes({{4, 3}, {2, 4}}),
     .f = [](In x) { return matmul(x[0], x[1], {.transpose_a = true, .transpose_b = true}); }},
    {.op = "matmul",
     .variant = "batch dims that broadcast",
     .inputs = shapes({{2, 1, 3, 4}, {3, 4, 2}}),
     .f = [](In x) { return matmul(x[0], x[1]); }},
    {.op = "matmul",
     .variant = "batch times matrix",
     .inputs = shapes({{2, 3, 4}, {2, 4}}),
     .f = [](In x) { return matmul(x[0], x[1], {.transpose_b = true}); }},
    {.op = "matmul",
     .variant = "matrix times batch",
     .inputs = shapes({{4, 3}, {2, 4, 2}}),
     .f = [](In x) { return matmul(x[0], x[1], {.transpose_a = true}); }},
    {.op = "matmul",
     .variant = "vector times matrix",
     .inputs = shapes({{4}, {4, 2}}),
     .f = [](In x) { return matmul(x[0], x[1]); }},
    {.op = "matmul",
     .variant = "batch times vector",
     .inputs = shapes({{2, 3, 4}, {4}}),
     .f = [](In x) { return matmul(x[0], x[1]); }},
    {.op = "matmul",
     .variant = "vector times vector",
     .inputs = shapes({{4}, {4}}),
     .f = [](In x) { return matmul(x[0], x[1]); }},
    {.op = "matmul",
     .variant = "a matrix times itself",
     .inputs = shapes({{3, 3}}),
     .f = [](In x) { return matmul(x[0], x[0]); }},
    {.op = "linear",
     .variant = "bias",
     .inputs = shapes({{5, 4}, {3, 4}, {3}}),
     .f = [](In x) { return linear(x[0], x[1], x[2]); }},
    {.op = "linear",
     .variant = "no bias, two leading dims",
     .inputs = shapes({{2, 2, 4}, {3, 4}}),
     .f = [](In x) { return linear(x[0], x[1]); }},
    {.op = "linear",
     .variant = "one vector",
     .inputs = shapes({{4}, {3, 4}, {3}}),
     .f = [](In x) { return linear(x[0], x[1], x[2]); }},
};

}  // namespace

BOOST_AUTO_TEST_SUITE(matmul_test)

BOOST_AUTO_TEST_CASE(products_of_integers_are_exact_for_all_transposes_and_sizes) {
  Generator g(1);
  for (const Dtype dtype : {f32, f64}) {
    for (const Index m : {1, 5, 33}) {
      for (const Index n : {1, 10, 65}) {
        for (const Index k : {1, 7, 130}) {
          for (const int flags : {0, 1, 2, 3}) {
            const bool ta = flags & 1, tb = flags & 2;
            const Tensor a = integers(matrix(m, k, ta), dtype, g), b = integers(matrix(k, n, tb), dtype, g);
            const Tensor y = matmul(a, b, {.transpose_a = ta, .transpose_b = tb});
            BOOST_REQUIRE(y.shape() == (Shape{m, n}));
            BOOST_TEST(all_close(y, naive(values(a), values(b), m, n, k, ta, tb), 0));
          }
        }
      }
    }
  }
}

BOOST_AUTO_TEST_CASE(batch_dims_broadcast) {
  Generator g(2);
  const Tensor a = integers({2, 1, 3, 4}, f32, g), b = integers({5, 4, 2}, f32, g);
  const Tensor y = matmul(a, b);
  BOOST_REQUIRE(y.shape() == (Shape{2, 5, 3, 2}));
  for (Index i = 0; i < 2; ++i) {
    for (Index j = 0; j < 5; ++j) {
      const Tensor one = select(select(y, {.index = i}), {.index = j});
      const auto expected =
          naive(values(select(a, {.index = i})), values(select(b, {.index = j})), 3, 2, 4, false, false);
      BOOST_TEST(all_close(one, expected, 0));
    }
  }
  BOOST_TEST(matmul(ones({0, 3, 4}), ones({4, 2})).shape() == (Shape{0, 3, 2}));
  BOOST_TEST(matmul(ones({2, 0, 4}), ones({4, 2})).shape() == (Shape{2, 0, 2}));
}

BOOST_AUTO_TEST_CASE(a_batch_times_a_matrix_equals_each_product_alone) {
  Generator g(3);
  const Tensor a = integers({3, 5, 4}, f64, g), b = integers({2, 4}, f64, g);
  const Tensor y = matmul(a, b, {.transpose_b = true});
  BOOST_REQUIRE(y.shape() == (Shape{3, 5, 2}));
  for (Index i = 0; i < 3; ++i) {
    BOOST_TEST(all_close(select(y, {.index = i}), matmul(select(a, {.index = i}), b, {.transpose_b = true}), 0));
  }
}

BOOST_AUTO_TEST_CASE(vectors_are_promoted_and_lose_their_dim_again) {
  const Tensor m = tensor<double>({{1, 2}, {3, 4}}), v = tensor<double>({5, 6});
  BOOST_TEST(all_close(matmul(m, v), {17, 39}, 0));
  BOOST_TEST(all_close(matmul(v, m), {23, 34}, 0));
  BOOST_TEST(matmul(v, v).shape() == Shape{});
  BOOST_TEST(matmul(v, v).item() == 61);
  BOOST_TEST(matmul(ones({7, 3, 2}), ones({2})).shape() == (Shape{7, 3}));
  BOOST_TEST(matmul(ones({2}), ones({7, 2, 3})).shape() == (Shape{7, 3}));
  BOOST_TEST(all_close(matmul(v, m, {.transpose_b = true}), {17, 39}, 0));
}

BOOST_AUTO_TEST_CASE(an_inner_extent_of_zero_gives_zeros) {
  BOOST_TEST(all_close(matmul(empty({2, 0}), empty({0, 3})), std::vector<double>(6, 0), 0));
  BOOST_TEST(matmul(empty({0, 2}), empty({2, 3})).shape() == (Shape{0, 3}));
  BOOST_TEST(all_close(matmul(empty({4, 2, 0}), empty({0, 1})), std::vector<double>(8, 0), 0));
  BOOST_TEST(matmul(empty({0}), empty({0})).item() == 0);
  Tensor a = empty({2, 0}), b = empty({0, 3});
  a.requires_grad(true);
  b.requires_grad(true);
  const auto g = grad({matmul(a, b)}, {a, b}, {.grad_outputs = {ones({2, 3})}});
  BOOST_TEST(g[0].shape() == (Shape{2, 0}));
  BOOST_TEST(g[1].shape() == (Shape{0, 3}));
}

BOOST_AUTO_TEST_CASE(each_operand_is_kept_only_for_the_gradient_of_the_other) {
  Tensor a = ones({8, 4}), b = ones({4, 2});
  a.requires_grad(true);
  BOOST_TEST(Tape::of(matmul(a, b)).bytes_kept() == 4 * 2 * 4);
  a = a.detach();
  b.requires_grad(true);
  BOOST_TEST(Tape::of(matmul(a, b)).bytes_kept() == 8 * 4 * 4);
  BOOST_TEST(!no_grad([&] { return matmul(a, b); }).requires_grad());
}

BOOST_AUTO_TEST_CASE(matmul_names_shapes_and_flags_when_it_refuses) {
  const auto text = [](const Tensor& a, const Tensor& b, const MatmulOptions& options = {}) {
    return error<std::invalid_argument>([&] { (void)matmul(a, b, options); });
  };
  BOOST_TEST(text(ones({3, 4}), ones({5, 6})) == "matmul: inner extents differ: a is [3, 4], b is [5, 6]");
  BOOST_TEST(text(ones({3, 4}), ones({4, 6}), {.transpose_a = true}) ==
             "matmul: inner extents differ: a is [3, 4] transposed, b is [4, 6]");
  BOOST_TEST(text(ones({3, 4}), ones({4, 6}), {.transpose_b = true}) ==
             "matmul: inner extents differ: a is [3, 4], b is [4, 6] transposed");
  BOOST_TEST(text(scalar(1), ones({2})) == "matmul: operands must have a dimension; a is [], b is [2]");
  BOOST_TEST(text(ones({2}), ones({2, 2}), {.transpose_a = true}) ==
             "matmul: a vector cannot be transposed; a is [2], b is [2, 2]");
  BOOST_TEST(text(ones({2, 3, 4}), ones({3, 4, 2})) ==
             "matmul: shapes must broadcast, extents equal or 1; got [2] and [3], which differ in dim -1");
  BOOST_TEST(text(ones({2, 2}), ones({2, 2}, {.dtype = f64})) ==
             "matmul: the dtypes must be equal; got f32 and f64, convert one with to(x, f32)");
  BOOST_TEST(text(arange(2), arange(2)) ==
             "matmul: the dtype must be f32, f64 or bf16; got i64, convert it with to(x, f32)");
}

BOOST_AUTO_TEST_CASE(matmul_and_its_gradients_are_the_same_on_any_number_of_threads) {
  Generator g(4);
  Tensor a = randn({150, 170}, {.generator = &g}), b = randn({170, 190}, {.generator = &g});
  a.requires_grad(true);
  b.requires_grad(true);
  const auto all = [&] {
    const Tensor y = matmul(a, b);
    std::vector<Tensor> out = grad({y}, {a, b}, {.grad_outputs = {ones_like(y)}});
    out.push_back(y.detach());
    return out;
  };
  const int threads = num_threads();
  set_num_threads(1);
  const auto expected = all();
  for (const int n : {2, 3, 7}) {
    set_num_threads(n);
    const auto got = all();
    for (std::size_t i = 0; i < got.size(); ++i) BOOST_TEST(same_bits(got[i], expected[i]));
  }
  set_num_threads(threads);
}

// --- linear

BOOST_AUTO_TEST_CASE(linear_is_a_product_with_the_transposed_weight_plus_bias) {
  Generator g(5);
  for (const Dtype dtype : {f32, f64}) {
    for (const Index out : {1, 10, 100}) {
      const Tensor x = integers({9, 33}, dtype, g), w = integers({out, 33}, dtype, g), b = integers({out}, dtype, g);
      std::vector<double> expected = naive(values(x), values(w), 9, out, 33, false, true);
      BOOST_TEST(all_close(linear(x, w), expected, 0));
      for (std::size_t i = 0; i < expected.size(); ++i) expected[i] += values(b)[i % static_cast<std::size_t>(out)];
      BOOST_TEST(all_close(linear(x, w, b), expected, 0));
    }
  }
  BOOST_TEST(linear(ones({4}), ones({3, 4})).shape() == Shape{3});
  BOOST_TEST(linear(ones({2, 5, 4}), ones({3, 4})).shape() == (Shape{2, 5, 3}));
}

/// Of a square weight no shape tells whether it was turned round.
BOOST_AUTO_TEST_CASE(gradients_of_square_operands_equal_naive_loops) {
  constexpr Index n = 5;
  for (const Dtype dtype : {f32, f64}) {
    Generator g(8);
    const auto square = [&] { return to(randint(-4, 5, {n, n}, {.generator = &g}), dtype); };
    const Tensor a = square().requires_grad(true), b = square().requires_grad(true), dy = square();
    const std::vector<double> va = values(a), vb = values(b), v = values(dy);
    const auto at = [](Index i, Index j, bool turned) {
      return static_cast<std::size_t>(turned ? j * n + i : i * n + j);
    };
    for (const bool turn_a : {false, true}) {
      for (const bool turn_b : {false, true}) {
        std::vector<double> da(n * n), db(n * n);
        for (Index i = 0; i < n; ++i) {
          for (Index j = 0; j < n; ++j) {
            for (Index k = 0; k < n; ++k) {
              da[at(i, k, turn_a)] += v[at(i, j, false)] * vb[at(k, j, turn_b)];
              db[at(k, j, turn_b)] += v[at(i, j, false)] * va[at(i, k, turn_a)];
            }
          }
        }
        const Tensor y = matmul(a, b, {.transpose_a = turn_a, .transpose_b = turn_b});
        const auto got = grad({y}, {a, b}, {.grad_outputs = {dy}});
        BOOST_TEST(all_close(got[0], da, 0), turn_a << turn_b);
        BOOST_TEST(all_close(got[1], db, 0), turn_a << turn_b);
        if (turn_a || !turn_b) continue;
        const auto of_linear = grad({linear(a, b, {})}, {a, b}, {.grad_outputs = {dy}});
        BOOST_TEST(all_close(of_linear[0], da, 0));
        BOOST_TEST(all_close(of_linear[1], db, 0));
      }
    }
  }
}

BOOST_AUTO_TEST_CASE(linear_over_nothing_gives_the_bias_and_zero_gradients) {
  BOOST_TEST(all_close(linear(empty({2, 0}), empty({3, 0}), tensor<float>({1, 2, 3})), {1, 2, 3, 1, 2, 3}, 0));
  Tensor w = ones({3, 4}), b = ones({3});
  w.requires_grad(true);
  b.requires_grad(true);
  const Tensor y = linear(empty({0, 4}), w, b);
  BOOST_TEST(y.shape() == (Shape{0, 3}));
  const auto g = grad({y}, {w, b}, {.grad_outputs = {empty({0, 3})}});
  BOOST_TEST(all_close(g[0], std::vector<double>(12, 0), 0));
  BOOST_TEST(all_close(g[1], {0, 0, 0}, 0));
}

BOOST_AUTO_TEST_CASE(linear_refuses_what_does_not_fit_and_changes_nothing) {
  const auto text = [](const Tensor& x, const Tensor& w, const Tensor& b = {}) {
    return error<std::invalid_argument>([&] { (void)linear(x, w, b); });
  };
  const auto before = memory_stats().live_storages;
  BOOST_TEST(text(ones({2, 3}), ones({4, 5})) == "linear: x must be [..., in] and w [out, in]; got [2, 3] and [4, 5]");
  BOOST_TEST(text(scalar(1), ones({4, 5})) == "linear: x must be [..., in] and w [out, in]; got [] and [4, 5]");
  BOOST_TEST(text(ones({2, 5}), ones({4, 5}), ones({5})) == "linear: b must be [4]; got [5]");
  BOOST_TEST(text(ones({2, 5}), ones({4, 5}, {.dtype = f64})) ==
             "linear: the dtypes must be equal; got f32 and f64, convert one with to(x, f32)");
  BOOST_TEST(text(arange(5), ones({4, 5})) ==
             "linear: the dtype must be f32, f64 or bf16; got i64, convert it with to(x, f32)");
  BOOST_TEST(memory_stats().live_storages == before);
}

BOOST_AUTO_TEST_SUITE_END()
