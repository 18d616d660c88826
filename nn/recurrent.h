#pragma once

#include <tapestry/nn/module.h>

/// One step of a recurrent network: x [N, in] and the state [N, hidden] give the next state. A sequence is a loop.
/// Keys, shapes and the order of gates are PyTorch's:
///
///   weight_ih  [gates hidden, in]        bias_ih  [gates hidden]
///   weight_hh  [gates hidden, hidden]    bias_hh  [gates hidden]
///
/// All begin uniform in +-1 / sqrt(hidden). Both cells throw std::invalid_argument for extents below 1 and for inputs
/// of other shapes. Of several results, hooks see h. Composed of other ops: differentiable any number of times. Under
/// autocast products are bf16, gates and states in the dtype of the state that was given.
namespace tapestry::nn {

/// The long short-term memory (Hochreiter and Schmidhuber, 1997), gates in the order i, f, g, o:
///
///     [a_i, a_f, a_g, a_o] = x weight_ih^T + bias_ih + h weight_hh^T + bias_hh
///     c' = sigmoid(a_f) c + sigmoid(a_i) tanh(a_g)        h' = sigmoid(a_o) tanh(c')
class LSTMCell : public Module {
 public:
  struct Options {
    bool bias = true;
  };
  struct State {
    Tensor h;  ///< [N, hidden], what the cell gives
    Tensor c;  ///< [N, hidden], what it remembers
  };

  LSTMCell(Index in, Index hidden, Here here = {}) : LSTMCell(in, hidden, Options{}, here) {}
  LSTMCell(Index in, Index hidden, const Options& options, Here here = {});
  [[nodiscard]] State operator()(const Tensor& x, const State& state, Here here = {}) const;
  [[nodiscard]] State operator()(const Tensor& x, Here here = {}) const;  ///< from a state of zeros

 private:
  Index in_, hidden_;
  Tensor weight_ih_, weight_hh_, bias_ih_, bias_hh_;
};

/// The gated recurrent unit (Cho et al., 2014), gates in the order r, z, n, with the reset gate behind the product with
/// h, as in PyTorch:
///
///     [x_r, x_z, x_n] = x weight_ih^T + bias_ih        [h_r, h_z, h_n] = h weight_hh^T + bias_hh
///     r = sigmoid(x_r + h_r)    z = sigmoid(x_z + h_z)    n = tanh(x_n + r h_n)    h' = (1 - z) n + z h
class GRUCell : public Module {
 public:
  struct Options {
    bool bias = true;
  };

  GRUCell(Index in, Index hidden, Here here = {}) : GRUCell(in, hidden, Options{}, here) {}
  GRUCell(Index in, Index hidden, const Options& options, Here here = {});
  [[nodiscard]] Tensor operator()(const Tensor& x, const Tensor& h, Here here = {}) const;
  [[nodiscard]] Tensor operator()(const Tensor& x, Here here = {}) const;  ///< from a state of zeros

 private:
  Index in_, hidden_;
  Tensor weight_ih_, weight_hh_, bias_ih_, bias_hh_;
};

}  // namespace tapestry::nn
