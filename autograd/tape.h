#pragma once

#include <cstdint>
#include <iosfwd>
#include <string>
#include <vector>

#include <tapestry/autograd/tensor.h>

namespace tapestry {

/// What was recorded behind a tensor, in the order of recording. A view for people: it owns nothing, and making or
/// printing it changes no result.
///
///     std::cout << Tape::of(loss);                  // a table
///     std::ofstream("graph.dot") << Tape::of(loss).to_dot();   // dot -Tsvg graph.dot -o graph.svg
class Tape {
 public:
  struct Entry {
    std::uint64_t seq = 0;  ///< position on the tape
    std::string op;         ///< "conv2d"; "leaf" for a tensor that requires grad
    Shape shape;            ///< of the output
    Dtype dtype = f32;
    std::int64_t bytes_kept = 0;        ///< saved for backward; a tensor saved by two ops counts twice
    std::string where;                  ///< "model.cpp:42 in layer2.0.conv1", empty when unknown
    std::vector<std::uint64_t> inputs;  ///< seq of the entries it was computed from
    bool released = false;              ///< played and let go
  };

  /// Everything that x's gradient depends on; empty when x does not require grad.
  [[nodiscard]] static Tape of(const Tensor& x);

  [[nodiscard]] const std::vector<Entry>& entries() const noexcept { return entries_; }
  [[nodiscard]] std::int64_t bytes_kept() const noexcept;

  /// The graph in Graphviz's language: leaves as boxes, ops as ellipses with shape and bytes.
  [[nodiscard]] std::string to_dot() const;

 private:
  std::vector<Entry> entries_;
};

std::ostream& operator<<(std::ostream& out, const Tape& tape);

}  // namespace tapestry
