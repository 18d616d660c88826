#include <tapestry/nn/recurrent.h>

#include <fmt/format.h>

#include <tapestry/autograd/base/check.h>
#include <tapestry/autograd/base/extent.h>
#include <tapestry/nn/detail/layer.h>
#include <tapestry/nn/init.h>
#include <tapestry/ops/binary.h>
#include <tapestry/ops/cast.h>
#include <tapestry/ops/matmul.h>
#include <tapestry/ops/shape_ops.h>
#include <tapestry/ops/unary.h>

namespace tapestry::nn {
namespace {

void check_input(const char* cell, const Tensor& x, Index in) {
  if (x.dim() != 2 || x.size(1) != in) throw_invalid("{}: the input must be [N, {}]; got {}", cell, in, x.shape());
}

void check_state(const char* cell, const char* what, const Tensor& state, const Tensor& x, Index hidden) {
  const Shape expected{x.size(0), hidden};
  if (state.shape() != expected) throw_invalid("{}: {} must be {}; got {}", cell, what, expected, state.shape());
}

Tensor no_state(const Tensor& x, Index hidden) { return zeros({x.size(0), hidden}, {.dtype = x.dtype()}); }

}  // namespace

LSTMCell::LSTMCell(Index in, Index hidden, const Options& options, Here here) : in_(in), hidden_(hidden) {
  const CallSite site(here);
  detail::check_positive("LSTMCell", "in", in);
  detail::check_positive("LSTMCell", "hidden", hidden);
  const Index rows = checked_product("LSTMCell", 4, hidden);
  weight_ih_ = param("weight_ih", init::fan_in_uniform({rows, in}, hidden));
  weight_hh_ = param("weight_hh", init::fan_in_uniform({rows, hidden}, hidden));
  if (options.bias) {
    bias_ih_ = param("bias_ih", init::fan_in_uniform({rows}, hidden));
    bias_hh_ = param("bias_hh", init::fan_in_uniform({rows}, hidden));
  }
  describe(fmt::format("LSTMCell {} -> {}", in, hidden));
}

LSTMCell::State LSTMCell::operator()(const Tensor& input, const State& state, Here here) const {
  const LayerScope scope(*this, here);
  const Tensor x = scope.input(input);
  check_input("LSTMCell", x, in_);
  check_state("LSTMCell", "h", state.h, x, hidden_);
  check_state("LSTMCell", "c", state.c, x, hidden_);
  // In the state's dtype: under autocast products are bf16, and the memory must not be.
  const Tensor sums = linear(x, weight_ih_, bias_ih_) + linear(state.h, weight_hh_, bias_hh_);
  const auto gates = chunk(tapestry::to(sums, state.c.dtype()), 4, {.dim = 1});
  const Tensor c = sigmoid(gates[1]) * state.c + sigmoid(gates[0]) * tanh(gates[2]);
  return {.h = scope.output(sigmoid(gates[3]) * tanh(c)), .c = c};
}

LSTMCell::State LSTMCell::operator()(const Tensor& x, Here here) const {
  const CallSite site(here);
  check_input("LSTMCell", x, in_);
  return (*this)(x, {.h = no_state(x, hidden_), .c = no_state(x, hidden_)}, here);
}

GRUCell::GRUCell(Index in, Index hidden, const Options& options, Here here) : in_(in), hidden_(hidden) {
  const CallSite site(here);
  detail::check_positive("GRUCell", "in", in);
  detail::check_positive("GRUCell", "hidden", hidden);
  const Index rows = checked_product("GRUCell", 3, hidden);
  weight_ih_ = param("weight_ih", init::fan_in_uniform({rows, in}, hidden));
  weight_hh_ = param("weight_hh", init::fan_in_uniform({rows, hidden}, hidden));
  if (options.bias) {
    bias_ih_ = param("bias_ih", init::fan_in_uniform({rows}, hidden));
    bias_hh_ = param("bias_hh", init::fan_in_uniform({rows}, hidden));
  }
  describe(fmt::format("GRUCell {} -> {}", in, hidden));
}

Tensor GRUCell::operator()(const Tensor& input, const Tensor& h, Here here) const {
  const LayerScope scope(*this, here);
  const Tensor x = scope.input(input);
  check_input("GRUCell", x, in_);
  check_state("GRUCell", "h", h, x, hidden_);
  const auto from_x = chunk(tapestry::to(linear(x, weight_ih_, bias_ih_), h.dtype()), 3, {.dim = 1});
  const auto from_h = chunk(tapestry::to(linear(h, weight_hh_, bias_hh_), h.dtype()), 3, {.dim = 1});
  const Tensor reset = sigmoid(from_x[0] + from_h[0]);
  const Tensor update = sigmoid(from_x[1] + from_h[1]);
  const Tensor next = tanh(from_x[2] + reset * from_h[2]);
  return scope.output((1 - update) * next + update * h);
}

Tensor GRUCell::operator()(const Tensor& x, Here here) const {
  const CallSite site(here);
  check_input("GRUCell", x, in_);
  return (*this)(x, no_state(x, hidden_), here);
}

}  // namespace tapestry::nn
