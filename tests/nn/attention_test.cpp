#include <support/expect.h>

#include <limits>

#include <tapestry/autograd/backward.h>
#include <tapestry/autograd/grad_mode.h>
#include <tapestry/autograd/gradcheck/gradcheck.h>
#include <tapestry/autograd/random.h>
#include <tapestry/nn/attention.h>
#include <tapestry/ops/activation.h>
#include <tapestry/ops/autocast.h>
#include <tapestry/ops/binary.h>
#include <tapestry/ops/reduce.h>
#include <tapestry/ops/shape_ops.h>

using namespace tapestry;
using namespace tapestry::test;

BOOST_AUTO_TEST_SUITE(attention_test)

namespace {

using Doubles = std::vector<double>;
using Invalid = std::invalid_argument;
using nn::MultiheadAttention;
using nn::TransformerEncoderLayer;

constexpr double kInfinity = std::numeric_limits<double>::infinity();

/// Numbers that need no file: element i of tensor t, as the oracle was given them.
Tensor filled(const Shape& shape, double t, double scale) {
  std::vector<double> all(static_cast<std::size_t>(shape.numel()));
  for (std::size_t i = 0; i < all.size(); ++i) {
    const double v = 0.6180339887498949 * static_cast<double>(i + 1) + 0.1 * t;
    all[i] = (v - std::floor(v) - 0.5) * scale;
  }
  return tensor(all, shape, {.dtype = f64});
}

/// The module in f64, its parameters filled in order, and in eval mode.
template <class M>
M prepared(M module) {
  module.to(f64);
  module.eval();
  const NoGradGuard guard;
  double t = 1;
  for (Tensor p : module.parameters()) {
    const Tensor x = filled(p.shape(), t, p.dim() > 1 ? 1 : .5);
    std::copy_n(x.data<double>(), p.numel(), p.mutable_data<double>());
    t += 1;
  }
  return module;
}

std::vector<std::string> keys_of(const nn::Module& module) {
  std::vector<std::string> keys;
  for (const auto& x : module.named_parameters()) keys.push_back(x.name);
  return keys;
}

}  // namespace

// Oracle: LibTorch 1.13, torch::nn::MultiheadAttention(4, 2) with its arguments transposed to [L, N, E].
BOOST_AUTO_TEST_CASE(attention_has_pytorchs_values) {
  const MultiheadAttention attention = prepared(MultiheadAttention{4, 2});
  const Tensor x = filled({2, 3, 4}, 0, 2), y = filled({2, 5, 4}, 3, 2);
  const Doubles self{-.2708275466237, .2044276466577,   -.1809378434462,  .09091131065184,  -.1969714535714,
                     .1452798121778,  -.09287194612781, .07718216083214,  -.2756689261757,  .2040173938374,
                     -.1853487888459, .09448595763297,  -.174650549976,   -.05214142336574, -.08158150603877,
                     .1708218286745,  -.2013257646976,  -.01726900044864, -.1191339209731,  .1518865847693,
                     -.1623671382796, -.0423659777714,  -.07789479660263, .1445031167283};
  BOOST_TEST(all_close(attention(x), self, 1e-11));
  BOOST_TEST(all_close(attention(x, x, x), self, 1e-11));
  BOOST_TEST(all_close(attention(x, x, x * 1.0), self, 1e-11));
  BOOST_TEST(
      all_close(mean(attention.with_weights(x, x, x).weights, {.dim = 1}),
                Doubles{.3807015024144, .2402269988044, .3790714987813, .2584240619528, .4817394242514, .2598365137958,
                        .3770452999595, .2475368758811, .3754178241594, .4517594879225, .2389769452548, .3092635668228,
                        .2724372691651, .396969192211, .3305935386239, .3160242818434, .3460083655509, .3379673526057},
                1e-11));
  BOOST_TEST(all_close(
      attention(x, y, y),
      Doubles{-.1759199907175,  -.08311195804253, -.1008549456783, .1609536578143,   -.1497697754064, -.1335399296694,
              -.07477570357463, .1687544193754,   -.1770163145568, -.08657202519178, -.1020004449677, .164387412573,
              -.3455984709374,  .3252486118466,   -.2144593869778, .09866233813195,  -.3315444253315, .2950199245123,
              -.2111312364426,  .09824706135113,  -.3323483807419, .3028433433361,   -.2079119229235, .1016984772736},
      1e-11));
  BOOST_TEST(all_close(
      attention(x, {.is_causal = true}),
      Doubles{-.2802765762827,  .2300312984411,  -.2047860589727, .08295919968229, -.1999985663656,  .1078239744757,
              -.08684773479861, .1041225397519,  -.2756689261757, .2040173938374,  -.1853487888459,  .09448595763297,
              -.2913640580807,  .1091979238724,  -.1562383505719, .1613245031825,  -.3014947992792,  .2336396721637,
              -.2010800169744,  .08958092552241, -.1623671382796, -.0423659777714, -.07789479660263, .1445031167283},
      1e-11));
  const Tensor padding = tensor({{false, false, false, false, true}, {true, false, false, false, false}});
  BOOST_TEST(all_close(
      attention(x, y, y, {.key_padding_mask = padding}),
      Doubles{-.2009778021269,  -.01220399085809, -.1192939576915, .1434185257091,   -.1717271322999, -.06621519960458,
              -.08916457177813, .1517400530784,   -.2022515255935, -.01579968000819, -.1205740682873, .1470447158689,
              -.3354461721864,  .3109396731627,   -.2120758437236, .09937429654551,  -.3192170703079, .2764863196226,
              -.2072721714502,  .09861712946912,  -.3211662892437, .285568235952,    -.2050545462396, .1027077711414},
      1e-11));
}

