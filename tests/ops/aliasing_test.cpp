#include <support/expect.h>

#include <array>
#include <cstdint>
#include <functional>
#include <string>
#include <vector>

#include <tapestry/autograd/backward.h>
#include <tapestry/autograd/random.h>
#include <tapestry/ops/binary.h>
#include <tapestry/ops/cast.h>
#include <tapestry/ops/reduce.h>
#include <tapestry/ops/shape_ops.h>

/// Gradients that share storage - a rule may pass on the very tensor it was given, or a view of it - and meet others in
/// a sum: what is added to one of them must not be seen by the rest.
BOOST_AUTO_TEST_SUITE(aliasing_test)

using namespace tapestry;
using namespace tapestry::test;

namespace {

using Op = std::function<Tensor(const Tensor&)>;

struct View {
  std::string name;
  Op there;
};

/// Of [6, 1], back to [6, 1]: ops whose gradient is dy or a view of it.
const std::vector<View> kViews{
    {"nothing", [](const Tensor& x) { return x; }},
    {"clone", [](const Tensor& x) { return clone(x); }},
    {"reshape",
     [](const Tensor& x) {
       return reshape(reshape(x, {2, 3}), {6, 1});
     }},
    {"flatten", [](const Tensor& x) { return unsqueeze(flatten(x, {.start_dim = 0}), 1); }},
    {"squeeze", [](const Tensor& x) { return unsqueeze(squeeze(x, 1), 1); }},
    {"permute of ones",
     [](const Tensor& x) {
       return reshape(permute(reshape(x, {6, 1, 1}), {0, 2, 1}), {6, 1});
     }},
    {"cat of halves",
     [](const Tensor& x) {
       return cat({slice(x, {.end = 3}), slice(x, {.begin = 3})});
     }},
};

}  // namespace

BOOST_AUTO_TEST_CASE(views_on_either_side_of_a_sum_keep_gradients_apart_in_any_order) {
  for (const View& first : kViews) {
    for (const View& second : kViews) {
      for (int order = 0; order < 8; ++order) {
        for (const bool create_graph : {false, true}) {
          Tensor a = full({6, 1}, 2.0, {.requires_grad = true}), b = full({6, 1}, 3.0, {.requires_grad = true});
          const Tensor c = a * 1, d = b * 1;
          // 2 (c + d) + 5 c + 11 d, the terms recorded and sent back in all orders
          const auto shared = [&] {
            const Tensor u = first.there(c), v = second.there(d);
            return (order & 1) != 0 ? sum((u + v) * 2) : sum((v + u) * 2);
          };
          const auto alone = [&] {
            return (order & 2) != 0 ? sum(c * 5) + sum(d * 11) : sum(second.there(d) * 11) + sum(first.there(c) * 5);
          };
          const Tensor early = (order & 4) != 0 ? shared() : alone(), late = (order & 4) != 0 ? alone() : shared();
          const auto g = grad({early + late}, {a, b}, {.create_graph = create_graph});
          const auto label = [&] { return first.name + ", " + second.name + ", order " + std::to_string(order); };
          BOOST_TEST(all_close(g[0], std::vector<double>(6, 7), 0), label());
          BOOST_TEST(all_close(g[1], std::vector<double>(6, 13), 0), label());
        }
      }
    }
  }
}

/// Every dtype, and more elements than one task of the sum has.
BOOST_AUTO_TEST_CASE(gradients_of_one_tensor_used_twice_add_up_element_by_element) {
  for (const Dtype dtype : {f32, f64, bf16}) {
    for (const Index n : {1, 100, 32 * 1024 + 3, 3 * 32 * 1024 + 5}) {
      Generator g(n);
      const auto draw = [&] { return to(randint(-60, 61, {n}, {.generator = &g}), dtype); };
      const Tensor x = ones({n}, {.dtype = dtype, .requires_grad = true}), u = draw(), v = draw();
      std::vector<double> expected = values(u);
      const std::vector<double> second = values(v);
      for (std::size_t i = 0; i < expected.size(); ++i) expected[i] += second[i];
      BOOST_TEST(all_close(grad(x * u + x * v, x, {.grad_outputs = {ones({n}, {.dtype = dtype})}}), expected, 0),
                 n << " elements of " << dtype);
    }
  }
}

