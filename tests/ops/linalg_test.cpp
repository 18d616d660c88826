#include <tapestry/ops/linalg.h>

#include <support/expect.h>
#include <support/op_table.h>

#include <limits>
#include <stdexcept>

#include <tapestry/autograd/backward.h>
#include <tapestry/autograd/base/parallel.h>
#include <tapestry/autograd/memory/allocator.h>
#include <tapestry/autograd/random.h>
#include <tapestry/ops/autocast.h>
#include <tapestry/ops/binary.h>
#include <tapestry/ops/cast.h>
#include <tapestry/ops/matmul.h>
#include <tapestry/ops/reduce.h>
#include <tapestry/ops/shape_ops.h>

using namespace tapestry;
using namespace tapestry::test;

namespace {

using In = const std::vector<Tensor>&;

std::function<std::vector<Tensor>(Generator&)> shapes(const std::vector<Shape>& list) {
  return [list](Generator& g) {
    std::vector<Tensor> out;
    for (const Shape& shape : list) out.push_back(sample(g, shape));
    return out;
  };
}

/// Symmetric enough to have eigenvalues that are well apart: differences are taken at each of them.
std::vector<Tensor> apart(Generator& g, const Shape& shape) {
  const Index n = shape[shape.rank() - 1];
  return {sample(g, shape, -0.3, 0.3) +
          eye(n, {.dtype = f64}) * (2 * arange(0., static_cast<double>(n), 1, {.dtype = f64}))};
}

const OpRows rows{
    {.op = "mm", .variant = "", .inputs = shapes({{3, 4}, {4, 2}}), .f = [](In x) { return mm(x[0], x[1]); }},
    {.op = "bmm", .variant = "", .inputs = shapes({{2, 3, 4}, {2, 4, 2}}), .f = [](In x) { return bmm(x[0], x[1]); }},
    {.op = "mv", .variant = "", .inputs = shapes({{3, 4}, {4}}), .f = [](In x) { return mv(x[0], x[1]); }},
    {.op = "dot", .variant = "", .inputs = shapes({{5}, {5}}), .f = [](In x) { return dot(x[0], x[1]); }},
    {.op = "outer", .variant = "", .inputs = shapes({{3}, {4}}), .f = [](In x) { return outer(x[0], x[1]); }},
    {.op = "addmm",
     .variant = "a row, both factors",
     .inputs = shapes({{2}, {3, 4}, {4, 2}}),
     .f = [](In x) { return addmm(x[0], x[1], x[2], {.beta = 0.5, .alpha = -2}); }},
    {.op = "addmm",
     .variant = "a matrix",
     .inputs = shapes({{3, 2}, {3, 4}, {4, 2}}),
     .f = [](In x) { return addmm(x[0], x[1], x[2]); }},
    {.op = "eigh",
     .variant = "values and vectors",
     .inputs =
         [](Generator& g) {
           return apart(g, {2, 3, 3});
         },
     .f =
         [](In x) {
           const Eigh e = eigh(x[0]);
           return cat({unsqueeze(e.values, -2), e.vectors}, {.dim = -2});
         }},
    {.op = "eigh",
     .variant = "values",
     .inputs =
         [](Generator& g) {
           return apart(g, {4, 4});
         },
     .f = [](In x) { return eigh(x[0]).values; }},
};

/// Integers whose products add up exactly in f32.
Tensor integers(const Shape& shape, Generator& g) { return to(randint(-8, 9, shape, {.generator = &g}), f64); }

Tensor symmetric(Generator& g, const Shape& shape) {
  const Tensor x = sample(g, shape);
  return x + transpose(x, -2, -1);
}

/// V diag(w) V^T.
Tensor composed(const Eigh& e) { return matmul(e.vectors * unsqueeze(e.values, -2), e.vectors, {.transpose_b = true}); }

}  // namespace

BOOST_AUTO_TEST_SUITE(linalg_test)