// Oracle: LibTorch 1.13, torch::nn::TransformerEncoderLayer(4, 2) with dim_feedforward(6), in eval mode.
BOOST_AUTO_TEST_CASE(an_encoder_layer_has_pytorchs_values) {
  const Tensor x = filled({2, 3, 4}, 0, 2);
  const TransformerEncoderLayer plain = prepared(TransformerEncoderLayer{4, 2, {.dim_feedforward = 6}});
  BOOST_TEST(all_close(
      plain(x),
      Doubles{.195470434721,   .01827247163048, .1078747478139,  .04356147694587, .2611798787903,   .06913182190153,
              .01095919577619, .0595970508931,  .1955159797187,  .01806343658585, .1076955402585,   .04348289346155,
              .2611086153036,  .06286446386431, .01504838031263, .05621318276535, .193483204531,    .00769620854046,
              .1028684280332,  .04036028689915, .2966851603911,  .05656214945076, -.06630438932895, .05459275555767},
      1e-11, 1e-13));
  const TransformerEncoderLayer smooth =
      prepared(TransformerEncoderLayer{4, 2, {.dim_feedforward = 6, .activation = nn::TransformerActivation::gelu}});
  BOOST_TEST(all_close(
      smooth(x),
      Doubles{.1914956494197,  .01938277358364, .113158250221,    .0445257905158,  .26609824342,   .072442897296,
              -.0019736524078, .06148125074478, .1915667160756,   .01911377246908, .112927148636,  .0444206196226,
              .2665163090548,  .06616201657833, .002269023824918, .05790515615465, .1922913928992, .007815337107766,
              .1043989657288,  .04056388320913, .3105995211417,   .05995010079439, -.112490476014, .0588168955811},
      1e-11, 1e-13));
}

BOOST_AUTO_TEST_CASE(attention_has_pytorchs_keys_shapes_and_start) {
  manual_seed(1);
  const MultiheadAttention attention{64, 4};
  BOOST_TEST(keys_of(attention) ==
                 (std::vector<std::string>{"in_proj_weight", "in_proj_bias", "out_proj.weight", "out_proj.bias"}),
             boost::test_tools::per_element());
  const auto parameters = attention.parameters();
  BOOST_TEST(parameters[0].shape() == (Shape{192, 64}));
  double most = 0;
  for (const double v : values(parameters[0])) most = std::max(most, std::abs(v));
  BOOST_TEST(most <= std::sqrt(6.0 / 256));
  BOOST_TEST(most > .99 * std::sqrt(6.0 / 256));
  BOOST_TEST(values(parameters[1]) == Doubles(192, 0));
  BOOST_TEST(values(parameters[3]) == Doubles(64, 0));
  BOOST_TEST(keys_of(MultiheadAttention(4, 2, {.bias = false})).size() == 2U);
}

