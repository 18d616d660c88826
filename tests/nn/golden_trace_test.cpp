#include <support/expect.h>

#include <array>
#include <map>

#include <tapestry/nn/activation.h>
#include <tapestry/nn/conv.h>
#include <tapestry/nn/flatten.h>
#include <tapestry/nn/linear.h>
#include <tapestry/nn/norm.h>
#include <tapestry/nn/optim/adamw.h>
#include <tapestry/nn/optim/sgd.h>
#include <tapestry/nn/pool.h>
#include <tapestry/nn/sequential.h>
#include <tapestry/nn/serialize.h>
#include <tapestry/ops/cross_entropy.h>
#include <tapestry/ops/shape_ops.h>

using namespace tapestry;
using namespace tapestry::test;

// A small network trained for 21 steps in f64, beside the numbers of
// PyTorch 1.13.
BOOST_AUTO_TEST_SUITE(golden_trace_test)

namespace {

constexpr double kTolerance = 1e-10;

/// Tensor number t: (frac(0.618... (i + 1) + 0.1 t) - 0.5) s at flat index i of
/// PyTorch's layout.
Tensor numbered(const Shape& shape, int t, double s) {
  std::vector<double> out(static_cast<std::size_t>(shape.numel()));
  for (std::size_t i = 0; i < out.size(); ++i) {
    const double x = 0.6180339887498949 * static_cast<double>(i + 1) + 0.1 * t;
    out[i] = (x - std::floor(x) - 0.5) * s;
  }
  return tensor(out, shape, {.dtype = f64});
}

struct Net {
  nn::Sequential model{nn::Conv2d{3, 4, {.kernel = 3, .padding = 1, .bias = false}},
                       nn::BatchNorm2d{4},
                       nn::ReLU{},
                       nn::MaxPool2d{2},
                       nn::Conv2d{4, 8, {.kernel = 3, .stride = 2, .padding = 1}},
                       nn::ReLU{},
                       nn::Flatten{},
                       nn::Linear{32, 10, {.flattened = {2, 2}}}};
  Tensor input = permute(numbered({4, 3, 8, 8}, 0, 2), {0, 2, 3, 1});
  Tensor labels = tensor({1, 7, 3, 3});

  Net() {
    model.to(f64);
    auto state = nn::file_state(model);
    int t = 0;
    for (const auto& x : model.named_parameters()) {
      const Shape shape = state.at(x.name).shape();
      state[x.name] = numbered(shape, ++t, shape.rank() > 1 ? 1 : 0.5);
      if (x.name == "1.weight") {
        Tensor& weight = state[x.name];
        for (Index i = 0; i < weight.numel(); ++i) weight.mutable_data<double>()[i] += 1;
      }
    }
    nn::load_file_state(model, state);
  }

  [[nodiscard]] Tensor loss(double smoothing) const {
    return cross_entropy(model(input), labels, {.label_smoothing = smoothing});
  }
};

double length(const std::vector<Tensor>& tensors) {
  double sum = 0;
  for (const Tensor& x : tensors) {
    for (const double v : values(x)) sum += v * v;
  }
  return std::sqrt(sum);
}

struct Trace {
  std::map<int, double> losses;
  double eval_loss;
  double parameters;
};

template <class Optimizer>
void check(Net& net, Optimizer& optimizer, const Trace& expected) {
  for (int step = 0; step <= 20; ++step) {
    optimizer.zero_grad();
    const Tensor loss = net.loss(0.1);
    loss.backward();
    if (const auto row = expected.losses.find(step); row != expected.losses.end()) {
      BOOST_TEST(std::abs(loss.item() - row->second) < kTolerance,
                 "step " << step << ": " << loss.item() - row->second);
    }
    optimizer.step();
  }
  net.model.eval();
  BOOST_TEST(std::abs(net.loss(0).item() - expected.eval_loss) < kTolerance,
             "eval: " << net.loss(0).item() - expected.eval_loss);
  const double norm = length(net.model.parameters());
  BOOST_TEST(std::abs(norm - expected.parameters) < kTolerance, "parameters: " << norm - expected.parameters);
}

}  // namespace

BOOST_AUTO_TEST_CASE(gradients_at_step_0_are_pytorchs) {
  const Net net;
  net.loss(0.1).backward();
  constexpr std::array expected{1.964160600856, 1.471493254234, .553240233060, 4.953258496210,
                                .657104030563,  3.281371298083, .601397134791};
  const auto named = net.model.named_parameters();
  BOOST_REQUIRE(named.size() == expected.size());
  for (std::size_t i = 0; i < expected.size(); ++i) {
    const double norm = length({named[i].tensor.grad()});
    BOOST_TEST(std::abs(norm - expected[i]) < 6e-13, named[i].name << ": " << norm - expected[i]);
  }
}

BOOST_AUTO_TEST_CASE(sgd_with_nesterov_momentum_and_weight_decay_follows_pytorch) {
  Net net;
  optim::SGD sgd(net.model.parameters(), {.lr = .05, .momentum = .9, .weight_decay = 5e-4, .nesterov = true});
  check(net, sgd,
        {{{0, 3.466051290701341},
          {1, 1.578899294850307},
          {2, 1.215610658431899},
          {5, .888153783361758},
          {10, .777441845312308},
          {20, .565273261381640}},
         .134894091162679,
         8.593079349133669});
  for (const auto& x : net.model.named_buffers()) {
    if (x.name == "1.num_batches_tracked") BOOST_TEST(x.tensor.item<Index>() == 21);
    if (x.name != "1.running_var") continue;
    BOOST_TEST(all_close(
        x.tensor, std::vector<double>{2.825970548297552, 1.735781538272062, 3.417432835249639, 3.747632098713403}, 0,
        kTolerance));
  }
}

BOOST_AUTO_TEST_CASE(adamw_follows_pytorch) {
  Net net;
  optim::AdamW adamw(net.model.parameters(), {.lr = .01, .weight_decay = .05});
  check(net, adamw,
        {{{0, 3.466051290701341},
          {1, 2.496558088325100},
          {2, 1.914555146392158},
          {5, 1.131121911788929},
          {10, .824307751239167},
          {20, .678377776382161}},
         .209147949950973,
         8.305473359344132});
}

BOOST_AUTO_TEST_SUITE_END()
