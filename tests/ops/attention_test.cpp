#include <tapestry/ops/attention.h>

#include <support/expect.h>
#include <support/op_table.h>

#include <limits>
#include <stdexcept>

#include <tapestry/autograd/backward.h>
#include <tapestry/autograd/random.h>
#include <tapestry/ops/autocast.h>
#include <tapestry/ops/binary.h>
#include <tapestry/ops/cast.h>
#include <tapestry/ops/compare.h>
#include <tapestry/ops/reduce.h>
#include <tapestry/ops/shape_ops.h>

using namespace tapestry;
using namespace tapestry::test;

namespace {

using In = const std::vector<Tensor>&;

constexpr double kInfinity = std::numeric_limits<double>::infinity();

std::function<std::vector<Tensor>(Generator&)> shapes(const std::vector<Shape>& list) {
  return [list](Generator& g) {
    std::vector<Tensor> out;
    for (const Shape& shape : list) out.push_back(sample(g, shape));
    return out;
  };
}

/// [3, 4]: the second query sees no key.
Tensor mask_with_a_blind_query() {
  return tensor({{true, false, true, true}, {false, false, false, false}, {false, true, false, false}});
}

const OpRows rows{
    {.op = "scaled_dot_product_attention",
     .variant = "plain, a batch of one beside two",
     .inputs = shapes({{2, 3, 4}, {1, 4, 4}, {1, 4, 2}}),
     .f = [](In x) { return scaled_dot_product_attention(x[0], x[1], x[2]); }},
    {.op = "scaled_dot_product_attention",
     .variant = "bool mask, scale",
     .inputs = shapes({{3, 4}, {4, 4}, {4, 2}}),
     .f =
         [](In x) {
           return scaled_dot_product_attention(x[0], x[1], x[2],
                                               {.attn_mask = mask_with_a_blind_query(), .scale = 1.5});
         }},
    {.op = "scaled_dot_product_attention",
     .variant = "float mask, causal",
     .inputs = shapes({{2, 3, 2}, {2, 3, 2}, {2, 3, 2}, {3, 3}}),
     .f = [](In x) { return scaled_dot_product_attention(x[0], x[1], x[2], {.attn_mask = x[3], .is_causal = true}); }},
};

/// One query after another, in doubles; bias [L, S] is added to the scores.
std::vector<double> naive(const Tensor& q, const Tensor& k, const Tensor& v, const std::vector<double>& bias,
                          double scale) {
  const auto l = static_cast<std::size_t>(q.size(0)), s = static_cast<std::size_t>(k.size(0));
  const auto e = static_cast<std::size_t>(q.size(1)), ev = static_cast<std::size_t>(v.size(1));
  const std::vector<double> vq = values(q), vk = values(k), vv = values(v);
  std::vector<double> y(l * ev);
  for (std::size_t i = 0; i < l; ++i) {
    std::vector<double> weights(s);
    double total = 0;
    for (std::size_t j = 0; j < s; ++j) {
      double score = 0;
      for (std::size_t c = 0; c < e; ++c) score += vq[i * e + c] * vk[j * e + c];
      weights[j] = std::exp(scale * score + bias[i * s + j]);
      total += weights[j];
    }
    for (std::size_t j = 0; j < s; ++j) {
      for (std::size_t c = 0; c < ev; ++c) y[i * ev + c] += total > 0 ? weights[j] / total * vv[j * ev + c] : 0;
    }
  }
  return y;
}

}  // namespace

BOOST_AUTO_TEST_SUITE(attention_test)

BOOST_AUTO_TEST_CASE(a_query_gives_the_weighted_mean_of_the_values) {
  Generator g(1);
  const Tensor q = sample(g, {3, 5}), k = sample(g, {4, 5}), v = sample(g, {4, 2});
  const std::vector<double> none(12);
  BOOST_TEST(all_close(scaled_dot_product_attention(q, k, v), naive(q, k, v, none, 1 / std::sqrt(5.0)), 1e-14));
  BOOST_TEST(all_close(scaled_dot_product_attention(q, k, v, {.scale = 2}), naive(q, k, v, none, 2), 1e-14));
  BOOST_TEST(all_close(scaled_dot_product_attention(q, k, v, {.scale = 0}), naive(q, k, v, none, 0), 1e-14));
  BOOST_TEST(all_close(scaled_dot_product_attention(to(q, f32), to(k, f32), to(v, f32)),
                       naive(q, k, v, none, 1 / std::sqrt(5.0)), 1e-5, 1e-6));
}

