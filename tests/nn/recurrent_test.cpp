#include <support/expect.h>

#include <tapestry/autograd/backward.h>
#include <tapestry/autograd/gradcheck/gradcheck.h>
#include <tapestry/autograd/random.h>
#include <tapestry/nn/recurrent.h>
#include <tapestry/ops/autocast.h>
#include <tapestry/ops/binary.h>
#include <tapestry/ops/reduce.h>

using namespace tapestry;
using namespace tapestry::test;

BOOST_AUTO_TEST_SUITE(recurrent_test)

namespace {

using Doubles = std::vector<double>;
using Invalid = std::invalid_argument;

double sigmoid_of(double x) { return 1 / (1 + std::exp(-x)); }

/// Row i of w times row n of x, plus bias.
double affine(const Tensor& w, const Doubles& bias, const Tensor& x, std::size_t n, std::size_t i) {
  const Doubles ws = values(w), xs = values(x);
  const std::size_t columns = xs.size() / static_cast<std::size_t>(x.size(0));
  double y = bias.empty() ? 0 : bias[i];
  for (std::size_t k = 0; k < columns; ++k) y += ws[i * columns + k] * xs[n * columns + k];
  return y;
}

/// The tensors of a cell by their names; biases empty where it has none.
struct Weights {
  explicit Weights(const nn::Module& cell) {
    for (const auto& x : cell.named_parameters()) {
      if (x.name == "weight_ih") ih = x.tensor;
      else if (x.name == "weight_hh") hh = x.tensor;
      else if (x.name == "bias_ih") bias_ih = values(x.tensor);
      else if (x.name == "bias_hh") bias_hh = values(x.tensor);
      else BOOST_FAIL("an unknown key: " << x.name);
    }
  }
  Tensor ih, hh;
  Doubles bias_ih = {}, bias_hh = {};
};

template <class Cell>
Cell in_f64(Cell cell) {
  cell.to(f64);
  return cell;
}

Tensor drawn(const Shape& shape) { return randn(shape, {.dtype = f64}); }

}  // namespace

BOOST_AUTO_TEST_CASE(an_lstm_cell_is_its_formula_with_gates_in_pytorchs_order) {
  manual_seed(1);
  for (const bool bias : {true, false}) {
    const nn::LSTMCell cell = in_f64(nn::LSTMCell{3, 4, {.bias = bias}});
    BOOST_TEST(cell.named_parameters().size() == (bias ? 4U : 2U));
    const Weights w(cell);
    BOOST_TEST(w.ih.shape() == (Shape{16, 3}));
    BOOST_TEST(w.hh.shape() == (Shape{16, 4}));
    const Tensor x = drawn({2, 3}), h = drawn({2, 4}), c = drawn({2, 4});
    const nn::LSTMCell::State next = cell(x, {.h = h, .c = c});
    Doubles hs, cs;
    for (std::size_t n = 0; n < 2; ++n) {
      for (std::size_t k = 0; k < 4; ++k) {
        const auto gate = [&](std::size_t g) {
          return affine(w.ih, w.bias_ih, x, n, 4 * g + k) + affine(w.hh, w.bias_hh, h, n, 4 * g + k);
        };
        const double memory = sigmoid_of(gate(1)) * values(c)[4 * n + k] + sigmoid_of(gate(0)) * std::tanh(gate(2));
        cs.push_back(memory);
        hs.push_back(sigmoid_of(gate(3)) * std::tanh(memory));
      }
    }
    BOOST_TEST(all_close(next.h, hs, 1e-12, 1e-14));
    BOOST_TEST(all_close(next.c, cs, 1e-12, 1e-14));
    const Tensor none = zeros({2, 4}, {.dtype = f64});
    BOOST_TEST(same_bits(cell(x).h, cell(x, {.h = none, .c = none}).h));
  }
}

BOOST_AUTO_TEST_CASE(a_gru_cell_is_its_formula_with_gates_in_pytorchs_order) {
  manual_seed(2);
  for (const bool bias : {true, false}) {
    const nn::GRUCell cell = in_f64(nn::GRUCell{3, 4, {.bias = bias}});
    const Weights w(cell);
    BOOST_TEST(w.ih.shape() == (Shape{12, 3}));
    BOOST_TEST(w.hh.shape() == (Shape{12, 4}));
    const Tensor x = drawn({2, 3}), h = drawn({2, 4});
    Doubles hs;
    for (std::size_t n = 0; n < 2; ++n) {
      for (std::size_t k = 0; k < 4; ++k) {
        const auto of_x = [&](std::size_t g) { return affine(w.ih, w.bias_ih, x, n, 4 * g + k); };
        const auto of_h = [&](std::size_t g) { return affine(w.hh, w.bias_hh, h, n, 4 * g + k); };
        const double r = sigmoid_of(of_x(0) + of_h(0)), z = sigmoid_of(of_x(1) + of_h(1));
        hs.push_back((1 - z) * std::tanh(of_x(2) + r * of_h(2)) + z * values(h)[4 * n + k]);
      }
    }
    BOOST_TEST(all_close(cell(x, h), hs, 1e-12, 1e-14));
    BOOST_TEST(same_bits(cell(x), cell(x, zeros({2, 4}, {.dtype = f64}))));
  }
}