BOOST_AUTO_TEST_CASE(products_are_those_of_naive_loops) {
  Generator g(1);
  const Tensor a = integers({3, 5}, g), b = integers({5, 2}, g), v = integers({5}, g), u = integers({5}, g);
  const std::vector<double> va = values(a), vb = values(b), vv = values(v), vu = values(u);
  std::vector<double> of_b, of_v(3), of_outer;
  double of_u = 0;
  for (std::size_t i = 0; i < 3; ++i) {
    for (std::size_t j = 0; j < 2; ++j) {
      double sum = 0;
      for (std::size_t k = 0; k < 5; ++k) sum += va[i * 5 + k] * vb[k * 2 + j];
      of_b.push_back(sum);
    }
    for (std::size_t k = 0; k < 5; ++k) of_v[i] += va[i * 5 + k] * vv[k];
  }
  for (std::size_t k = 0; k < 5; ++k) {
    of_u += vu[k] * vv[k];
    for (std::size_t j = 0; j < 5; ++j) of_outer.push_back(vu[k] * vv[j]);
  }
  for (const Dtype dtype : {f32, f64}) {
    const auto as = [&](const Tensor& x) { return to(x, dtype); };
    BOOST_TEST(all_close(mm(as(a), as(b)), of_b, 0));
    BOOST_TEST(all_close(mv(as(a), as(v)), of_v, 0));
    BOOST_TEST(dot(as(u), as(v)).shape() == Shape{});
    BOOST_TEST(dot(as(u), as(v)).item() == of_u);
    BOOST_TEST(all_close(outer(as(u), as(v)), of_outer, 0));
    BOOST_TEST(all_close(bmm(stack({as(a), as(-a)}), stack({as(b), as(2 * b)})),
                         stack({mm(as(a), as(b)), mm(as(-a), as(2 * b))}), 0));
  }
  BOOST_TEST(all_close(outer(tensor({2, 3}), tensor({5, 7})), {10, 14, 15, 21}, 0));
  BOOST_TEST(mm(empty({2, 0}), empty({0, 3})).to_vector<float>() == std::vector<float>(6));
  BOOST_TEST(dot(empty({0}), empty({0})).item() == 0);
  BOOST_TEST(outer(empty({0}), empty({3})).shape() == (Shape{0, 3}));
}

BOOST_AUTO_TEST_CASE(addmm_scales_and_adds) {
  const Tensor a = tensor<double>({{1, 2}, {3, 4}}, {.dtype = f64}),
               b = tensor<double>({{5, 6}, {7, 8}}, {.dtype = f64});
  const Tensor c = tensor<double>({{1, 1}, {2, 2}}, {.dtype = f64});
  BOOST_TEST(all_close(addmm(c, a, b), {20, 23, 45, 52}, 0));
  BOOST_TEST(all_close(addmm(c, a, b, {.beta = 2, .alpha = 0.5}), {11.5, 13, 25.5, 29}, 0));
  BOOST_TEST(all_close(addmm(tensor<double>({10, 20}, {.dtype = f64}), a, b), {29, 42, 53, 70}, 0));
  BOOST_TEST(all_close(addmm(scalar(1, {.dtype = f64}), a, b), {20, 23, 44, 51}, 0));
  BOOST_TEST(all_close(addmm(c, a, b, {.alpha = 0}), {1, 1, 2, 2}, 0));
}

BOOST_AUTO_TEST_CASE(with_beta_0_addmm_does_not_read_c) {
  const double nan = std::numeric_limits<double>::quiet_NaN();
  Tensor a = tensor<double>({{1, 2}, {3, 4}}, {.dtype = f64}), c = full({2, 2}, nan, {.dtype = f64});
  a.requires_grad(true);
  c.requires_grad(true);
  const Tensor y = addmm(c, a, a, {.beta = 0});
  BOOST_TEST(all_close(y, {7, 10, 15, 22}, 0));
  BOOST_TEST(same_bits(addmm({}, a, a, {.beta = 0}), y));
  sum(y).backward();
  BOOST_TEST(!c.grad().defined());
  BOOST_TEST(a.grad().defined());
}