BOOST_AUTO_TEST_CASE(masks_leave_keys_out_or_add_to_scores) {
  Generator g(2);
  const Tensor q = sample(g, {3, 5}), k = sample(g, {4, 5}), v = sample(g, {4, 2}), bias = sample(g, {3, 4});
  const double scale = 1 / std::sqrt(5.0);
  const Tensor mask = mask_with_a_blind_query();
  const Tensor as_numbers = where(mask, zeros({3, 4}, {.dtype = f64}), -kInfinity);
  const std::vector<double> expected = naive(q, k, v, values(as_numbers), scale);
  BOOST_TEST(all_close(scaled_dot_product_attention(q, k, v, {.attn_mask = mask}), expected, 1e-14));
  BOOST_TEST(all_close(scaled_dot_product_attention(q, k, v, {.attn_mask = as_numbers}), expected, 1e-14));
  BOOST_TEST(all_close(scaled_dot_product_attention(q, k, v, {.attn_mask = bias}), naive(q, k, v, values(bias), scale),
                       1e-14));
  // Query i sees keys 0 ... i; with a mask, only those that it allows too.
  std::vector<double> causal(12), both(12);
  for (std::size_t i = 0; i < 3; ++i) {
    for (std::size_t j = 0; j < 4; ++j) {
      causal[i * 4 + j] = j <= i ? 0 : -kInfinity;
      both[i * 4 + j] = causal[i * 4 + j] + values(as_numbers)[i * 4 + j];
    }
  }
  BOOST_TEST(
      all_close(scaled_dot_product_attention(q, k, v, {.is_causal = true}), naive(q, k, v, causal, scale), 1e-14));
  BOOST_TEST(all_close(scaled_dot_product_attention(q, k, v, {.attn_mask = mask, .is_causal = true}),
                       naive(q, k, v, both, scale), 1e-14));
  // One row of a mask serves all queries.
  const Tensor row = tensor<double>({0, -kInfinity, 0.5, 1}, {.dtype = f64});
  BOOST_TEST(all_close(scaled_dot_product_attention(q, k, v, {.attn_mask = row}),
                       naive(q, k, v, values(repeat(row, {3, 1})), scale), 1e-14));
}

BOOST_AUTO_TEST_CASE(heads_and_batches_are_leading_dimensions_that_broadcast) {
  Generator g(3);
  const Tensor q = sample(g, {2, 3, 4, 5}), k = sample(g, {3, 6, 5}), v = sample(g, {1, 1, 6, 2});
  const Tensor mask = gt(sample(g, {2, 1, 4, 6}), -0.5);
  const Tensor y = scaled_dot_product_attention(q, k, v, {.attn_mask = mask});
  BOOST_REQUIRE(y.shape() == (Shape{2, 3, 4, 2}));
  const auto at = [](const Tensor& x, Index i) { return select(x, {.dim = 0, .index = i}); };
  for (Index b = 0; b < 2; ++b) {
    for (Index h = 0; h < 3; ++h) {
      const Tensor alone =
          scaled_dot_product_attention(at(at(q, b), h), at(k, h), at(at(v, 0), 0), {.attn_mask = at(at(mask, b), 0)});
      BOOST_TEST(all_close(at(at(y, b), h), alone, 1e-14, 1e-15));
    }
  }
}

BOOST_AUTO_TEST_CASE(a_query_without_a_key_gives_zero_with_gradient_zero) {
  Generator g(4);
  for (const bool as_numbers : {false, true}) {
    Tensor q = sample(g, {3, 4}), k = sample(g, {4, 4}), v = sample(g, {4, 2});
    for (Tensor* x : {&q, &k, &v}) x->requires_grad(true);
    Tensor mask = mask_with_a_blind_query();
    if (as_numbers) mask = where(mask, zeros({3, 4}, {.dtype = f64}), -kInfinity).requires_grad(true);
    const Tensor y = scaled_dot_product_attention(q, k, v, {.attn_mask = mask});
    BOOST_TEST(all_close(select(y, {.dim = 0, .index = 1}), {0, 0}, 0));
    sum(select(y, {.dim = 0, .index = 1})).backward();
    for (const Tensor* x : {&q, &k, &v}) BOOST_TEST(all_close(x->grad(), zeros_like(*x), 0));
    if (as_numbers) BOOST_TEST(all_close(mask.grad(), zeros_like(mask), 0));
    // The other queries have theirs.
    const Tensor of_all = grad(sum(scaled_dot_product_attention(q, k, v, {.attn_mask = mask})), q);
    BOOST_TEST(all_close(select(of_all, {.dim = 0, .index = 1}), std::vector<double>(4), 0));
    BOOST_TEST(std::isfinite(sum(of_all).item()));
    BOOST_TEST(select(of_all, {.dim = 0, .index = 0}).data<double>()[0] != 0);
  }
}

BOOST_AUTO_TEST_CASE(no_keys_no_queries_and_no_features_are_taken) {
  BOOST_TEST(all_close(scaled_dot_product_attention(ones({2, 3}), ones({0, 3}), ones({0, 2})), {0, 0, 0, 0}, 0));
  BOOST_TEST(scaled_dot_product_attention(ones({0, 3}), ones({2, 3}), ones({2, 4})).shape() == (Shape{0, 4}));
  // Without features all keys fit alike: the mean of the values.
  BOOST_TEST(all_close(scaled_dot_product_attention(ones({1, 0}), ones({2, 0}), tensor<float>({{1, 2}, {3, 6}})),
                       {2, 4}, 1e-7));
}