// Oracle: LibTorch 1.13, torch::nn::LSTMCell(3, 2) and GRUCell(3, 2) with parameters and inputs filled as below.
BOOST_AUTO_TEST_CASE(cells_have_pytorchs_values) {
  const auto filled = [](const Shape& shape, double t, double scale) {
    std::vector<double> all(static_cast<std::size_t>(shape.numel()));
    for (std::size_t i = 0; i < all.size(); ++i) {
      const double v = 0.6180339887498949 * static_cast<double>(i + 1) + 0.1 * t;
      all[i] = (v - std::floor(v) - 0.5) * scale;
    }
    return tensor(all, shape, {.dtype = f64});
  };
  const auto prepare = [&](const nn::Module& cell) {
    double t = 1;
    for (Tensor p : cell.parameters()) {
      p.set_data(filled(p.shape(), t, p.dim() > 1 ? 1 : .5));
      t += 1;
    }
  };
  const Tensor x = filled({2, 3}, 0, 2), h = filled({2, 2}, 1, 1), c = filled({2, 2}, 2, 1);
  const nn::LSTMCell lstm = in_f64(nn::LSTMCell{3, 2});
  const nn::GRUCell gru = in_f64(nn::GRUCell{3, 2});
  prepare(lstm);
  prepare(gru);
  const auto next = lstm(x, {.h = h, .c = c});
  BOOST_TEST(all_close(next.h, Doubles{-.01172290745213, -.1681784782315, -.1594114410559, -.07570057651575}, 1e-12));
  BOOST_TEST(all_close(next.c, Doubles{-.0251610607413, -.300772142677, -.3454232736104, -.1471761696348}, 1e-12));
  BOOST_TEST(all_close(lstm(x).h, Doubles{-.1047232328823, -.1748697550179, -.08283778643605, -.1823780669304}, 1e-12));
  BOOST_TEST(all_close(gru(x, h), Doubles{-.05564128408429, -.2820569578401, .1274440676766, -.1760400479638}, 1e-12));
  BOOST_TEST(all_close(gru(x), Doubles{-.1729044890335, -.2239626310696, -.1340405595213, -.264941402102}, 1e-12));
}

BOOST_AUTO_TEST_CASE(cells_begin_within_one_over_the_root_of_their_width) {
  manual_seed(3);
  const nn::LSTMCell cell{4, 25};
  for (const auto& x : cell.named_parameters()) {
    double most = 0;
    for (const double v : values(x.tensor)) most = std::max(most, std::abs(v));
    BOOST_TEST(most <= .2);
    BOOST_TEST(most > .18);
  }
}

BOOST_AUTO_TEST_CASE(a_gradient_goes_through_a_sequence) {
  manual_seed(4);
  const nn::LSTMCell lstm = in_f64(nn::LSTMCell{2, 2});
  const nn::GRUCell gru = in_f64(nn::GRUCell{2, 2});
  const Tensor first = drawn({2, 2}), second = drawn({2, 2});
  const auto f = [&](const std::vector<Tensor>& xs) {
    const auto state = lstm(xs[1], lstm(xs[0]));
    return sum(gru(xs[1], gru(xs[0])) * state.h) + sum(state.c);
  };
  check_grads(f, {first, second}, {.order = 2});
  f({first, second}).backward();
  for (const auto& x : lstm.named_parameters()) BOOST_TEST(x.tensor.grad().defined(), x.name);
  for (const auto& x : gru.named_parameters()) BOOST_TEST(x.tensor.grad().defined(), x.name);
}

BOOST_AUTO_TEST_CASE(under_autocast_states_stay_f32_and_near_those_without) {
  manual_seed(5);
  const nn::LSTMCell lstm{3, 4};
  const nn::GRUCell gru{3, 4};
  const Tensor x = randn({2, 3}), h = randn({2, 4}), c = randn({2, 4});
  const auto plain = lstm(x, {.h = h, .c = c});
  const Tensor plain_gru = gru(x, h);
  const Autocast scope(bf16);
  const auto rounded = lstm(x, {.h = h, .c = c});
  BOOST_TEST(all_close(rounded.h, plain.h, 0, .02));  // asks for the same dtype, too
  BOOST_TEST(all_close(rounded.c, plain.c, 0, .02));
  BOOST_TEST(all_close(gru(x, h), plain_gru, 0, .02));
  BOOST_TEST(!same_bits(rounded.h, plain.h));
}

BOOST_AUTO_TEST_CASE(inputs_and_states_of_other_shapes_are_refused) {
  const nn::LSTMCell lstm{3, 4};
  const nn::GRUCell gru{3, 4};
  BOOST_TEST(error<Invalid>([] { nn::LSTMCell(0, 4); }) == "LSTMCell: in must be at least 1; got 0");
  BOOST_TEST(error<Invalid>([] { nn::GRUCell(3, 0); }) == "GRUCell: hidden must be at least 1; got 0");
  BOOST_TEST(error<Invalid>([&] { (void)lstm(ones({2, 4})); }) == "LSTMCell: the input must be [N, 3]; got [2, 4]");
  BOOST_TEST(error<Invalid>([&] {
               (void)lstm(ones({2, 3}), {.h = ones({1, 4}), .c = ones({2, 4})});
             }) == "LSTMCell: h must be [2, 4]; got [1, 4]");
  BOOST_TEST(error<Invalid>([&] {
               (void)lstm(ones({2, 3}), {.h = ones({2, 4}), .c = ones({2, 3})});
             }) == "LSTMCell: c must be [2, 4]; got [2, 3]");
  BOOST_TEST(error<Invalid>([&] { (void)gru(ones({3})); }) == "GRUCell: the input must be [N, 3]; got [3]");
  BOOST_TEST(error<Invalid>([&] { (void)gru(ones({2, 3}), ones({2, 3})); }) == "GRUCell: h must be [2, 4]; got [2, 3]");
}

BOOST_AUTO_TEST_SUITE_END()
