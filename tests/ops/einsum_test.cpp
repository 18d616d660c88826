#include <tapestry/ops/einsum.h>

#include <support/expect.h>
#include <support/op_table.h>

#include <map>
#include <stdexcept>

#include <tapestry/autograd/backward.h>
#include <tapestry/autograd/random.h>
#include <tapestry/autograd/tape.h>
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

OpSpec row(const std::string& equation, const std::vector<Shape>& shapes) {
  return {.op = "einsum",
          .variant = equation,
          .inputs =
              [shapes](Generator& g) {
                std::vector<Tensor> out;
                for (const Shape& shape : shapes) out.push_back(sample(g, shape));
                return out;
              },
          .f = [equation](In x) { return einsum(equation, x); }};
}

const OpRows rows{row("ij,jk->ik", {{3, 4}, {4, 2}}),        row("bqhd,bkhd->bhqk", {{2, 3, 2, 2}, {2, 4, 2, 2}}),
                  row("...ii->...i", {{2, 3, 3}}),           row("i,j,k->kj", {{2}, {3}, {2}}),
                  row("ij,...j->...i", {{3, 4}, {2, 2, 4}}), row("ij,ij", {{3, 4}, {3, 4}})};

/// The definition for terms of letters alone: over all values of all letters, in doubles.
std::vector<double> naive(const std::vector<std::string>& terms, const std::string& result,
                          const std::vector<Tensor>& xs) {
  std::map<char, Index> extents;
  for (std::size_t i = 0; i < terms.size(); ++i) {
    for (std::size_t d = 0; d < terms[i].size(); ++d) {
      const Index own = xs[i].shape()[static_cast<Index>(d)];
      Index& extent = extents.emplace(terms[i][d], own).first->second;
      if (own != 1) extent = own;
    }
  }
  std::string letters;
  Index count = 1, size = 1;
  for (const auto& [letter, extent] : extents) letters += letter, count *= extent;
  for (const char letter : result) size *= extents[letter];
  std::vector<std::vector<double>> elements;
  for (const Tensor& x : xs) elements.push_back(values(x));
  std::vector<double> y(static_cast<std::size_t>(size));
  for (Index i = 0; i < count; ++i) {
    std::map<char, Index> at;
    Index rest = i;
    for (const char letter : letters) {
      at[letter] = rest % extents[letter];
      rest /= extents[letter];
    }
    double product = 1;
    for (std::size_t t = 0; t < terms.size(); ++t) {
      Index offset = 0;
      for (std::size_t d = 0; d < terms[t].size(); ++d) {
        const Index extent = xs[t].shape()[static_cast<Index>(d)];
        offset = offset * extent + (extent == 1 ? 0 : at[terms[t][d]]);
      }
      product *= elements[t][static_cast<std::size_t>(offset)];
    }
    Index offset = 0;
    for (const char letter : result) offset = offset * extents[letter] + at[letter];
    y[static_cast<std::size_t>(offset)] += product;
  }
  return y;
}

}  // namespace

BOOST_AUTO_TEST_SUITE(einsum_test)