BOOST_AUTO_TEST_CASE(a_causal_query_sees_nothing_of_what_follows) {
  const MultiheadAttention attention = prepared(MultiheadAttention{4, 2});
  const Tensor x = filled({1, 5, 4}, 0, 2);
  const Tensor whole = attention(x, {.is_causal = true});
  for (const Index length : {1, 2, 4}) {
    const Tensor part = attention(slice(x, {.dim = 1, .end = length}), {.is_causal = true});
    BOOST_TEST(all_close(part, slice(whole, {.dim = 1, .end = length}), 1e-12, 1e-14));
  }
  const auto weights = attention.with_weights(x, x, x, {.is_causal = true}).weights;
  BOOST_TEST(weights.shape() == (Shape{1, 2, 5, 5}));
  for (Index i = 0; i < 5; ++i) {
    for (Index j = i + 1; j < 5; ++j) BOOST_TEST(weights.data<double>()[5 * i + j] == 0);
  }
  BOOST_TEST(all_close(sum(weights, {.dim = -1}), Doubles(10, 1), 1e-14));
}

BOOST_AUTO_TEST_CASE(masks_of_numbers_and_of_truth_say_the_same) {
  const MultiheadAttention attention = prepared(MultiheadAttention{4, 2});
  const Tensor x = filled({2, 3, 4}, 0, 2);
  const Tensor hidden = tensor({{false, true, true}, {false, false, true}, {false, false, false}});
  const Tensor added = tensor({{0.0, -kInfinity, -kInfinity}, {0.0, 0.0, -kInfinity}, {0.0, 0.0, 0.0}}, {.dtype = f64});
  const Tensor causal = attention(x, {.is_causal = true});
  BOOST_TEST(same_bits(attention(x, {.attn_mask = hidden}), causal));
  BOOST_TEST(all_close(attention(x, {.attn_mask = added}), causal, 1e-15));
  // What is filled up in a batch changes nothing for the others.
  const Tensor padding = tensor({{false, false, true}, {false, false, true}});
  const Tensor padded = attention(x, {.key_padding_mask = padding});
  const Tensor shorter = slice(x, {.dim = 1, .end = 2});
  BOOST_TEST(all_close(slice(padded, {.dim = 1, .end = 2}), attention(shorter), 1e-12, 1e-14));
  const Tensor nobody = tensor({{true, true, true}, {false, false, false}});
  const Doubles y = values(attention(x, {.key_padding_mask = nobody}));
  BOOST_TEST(std::isnan(y[0]));
  BOOST_TEST(std::isfinite(y[12]));
}

BOOST_AUTO_TEST_CASE(weights_are_dropped_in_training_mode_only) {
  manual_seed(2);
  MultiheadAttention attention{8, 2, {.dropout = .5}};
  const Tensor x = randn({2, 6, 8});
  BOOST_TEST(!same_bits(attention(x), attention(x)));
  attention.eval();
  BOOST_TEST(same_bits(attention(x), attention(x)));
}

BOOST_AUTO_TEST_CASE(under_autocast_results_are_f32_and_near_those_without) {
  manual_seed(4);
  const TransformerEncoderLayer layer{8, 2, {.dim_feedforward = 16, .dropout = 0}};
  const MultiheadAttention attention{8, 2};
  const Tensor x = randn({2, 5, 8}), added = randn({5, 5});
  const Tensor plain = layer(x), masked = attention(x, {.attn_mask = added});
  Tensor loss;
  {
    const Autocast scope(bf16);
    BOOST_TEST(all_close(attention(x, {.attn_mask = added}), masked, 0, .02));
    const Tensor rounded = layer(x);
    BOOST_TEST(all_close(rounded, plain, 0, .05));
    BOOST_TEST(!same_bits(rounded, plain));
    loss = sum(rounded * rounded);
  }
  loss.backward();
  for (const auto& p : layer.named_parameters()) BOOST_TEST((p.tensor.grad().dtype() == f32), p.name);
}

BOOST_AUTO_TEST_CASE(attention_can_be_differentiated_twice) {
  const MultiheadAttention attention = prepared(MultiheadAttention{2, 1});
  const auto f = [&](const std::vector<Tensor>& xs) { return attention(xs[0], xs[1], xs[2], {.is_causal = true}); };
  check_grads(f, {filled({1, 2, 2}, 0, 2), filled({1, 3, 2}, 1, 2), filled({1, 3, 2}, 2, 2)}, {.order = 2});
  sum(attention(filled({1, 2, 2}, 0, 2))).backward();
  for (const auto& x : attention.named_parameters()) BOOST_TEST(x.tensor.grad().defined(), x.name);
}