BOOST_AUTO_TEST_CASE(products_under_autocast_are_bf16) {
  const Tensor a = ones({2, 2}), v = ones({2});
  const Autocast scope(bf16);
  BOOST_TEST(mm(a, a).dtype() == bf16);
  BOOST_TEST(mv(a, to(v, bf16)).dtype() == bf16);
  BOOST_TEST(addmm(a, a, a).dtype() == bf16);
  BOOST_TEST(addmm(a, a, a).numel() == 4);
}

BOOST_AUTO_TEST_CASE(products_refuse_other_shapes_and_dtypes) {
  const auto text = [](const auto& call) { return error<std::invalid_argument>([&] { (void)call(); }); };
  const Tensor m = ones({2, 3}), v = ones({3}), wide = ones({3}, {.dtype = f64});
  BOOST_TEST(text([&] { return mm(m, m); }) == "mm: a must be [M, K] and b [K, N]; got [2, 3] and [2, 3]");
  BOOST_TEST(text([&] { return mm(m, v); }) == "mm: a must be [M, K] and b [K, N]; got [2, 3] and [3]");
  BOOST_TEST(text([&] {
               return mm(m, ones({3, 1}, {.dtype = f64}));
             }) == "mm: the dtypes must be equal; got f32 and f64, convert one with to(x, f32)");
  BOOST_TEST(text([&] {
               return bmm(ones({1, 2, 3}), ones({2, 3, 4}));
             }) == "bmm: a must be [B, M, K] and b [B, K, N]; got [1, 2, 3] and [2, 3, 4]");
  BOOST_TEST(text([&] { return bmm(m, m); }) == "bmm: a must be [B, M, K] and b [B, K, N]; got [2, 3] and [2, 3]");
  BOOST_TEST(text([&] { return mv(m, ones({2})); }) == "mv: a must be [M, K] and v [K]; got [2, 3] and [2]");
  BOOST_TEST(text([&] { return dot(v, ones({2})); }) == "dot: a and b must be [K]; got [3] and [2]");
  BOOST_TEST(text([&] { return dot(v, wide); }) ==
             "dot: the dtypes must be equal; got f32 and f64, convert one with to(x, f32)");
  BOOST_TEST(text([&] { return dot(arange(3), arange(3)); }) ==
             "dot: the dtype must be f32, f64 or bf16; got i64, convert it with to(x, f32)");
  BOOST_TEST(text([&] { return outer(m, v); }) == "outer: a must be [M] and b [N]; got [2, 3] and [3]");
  BOOST_TEST(text([&] { return outer(v, wide); }) ==
             "outer: the dtypes must be equal; got f32 and f64, convert one with to(x, f32)");
  BOOST_TEST(text([&] { return addmm(v, m, m); }) == "addmm: a must be [M, K] and b [K, N]; got [2, 3] and [2, 3]");
  BOOST_TEST(text([&] {
               return addmm(ones({2, 2, 2}), ones({2, 2}), ones({2, 2}));
             }) == "addmm: c must broadcast to [2, 2]; got [2, 2, 2]");
  BOOST_TEST(text([&] {
               return addmm(ones({4, 2}), ones({1, 2}), ones({2, 2}));
             }) == "addmm: c must broadcast to [1, 2]; got [4, 2]");
  BOOST_TEST(text([&] {
               return addmm(wide, ones({1, 2}), ones({2, 3}));
             }) == "addmm: the dtypes must be equal; got f32 and f64, convert one with to(x, f32)");
  BOOST_TEST(error<std::logic_error>([&] { (void)mm(m, {}); }) ==
             "mm: b must be a defined tensor; got an empty handle");
  BOOST_TEST(error<std::logic_error>([&] {
               (void)addmm({}, ones({1, 2}), ones({2, 3}));
             }) == "addmm: c must be a defined tensor; got an empty handle");
}

// --- eigh