BOOST_AUTO_TEST_CASE(every_equation_gives_what_its_definition_says) {
  struct Case {
    std::vector<std::string> terms;
    std::string result;
    std::vector<Shape> shapes;
  };
  const std::vector<Case> cases{
      {{"ij", "jk"}, "ik", {{3, 4}, {4, 5}}},
      {{"ij", "jk"}, "ki", {{3, 4}, {4, 5}}},
      {{"ij", "kj"}, "ik", {{3, 4}, {5, 4}}},
      {{"ji", "jk"}, "ik", {{4, 3}, {4, 5}}},
      {{"ji", "kj"}, "ik", {{4, 3}, {5, 4}}},
      {{"ij"}, "ji", {{3, 4}}},
      {{"ij"}, "", {{3, 4}}},
      {{"ij"}, "j", {{3, 4}}},
      {{"ii"}, "i", {{4, 4}}},
      {{"ii"}, "", {{4, 4}}},
      {{"iji"}, "ji", {{3, 2, 3}}},
      {{"iiji"}, "ij", {{3, 3, 2, 3}}},
      {{"ii", "i"}, "", {{4, 4}, {4}}},
      {{"i", "i"}, "", {{5}, {5}}},
      {{"i", "i"}, "i", {{5}, {5}}},
      {{"i", "j"}, "ji", {{3}, {4}}},
      {{"bij", "bjk"}, "bik", {{2, 3, 4}, {2, 4, 5}}},
      {{"bij", "kjb"}, "ikb", {{2, 3, 4}, {5, 4, 2}}},
      {{"bqhd", "bkhd"}, "bhqk", {{2, 3, 2, 4}, {2, 5, 2, 4}}},
      {{"bhqk", "bkhd"}, "bqhd", {{2, 2, 3, 5}, {2, 5, 2, 4}}},
      {{"ij", "jk", "kl"}, "il", {{2, 3}, {3, 4}, {4, 2}}},
      {{"ij", "ik", "il"}, "jkl", {{2, 3}, {2, 4}, {2, 2}}},
      {{"ij", "j", "k"}, "k", {{2, 3}, {3}, {4}}},
      {{"abc", "cd"}, "d", {{2, 3, 4}, {4, 2}}},  // a and b are summed over first
      {{"ij", "jk"}, "ik", {{3, 1}, {4, 5}}},     // an extent of 1 broadcasts
      {{"ij", "ij"}, "ij", {{3, 1}, {1, 4}}},
      {{"ij", "jk"}, "ik", {{3, 4}, {1, 5}}},
      {{"ij", "j"}, "ij", {{3, 4}, {1}}},
      {{"abcd", "efbc"}, "adef", {{2, 2, 3, 2}, {2, 3, 2, 3}}},
      {{"aB", "Bc"}, "ac", {{2, 3}, {3, 4}}},
      {{"ij", "jk"}, "ik", {{3, 0}, {0, 5}}},
      {{"", "i"}, "i", {Shape{}, Shape{3}}},
      {{""}, "", {Shape{}}},
      {{"i"}, "i", {{3}}},
  };
  Generator g(1);
  for (const Case& c : cases) {
    std::vector<Tensor> xs;
    std::string equation;
    for (std::size_t i = 0; i < c.terms.size(); ++i) {
      equation += (i > 0 ? "," : "") + c.terms[i];
      xs.push_back(to(randint(-4, 5, c.shapes[i], {.generator = &g}), f64));
    }
    equation += "->" + c.result;
    const Tensor y = einsum(equation, xs);
    BOOST_TEST(y.dim() == static_cast<Index>(c.result.size()), equation);
    BOOST_TEST(all_close(y, naive(c.terms, c.result, xs), 0), equation);
  }
}

BOOST_AUTO_TEST_CASE(dots_stand_for_dimensions_that_broadcast) {
  Generator g(2);
  const Tensor a = sample(g, {2, 1, 3, 4}), b = sample(g, {5, 4, 2}), m = sample(g, {3, 4}), v = sample(g, {4});
  BOOST_TEST(all_close(einsum("...ij,...jk->...ik", {a, b}), matmul(a, b), 1e-14, 1e-14));
  BOOST_TEST(all_close(einsum("...ij,...jk", {a, b}), matmul(a, b), 1e-14, 1e-14));
  BOOST_TEST(all_close(einsum("...,...->...", {a, v}), a * v, 1e-15));
  BOOST_TEST(all_close(einsum("i...,i...->...", {m, m}), sum(m * m, {.dim = 0}), 1e-14));
  // Between the letters, at either end, and for no dimension at all.
  BOOST_TEST(einsum("i...j->j...i", {a}).shape() == (Shape{4, 1, 3, 2}));
  BOOST_TEST(einsum("...i->i...", {a}).shape() == (Shape{4, 2, 1, 3}));
  BOOST_TEST(all_close(einsum("...ij->...ji", {m}), transpose(m, 0, 1), 0));
  // Where the result has none, they are summed over.
  BOOST_TEST(all_close(einsum("...i->i", {a}), sum(a, {.dim = {0, 1, 2}}), 1e-14));
  BOOST_TEST(all_close(einsum("...->", {m}), sum(m), 1e-14));
}

BOOST_AUTO_TEST_CASE(without_an_arrow_letters_that_occur_once_stand_in_order) {
  Generator g(3);
  const Tensor a = sample(g, {2, 3}), b = sample(g, {3, 4});
  BOOST_TEST(all_close(einsum("ij,jk", {a, b}), matmul(a, b), 1e-15, 1e-15));
  BOOST_TEST(all_close(einsum("ba", {a}), transpose(a, 0, 1), 0));
  BOOST_TEST(einsum("aB", {a}).shape() == (Shape{3, 2}));  // B before a
  BOOST_TEST(einsum("ii", {matmul(a, a, {.transpose_b = true})}).shape() == Shape{});
  BOOST_TEST(all_close(einsum(" i j , j k -> i k ", {a, b}), matmul(a, b), 1e-15, 1e-15));
}

BOOST_AUTO_TEST_CASE(the_result_is_a_tensor_of_its_own) {
  const Tensor a = ones({2, 3});
  BOOST_TEST((einsum("ij->ij", {a}).impl().storage != a.impl().storage));
  BOOST_TEST((einsum("ij,->ij", {a, scalar(1)}).impl().storage != a.impl().storage));
  BOOST_TEST(einsum("ij", {ones({1, 1})}).shape() == (Shape{1, 1}));
}