namespace {

/// A tensor of four elements, and how it hangs on the leaves: what each element takes of each leaf's, in integers.
struct Linear {
  Tensor x;
  std::array<std::array<std::int64_t, 4>, 3> of_leaf{};
};

Tensor in_shape(const Tensor& x, std::uint64_t which) {
  switch (which % 4) {
    case 0: return reshape(x, {4});
    case 1: return reshape(x, {2, 2});
    case 2: return reshape(x, {4, 1});
    default: return reshape(x, {1, 2, 2});
  }
}

}  // namespace

BOOST_AUTO_TEST_CASE(random_graphs_of_sums_and_views_have_the_gradients_of_integer_arithmetic) {
  for (std::uint64_t seed = 1; seed <= 300; ++seed) {
    Generator g(seed);
    const auto draw = [&](std::size_t n) { return static_cast<std::size_t>(g.next_u64() % n); };
    std::vector<Tensor> leaves;
    std::vector<Linear> nodes;
    for (std::size_t i = 0; i < 3; ++i) {
      leaves.push_back(ones({4}, {.dtype = seed % 2 == 0 ? f32 : f64, .requires_grad = true}));
      nodes.push_back({leaves.back(), {}});
      nodes.back().of_leaf[i].fill(1);
    }
    for (int step = 0; step < 14; ++step) {
      const Linear u = nodes[draw(nodes.size())], v = nodes[draw(nodes.size())];
      Linear w;
      switch (draw(4)) {
        case 0: {
          const std::uint64_t shape = draw(4);
          w.x = in_shape(u.x, shape) + in_shape(v.x, shape);
          for (std::size_t l = 0; l < 3; ++l) {
            for (std::size_t i = 0; i < 4; ++i) w.of_leaf[l][i] = u.of_leaf[l][i] + v.of_leaf[l][i];
          }
          break;
        }
        case 1: w = {in_shape(u.x, draw(4)), u.of_leaf}; break;
        case 2: w = {u.x * 1, u.of_leaf}; break;
        default:  // the first half of one, the second of another
          w.x = cat({slice(in_shape(u.x, 0), {.end = 2}), slice(in_shape(v.x, 0), {.begin = 2})});
          for (std::size_t l = 0; l < 3; ++l) {
            for (std::size_t i = 0; i < 4; ++i) w.of_leaf[l][i] = (i < 2 ? u : v).of_leaf[l][i];
          }
      }
      nodes.push_back(w);
    }
    // Several of them at once, so that gradients of inner nodes come from outside, too.
    Tensor y = sum(nodes.back().x * 3);
    std::array<std::array<std::int64_t, 4>, 3> expected = nodes.back().of_leaf;
    for (auto& leaf : expected) {
      for (std::int64_t& e : leaf) e *= 3;
    }
    for (int extra = 0; extra < 3; ++extra) {
      const Linear& w = nodes[draw(nodes.size())];
      y = y + sum(w.x);
      for (std::size_t l = 0; l < 3; ++l) {
        for (std::size_t i = 0; i < 4; ++i) expected[l][i] += w.of_leaf[l][i];
      }
    }
    const auto gradients = grad({y}, leaves, {.allow_unused = true});
    for (std::size_t l = 0; l < 3; ++l) {
      const std::vector<double> wanted(expected[l].begin(), expected[l].end());
      const Tensor got = gradients[l].defined() ? gradients[l] : zeros_like(leaves[l]);
      BOOST_TEST(all_close(got, wanted, 0), "seed " << seed << ", leaf " << l);
    }
  }
}

BOOST_AUTO_TEST_SUITE_END()
