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
///     std::cout << Tape::of(loss);                              // a table
///     std::ofstream("graph.svg") << Tape::of(loss).to_svg();    // a picture for any browser
///     std::cout << Tape::of(loss).memory_report();              // which lines, modules and ops keep how much
class Tape {
 public:
  struct Entry {
    std::uint64_t seq = 0;  ///< position on the tape
    std::string op;         ///< "conv2d"; "leaf" for a tensor that requires grad
    Shape shape;            ///< of the output
    Dtype dtype = f32;
    std::int64_t bytes_kept = 0;        ///< saved for backward; a tensor saved by two ops counts twice
    std::string where;                  ///< "model.cpp:42 in layer2.0.conv1", empty when unknown
    std::string line;                   ///< "model.cpp:42"
    std::string module;                 ///< "layer2.0.conv1"; of a leaf the parameter's key, "layer2.0.conv1.weight"
    std::vector<std::uint64_t> inputs;  ///< seq of the entries it was computed from
    bool released = false;              ///< played and let go
  };

  /// Everything that x's gradient depends on; empty when x does not require grad.
  [[nodiscard]] static Tape of(const Tensor& x);

  [[nodiscard]] const std::vector<Entry>& entries() const noexcept { return entries_; }
  [[nodiscard]] std::int64_t bytes_kept() const noexcept;

  /// The graph in Graphviz's language: leaves as boxes, ops as ellipses with shape and bytes.
  [[nodiscard]] std::string to_dot() const;

  struct PictureOptions {
    Index most_nodes = 60;  ///< a larger graph is folded: what one module recorded becomes one box
  };

  /// The graph as a picture that needs no other program: one SVG file with leaves above the ops that use them, and for
  /// each op its shape, what it keeps, line and module. Beyond most_nodes modules are folded, the deepest first; what
  /// is still too much loses its beginning, and says so.
  [[nodiscard]] std::string to_svg(const PictureOptions& options) const;
  [[nodiscard]] std::string to_svg() const { return to_svg(PictureOptions{}); }

  /// What is kept for backward by one source line, module or op.
  struct Kept {
    std::string name;        ///< empty for what has none
    std::int64_t bytes = 0;  ///< of what rules keep
    Index ops = 0;           ///< recorded ops, leaves not counted
  };
  /// What kept() adds up by.
  enum class By : std::uint8_t { line, module, op };

  /// Largest first; what keeps nothing is left out.
  [[nodiscard]] std::vector<Kept> kept(By by) const;

  /// What would become of the memory of a module if it was computed again in backward instead of kept.
  struct Saving {
    std::string module;        ///< "layer2.0"
    std::int64_t kept = 0;     ///< bytes that it keeps, with all modules in it
    std::int64_t entries = 0;  ///< bytes of recorded tensors that it is given, which would have to be kept instead
    /// Bytes that checkpointing the module would spare.
    [[nodiscard]] std::int64_t saved() const noexcept { return kept - entries; }
  };

  /// Largest saving first; modules that would save nothing are left out. A tensor kept twice counts twice.
  [[nodiscard]] std::vector<Saving> savings() const;

  /// kept() by line, module and op, and savings(), for people; at most `rows` lines each.
  [[nodiscard]] std::string memory_report(std::size_t rows = 12) const;

 private:
  std::vector<Entry> entries_;
};

std::ostream& operator<<(std::ostream& out, const Tape& tape);

}  // namespace tapestry