BOOST_AUTO_TEST_CASE(operands_in_an_order_that_matmul_takes_are_not_copied) {
  Tensor a = ones({3, 4}), b = ones({5, 4});
  a.requires_grad(true);
  b.requires_grad(true);
  for (const auto& [equation, operands] :
       std::vector<std::pair<std::string, std::vector<Tensor>>>{{"ij,kj->ik", {a, b}}, {"ji,jk->ik", {a, a}}}) {
    std::string ops;
    const Tape tape = Tape::of(einsum(equation, operands));
    for (const auto& entry : tape.entries()) ops += std::string(entry.op) + ' ';
    BOOST_TEST(ops.find("permute") == std::string::npos, ops);
    BOOST_TEST(ops.find("matmul") != std::string::npos, ops);
  }
}

BOOST_AUTO_TEST_CASE(einsum_keeps_to_the_dtype_and_to_autocast) {
  const Tensor a = to(ones({2, 3}), bf16);
  BOOST_TEST(einsum("ij,kj->ik", {a, a}).dtype() == bf16);
  BOOST_TEST(einsum("ij->i", {a}).dtype() == bf16);
  const Autocast scope(bf16);
  const Tensor wide = ones({2, 3});
  BOOST_TEST(einsum("ij,kj->ik", {wide, a}).dtype() == bf16);
  BOOST_TEST(einsum("ij,j,i->i", {wide, ones({3}), ones({2})}).dtype() == bf16);
  BOOST_TEST(einsum("ij,kj->ik", {to(wide, f64), to(wide, f64)}).dtype() == f64);
}

BOOST_AUTO_TEST_CASE(errors_name_the_letter_and_the_operand) {
  const auto text = [](const std::string& equation, const std::vector<Tensor>& xs) {
    return error<std::invalid_argument>([&] { (void)einsum(equation, xs); });
  };
  const Tensor a = ones({2, 3});
  BOOST_TEST(text("", {}) == "einsum: there must be an operand; got none");
  BOOST_TEST(text("ij,jk->ik", {a}) ==
             "einsum: there must be one term per operand; got 2 in \"ij,jk->ik\" and 1 operands");
  const std::string rules = "einsum: an equation must consist of letters, commas, one ... per term and one ->; got ";
  BOOST_TEST(text("i1", {a}) == std::string(rules).append("\"i1\", which is none at character 1"));
  BOOST_TEST(text("i.j", {a}) == std::string(rules).append("\"i.j\", which is none at character 1"));
  BOOST_TEST(text("i......", {a}) == std::string(rules).append("\"i......\", which is none at character 4"));
  BOOST_TEST(text("ij-", {a}) == std::string(rules).append("\"ij-\", which is none at character 2"));
  BOOST_TEST(text("ij->i->j", {a}) == std::string(rules).append("\"ij->i->j\", which is none at character 5"));
  BOOST_TEST(text("ij->i,j", {a}) == std::string(rules).append("\"ij->i,j\", which is none at character 5"));
  BOOST_TEST(text("ijk", {a}) == "einsum: operand 0 must have 3 dimensions; got [2, 3]");
  BOOST_TEST(text("ij,i", {a, a}) == "einsum: operand 1 must have 1 dimensions; got [2, 3]");
  BOOST_TEST(text("i...jk", {a}) == "einsum: operand 0 must have at least 3 dimensions; got [2, 3]");
  BOOST_TEST(text("ii", {a}) == "einsum: extents of 'i' must be equal within an operand; got 2 and 3 in operand 0");
  BOOST_TEST(text("ii", {ones({1, 3})}) ==
             "einsum: extents of 'i' must be equal within an operand; got 1 and 3 in operand 0");
  BOOST_TEST(text("ij,jk->ik", {a, a}) == "einsum: extents of 'j' must be equal or 1; got 3 and, in operand 1, 2");
  BOOST_TEST(text("...,...->...", {a, ones({2})}) ==
             "einsum: extents of ... must be equal or 1; got 3 and, in operand 1, 2");
  BOOST_TEST(text("ij->ii", {a}) == "einsum: a letter of the result must stand there once; got 'i' twice");
  BOOST_TEST(text("ij->ik", {a}) ==
             "einsum: a letter of the result must stand in a term; got 'k', which stands in none");
  const Tensor deep = ones({1, 1, 1, 1});
  BOOST_TEST(text("abcd,efgh->abcdefgh", {deep, deep}) ==
             "einsum: a product of two operands must have at most 6 dimensions that are still needed; got 8");
  BOOST_TEST(text("ij,ij", {a, to(a, f64)}) ==
             "einsum: the dtypes must be equal; got f32 and f64, convert one with to(x, f32)");
  BOOST_TEST(text("i", {arange(3)}) ==
             "einsum: the dtype must be f32, f64 or bf16; got i64, convert it with to(x, f32)");
}

BOOST_AUTO_TEST_SUITE_END()