BOOST_AUTO_TEST_CASE(dropout_drops_weights_and_scales_the_others) {
  Generator g(5), again(5);
  const Tensor q = zeros({4, 2}), k = zeros({50, 2}), v = eye(50);
  const Tensor y = scaled_dot_product_attention(q, k, v, {.dropout_p = 0.5, .generator = &g});
  int dropped = 0;
  for (const double weight : values(y)) {
    dropped += weight == 0 ? 1 : 0;
    BOOST_TEST((weight == 0 || std::abs(weight - 0.04) < 1e-7));
  }
  BOOST_TEST(dropped > 60);
  BOOST_TEST(dropped < 140);
  BOOST_TEST(same_bits(scaled_dot_product_attention(q, k, v, {.dropout_p = 0.5, .generator = &again}), y));
  BOOST_TEST(all_close(scaled_dot_product_attention(q, k, v, {.dropout_p = 1}), zeros({4, 50}), 0));
}

BOOST_AUTO_TEST_CASE(attention_keeps_to_the_dtype_and_to_autocast) {
  Generator g(6);
  const Tensor q = sample(g, {3, 4}), mask = sample(g, {3, 3});
  const Tensor expected = scaled_dot_product_attention(q, q, q, {.attn_mask = mask});
  const Tensor narrow = to(q, bf16);
  const Tensor y = scaled_dot_product_attention(narrow, narrow, narrow, {.attn_mask = to(mask, bf16)});
  BOOST_TEST(y.dtype() == bf16);
  BOOST_TEST(all_close(values(y), values(expected), 0, 0.03));
  const Autocast scope(bf16);
  const Tensor single = to(q, f32);
  const Tensor lowered = scaled_dot_product_attention(single, narrow, single, {.attn_mask = to(mask, f32)});
  BOOST_TEST(lowered.dtype() == bf16);
  BOOST_TEST(all_close(values(lowered), values(expected), 0, 0.03));
}

BOOST_AUTO_TEST_CASE(attention_refuses_what_does_not_fit) {
  const auto text = [](const Tensor& q, const Tensor& k, const Tensor& v,
                       const ScaledDotProductAttentionOptions& options = {}) {
    return error<std::invalid_argument>([&] { (void)scaled_dot_product_attention(q, k, v, options); });
  };
  const Tensor q = ones({2, 3}), k = ones({4, 3}), v = ones({4, 5});
  const std::string name = "scaled_dot_product_attention: ";
  const std::string extents = name + "q must be [..., L, E], k [..., S, E] and v [..., S, Ev]; got ";
  BOOST_TEST(text(q, v, v) == std::string(extents).append("[2, 3], [4, 5] and [4, 5]"));
  BOOST_TEST(text(q, k, q) == std::string(extents).append("[2, 3], [4, 3] and [2, 3]"));
  BOOST_TEST(text(ones({3}), k, v) == std::string(extents).append("[3], [4, 3] and [4, 5]"));
  BOOST_TEST(
      text(ones({2, 2, 3}), ones({3, 4, 3}), v) ==
      std::string(name).append("shapes must broadcast, extents equal or 1; got [2] and [3], which differ in dim -1"));
  BOOST_TEST(text(q, to(k, f64), v) ==
             std::string(name).append("the dtypes must be equal; got f32 and f64, convert one with to(x, f32)"));
  BOOST_TEST(text(q, k, v, {.attn_mask = ones({3, 4})}) ==
             std::string(name).append(
                 "shapes must broadcast, extents equal or 1; got [3, 4] and [2, 4], which differ in dim -2"));
  BOOST_TEST(text(q, k, v, {.attn_mask = ones({7, 2, 4})}) ==
             std::string(name).append("the mask must broadcast to [2, 4]; got [7, 2, 4]"));
  BOOST_TEST(text(ones({1, 3}), k, v, {.attn_mask = ones({2, 4})}) ==
             std::string(name).append("the mask must broadcast to [1, 4]; got [2, 4]"));
  BOOST_TEST(text(q, k, v, {.attn_mask = ones({2, 4}, {.dtype = f64})}) ==
             std::string(name).append("the mask must be bool or of the dtype of q, f32; got f64"));
  BOOST_TEST(text(q, k, v, {.dropout_p = 1.5}) == std::string(name).append("dropout_p must be in [0, 1]; got 1.5"));
  BOOST_TEST(text(q, k, v, {.scale = kInfinity}) == std::string(name).append("scale must be finite; got inf"));
}

BOOST_AUTO_TEST_SUITE_END()