BOOST_AUTO_TEST_CASE(eigenvectors_are_orthonormal_and_make_the_matrix) {
  for (const Index n : {1, 2, 3, 5, 8, 17, 40}) {
    Generator g(3);
    const Tensor a = symmetric(g, {2, n, n});
    const Eigh e = eigh(a);
    BOOST_REQUIRE(e.values.shape() == (Shape{2, n}));
    BOOST_REQUIRE(e.vectors.shape() == (Shape{2, n, n}));
    BOOST_TEST(all_close(composed(e), a, 0, 1e-13 * static_cast<double>(n)), n);
    const Tensor identity = repeat(unsqueeze(eye(n, {.dtype = f64}), 0), {2, 1, 1});
    BOOST_TEST(
        all_close(matmul(e.vectors, e.vectors, {.transpose_a = true}), identity, 0, 1e-14 * static_cast<double>(n)), n);
    const std::vector<double> w = values(e.values);
    for (std::size_t i = 1; i < w.size(); ++i) {
      if (i % static_cast<std::size_t>(n) != 0) BOOST_TEST(w[i - 1] <= w[i]);
    }
    const Eigh narrow = eigh(to(a, f32));
    BOOST_TEST(narrow.values.dtype() == f32);
    BOOST_TEST(all_close(values(narrow.values), w, 0, 1e-5));
  }
}

BOOST_AUTO_TEST_CASE(eigenvectors_are_known_with_their_signs) {
  const double r = std::sqrt(0.5);
  const Eigh e = eigh(tensor<double>({{2, 1}, {1, 2}}, {.dtype = f64}));
  BOOST_TEST(all_close(e.values, {1, 3}, 1e-15));
  // The columns (1, -1) and (1, 1) over the root of 2: of equal components the first one is positive.
  BOOST_TEST(all_close(e.vectors, {r, r, -r, r}, 1e-15));
  const Eigh turned = eigh(tensor<double>({{0, -4}, {-4, 6}}, {.dtype = f64}));
  const double s = std::sqrt(0.2);
  BOOST_TEST(all_close(turned.values, {-2, 8}, 1e-14));
  BOOST_TEST(all_close(turned.vectors, {2 * s, -s, s, 2 * s}, 1e-14));
  const Eigh diagonal = eigh(tensor<double>({{3, 0, 0}, {0, -1, 0}, {0, 0, 2}}, {.dtype = f64}));
  BOOST_TEST(all_close(diagonal.values, {-1, 2, 3}, 0));
  BOOST_TEST(all_close(diagonal.vectors, {0, 0, 1, 1, 0, 0, 0, 1, 0}, 0));
  const Eigh nothing = eigh(zeros({2, 2}));
  BOOST_TEST(all_close(nothing.values, {0, 0}, 0));
  BOOST_TEST(all_close(nothing.vectors, {1, 0, 0, 1}, 0));
}

BOOST_AUTO_TEST_CASE(the_symmetric_part_is_decomposed) {
  Generator g(4);
  const Tensor a = sample(g, {4, 4});
  const Eigh e = eigh(a), of_part = eigh(0.5 * (a + transpose(a, 0, 1)));
  BOOST_TEST(all_close(e.values, of_part.values, 1e-14));
  BOOST_TEST(all_close(e.vectors, of_part.vectors, 0, 1e-13));
}