BOOST_AUTO_TEST_CASE(inputs_and_masks_that_do_not_fit_are_refused) {
  const MultiheadAttention attention{4, 2};
  BOOST_TEST(error<Invalid>([] { MultiheadAttention(4, 3); }) ==
             "MultiheadAttention: heads must divide embed_dim; got 3 and 4");
  BOOST_TEST(error<Invalid>([] { MultiheadAttention(0, 1); }) ==
             "MultiheadAttention: embed_dim must be at least 1; got 0");
  BOOST_TEST(error<Invalid>([] { MultiheadAttention(4, 0); }) == "MultiheadAttention: heads must be at least 1; got 0");
  BOOST_TEST(error<Invalid>([] { MultiheadAttention(4, 2, {.dropout = 2}); }) ==
             "MultiheadAttention: dropout must be in [0, 1]; got 2");
  const Tensor x = randn({2, 3, 4});
  BOOST_TEST(error<Invalid>([&] {
               (void)attention(randn({3, 4}));
             }) == "MultiheadAttention: the query must be [N, length, 4]; got [3, 4]");
  BOOST_TEST(error<Invalid>([&] {
               (void)attention(x, randn({2, 3, 5}), x);
             }) == "MultiheadAttention: the key must be [N, length, 4]; got [2, 3, 5]");
  BOOST_TEST(error<Invalid>([&] {
               (void)attention(x, randn({2, 5, 4}), x);
             }) ==
             "MultiheadAttention: query [N, L, E], key and value [N, S, E] must agree; got [2, 3, 4], [2, 5, 4] "
             "and [2, 3, 4]");
  BOOST_TEST(error<Invalid>([&] {
               (void)attention(x, {.attn_mask = zeros({3, 3}, {.dtype = i64})});
             }) == "MultiheadAttention: attn_mask must be bool or a float; got i64");
  BOOST_TEST(error<Invalid>([&] {
               (void)attention(x, {.key_padding_mask = zeros({2, 4}, {.dtype = boolean})});
             }) == "MultiheadAttention: key_padding_mask must be bool [2, 3]; got bool [2, 4]");
}

BOOST_AUTO_TEST_CASE(an_encoder_layer_has_pytorchs_keys_and_options) {
  const TransformerEncoderLayer layer{4, 2, {.dim_feedforward = 6}};
  BOOST_TEST(keys_of(layer) == (std::vector<std::string>{
                                   "self_attn.in_proj_weight", "self_attn.in_proj_bias", "self_attn.out_proj.weight",
                                   "self_attn.out_proj.bias", "linear1.weight", "linear1.bias", "linear2.weight",
                                   "linear2.bias", "norm1.weight", "norm1.bias", "norm2.weight", "norm2.bias"}),
             boost::test_tools::per_element());
  manual_seed(3);
  const Tensor x = randn({2, 3, 4});
  BOOST_TEST(!same_bits(layer(x), layer(x)));
  for (const bool first : {false, true}) {
    const TransformerEncoderLayer quiet{4, 2, {.dim_feedforward = 6, .dropout = 0, .norm_first = first}};
    const Tensor whole = quiet(x, {.is_causal = true});
    const Tensor part = quiet(slice(x, {.dim = 1, .end = 2}), {.is_causal = true});
    BOOST_TEST(all_close(part, slice(whole, {.dim = 1, .end = 2}), 1e-4, 1e-5));
  }
}

// By its formula, from layers that are tested by themselves.
BOOST_AUTO_TEST_CASE(the_norm_may_come_first) {
  const TransformerEncoderLayer layer =
      prepared(TransformerEncoderLayer{4, 2, {.dim_feedforward = 6, .norm_first = true}});
  MultiheadAttention attention{4, 2};
  nn::Linear linear1{4, 6}, linear2{6, 4};
  nn::LayerNorm norm1{4}, norm2{4};
  const NoGradGuard guard;
  std::size_t at = 0;
  for (const nn::Module& part : std::vector<nn::Module>{attention, linear1, linear2, norm1, norm2}) {
    for (Tensor p : part.parameters()) p.set_data(layer.parameters()[at++]);
  }
  Tensor x = filled({2, 3, 4}, 0, 2);
  const Tensor y = layer(x);
  x = x + attention(norm1(x));
  x = x + linear2(relu(linear1(norm2(x))));
  BOOST_TEST(all_close(y, x, 1e-14));
}

BOOST_AUTO_TEST_SUITE_END()
