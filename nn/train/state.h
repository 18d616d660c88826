#pragma once

#include <concepts>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include <tapestry/autograd/base/dtype.h>
#include <tapestry/autograd/base/shape.h>
#include <tapestry/nn/module.h>
#include <tapestry/nn/train/namespace.h>

/// Pieces that a hand-written training loop calls, each of use without the others: Checkpoint, Metrics, Progress, Log,
/// Curves, ContactSheet, Interrupt. None of them owns the loop.
namespace tapestry::nn::train {

/// How far a training has come: epochs that are finished, and steps done in the one after them.
struct Position {
  Index epoch = 0;
  Index step = 0;
  friend bool operator==(const Position&, const Position&) = default;
};

/// What a piece of a run remembers, in the form a Checkpoint keeps it in: tensors and texts under names that are unique
/// among their kind.
struct State {
  std::vector<NamedTensor> tensors;
  std::vector<std::pair<std::string, std::string>> texts;

  /// Both throw std::invalid_argument "rows: missing" for a name that is not there; tensor() also unless dtype and
  /// shape are these: "counts: i64 [20] there, i64 [100] here".
  [[nodiscard]] const Tensor& tensor(std::string_view name, Dtype dtype, const Shape& shape) const;
  [[nodiscard]] const Tensor& tensor(std::string_view name) const;
  [[nodiscard]] const std::string& text(std::string_view name) const;
};

/// A value whose memory can be taken and given back, bit for bit: Metrics, Log, Curves, and whatever else a loop of
/// yours keeps. load_state() throws std::invalid_argument, with the object unchanged, for a state that is not of its
/// kind.
template <class T>
concept Stateful = std::copyable<T> && requires(T& value, const T& constant, const State& state) {
  { constant.state() } -> std::same_as<State>;
  value.load_state(state);
};

}  // namespace tapestry::nn::train