BOOST_AUTO_TEST_CASE(eigh_takes_tiny_huge_empty_and_infinite_matrices) {
  for (const double scale : {1e-300, 1e300}) {
    const Eigh e = eigh(tensor<double>({{2, 1}, {1, 2}}, {.dtype = f64}) * scale);
    BOOST_TEST(all_close(e.values / scale, {1, 3}, 1e-15));
  }
  BOOST_TEST(eigh(zeros({0, 0})).values.shape() == Shape{0});
  BOOST_TEST(eigh(zeros({3, 0, 0})).vectors.shape() == (Shape{3, 0, 0}));
  BOOST_TEST(eigh(zeros({0, 3, 3})).values.shape() == (Shape{0, 3}));
  Tensor empty_leaf = zeros({0, 0}, {.requires_grad = true});
  sum(eigh(empty_leaf).values).backward();
  BOOST_TEST(empty_leaf.grad().shape() == (Shape{0, 0}));
  const double inf = std::numeric_limits<double>::infinity(), nan = std::numeric_limits<double>::quiet_NaN();
  const Eigh e = eigh(tensor(std::vector<double>{1, inf, inf, 1, 2, 0, 0, 1}, {2, 2, 2}, {.dtype = f64}));
  BOOST_TEST(all_close(e.values, {nan, nan, 1, 2}, 0));
  BOOST_TEST(all_close(e.vectors, {nan, nan, nan, nan, 0, 1, 1, 0}, 0));
}

BOOST_AUTO_TEST_CASE(the_gradient_of_values_is_the_outer_product_of_vectors) {
  Generator g(5);
  const Tensor a = symmetric(g, {4, 4}).requires_grad(true);
  for (Index k = 0; k < 4; ++k) {
    const Tensor value = select(eigh(a).values, {.dim = 0, .index = k});
    const Tensor v = select(eigh(a.detach()).vectors, {.dim = 1, .index = k});
    BOOST_TEST(all_close(grad(value, a), outer(v, v), 0, 1e-13));
  }
}

BOOST_AUTO_TEST_CASE(of_equal_eigenvalues_the_share_of_the_vectors_is_left_out) {
  Tensor a = eye(3, {.dtype = f64}) * tensor<double>({1, 1, 4}, {.dtype = f64});
  a.requires_grad(true);
  // What does not depend on the choice of vectors within the space of the value 1 has its derivative.
  BOOST_TEST(all_close(grad(sum(eigh(a).values), a), eye(3, {.dtype = f64}), 0, 1e-15));
  const Tensor largest = select(eigh(a).vectors, {.dim = 1, .index = 2});
  const Tensor through = grad(sum(largest * tensor<double>({1, 2, 3}, {.dtype = f64})), a);
  // dv = (dA v) / (4 - 1) within the other space; the gradient is symmetric.
  BOOST_TEST(all_close(through, {0, 0, 1 / 6., 0, 0, 1 / 3., 1 / 6., 1 / 3., 0}, 1e-15));
  // A single vector within it has none, and finite numbers come back.
  const Tensor first = select(eigh(a).vectors, {.dim = 1, .index = 0});
  BOOST_TEST(all_close(grad(sum(first * tensor<double>({1, 2, 3}, {.dtype = f64})), a),
                       {0, 0, -0.5, 0, 0, 0, -0.5, 0, 0}, 1e-15));
}

BOOST_AUTO_TEST_CASE(eigh_is_the_same_on_any_number_of_threads) {
  Generator g(6);
  const Tensor a = symmetric(g, {100, 12, 12});
  const int threads = num_threads();
  set_num_threads(1);
  const Eigh expected = eigh(a);
  for (const int n : {2, 5}) {
    set_num_threads(n);
    const Eigh e = eigh(a);
    BOOST_TEST(same_bits(e.values, expected.values));
    BOOST_TEST(same_bits(e.vectors, expected.vectors));
  }
  set_num_threads(threads);
}

BOOST_AUTO_TEST_CASE(eigh_refuses_what_is_no_square_matrix_of_floats) {
  const auto text = [](const Tensor& a) { return error<std::invalid_argument>([&] { (void)eigh(a); }); };
  BOOST_TEST(text(ones({3})) == "eigh: a must be [..., n, n]; got [3]");
  BOOST_TEST(text(ones({2, 3})) == "eigh: a must be [..., n, n]; got [2, 3]");
  BOOST_TEST(text(to(ones({2, 2}), bf16)) ==
             "eigh: the dtype must be f32 or f64; got bf16, convert it with to(x, f32)");
}

BOOST_AUTO_TEST_SUITE_END()
