#pragma once

#include <cstddef>
#include <cstdint>
#include <span>
#include <vector>

#include <tapestry/autograd/base/call_site.h>
#include <tapestry/autograd/memory/allocator.h>
#include <tapestry/autograd/memory/ref.h>
#include <tapestry/autograd/tensor.h>

namespace tapestry {

class Sweep;

namespace detail {
class HookList;
}

/// One recorded operation, or a leaf (detail/leaf.h): an operation without inputs. Tensors own nodes, a node owns the
/// nodes of its inputs; `seq` is its position on the tape, always behind that of its inputs.
class Node : public RefCounted {
 public:
  Node(const char* name_of, const Shape& shape_of, Dtype dtype_of, const Location& where_at) noexcept;
  virtual ~Node();

  /// Sends every input its share of dy, the gradient of this node's output.
  virtual void backward(const Tensor& dy, Sweep& sweep) = 0;
  /// Lets go of inputs and of everything saved.
  virtual void release() noexcept = 0;

  [[nodiscard]] virtual bool is_leaf() const noexcept { return false; }
  /// The nodes behind the inputs; null where an input has none.
  [[nodiscard]] virtual std::span<const Ref<Node>> inputs() const noexcept { return {}; }
  /// Bytes of the tensors that the rules saved.
  [[nodiscard]] virtual std::int64_t bytes_kept() const noexcept { return 0; }

  // --- for forward mode, while the op is being recorded; see detail/dual.h

  /// What the rules make of dy for the inputs that are wanted, without sending it anywhere; undefined: zero. y is the
  /// output as the rules shall see it.
  [[nodiscard]] virtual std::vector<Tensor> gradients(const Tensor& dy, const Tensor& y,
                                                      const std::vector<bool>& wanted);
  /// The derivative by this input equals its own transpose: the gradient rule is the tangent rule too.
  [[nodiscard]] virtual bool is_self_adjoint(std::size_t input) const noexcept;
  /// Keeps of every input the node that reverse mode plays, and no rule for an input that has none.
  virtual void keep_reverse_only() noexcept {}
  /// Carries a tangent (detail/dual.h), beside what reverse mode plays.
  [[nodiscard]] bool is_dual() const noexcept { return is_dual_; }

  const char* const name;
  const std::uint64_t seq;
  const Shape shape;
  const Dtype dtype;

  /// Where it was recorded; of a leaf, made.
  [[nodiscard]] const Location& where() const noexcept { return where_; }
  /// The line that cut it off, or something computed from it, by detach(); of no file where none has.
  [[nodiscard]] Here detached_at() const noexcept { return {detached_file_, detached_line_}; }
  /// Played and let go: cannot be played again.
  [[nodiscard]] bool released() const noexcept { return released_; }

  /// Iterative: the end of a chain of a million nodes takes no more stack than that of one.
  static void destroy(Node* node) noexcept;

  static void* operator new(std::size_t bytes) { return detail::allocate_block(bytes); }
  static void operator delete(void* block, std::size_t bytes) noexcept { detail::free_block(block, bytes); }

 protected:
  /// This node carries a tangent.
  void set_dual() noexcept { is_dual_ = true; }

 private:
  friend class Sweep;
  friend class detail::HookList;
  friend void set_module(const Tensor& leaf, const char* path);
  friend void note_detached(Node& node, const Here& here) noexcept;

  bool mark_detached(const Here& here) noexcept;

  bool released_ = false;
  bool playing_ = false;
  bool is_dual_ = false;
  int detached_line_ = 0;
  const char* detached_file_ = nullptr;
  Location where_;
  Node* next_doomed_ = nullptr;
  Ref<detail::HookList> hooks_;  // null: none
};

/// Tells the tape which module a leaf belongs to, by the path of the parameter: "layer2.0.conv1.weight", from intern().
/// Nothing happens for a tensor that does not require grad.
void set_module(const Tensor& leaf, const char* path);

/// Tells `node`, and what it was computed from, that detach() has cut it off at this line. What is too far away to be
/// told at once is told when the nodes between end without having been played.
void note_detached(Node& node, const Here& here) noexcept;

/// Adds `gradient` to what `to` will be played with. Null nodes and undefined gradients are ignored. Throws
/// std::logic_error when shape or dtype are not those of the node, or - while a graph is being created - when the
/// gradient has lost its node: some rule is not differentiable, and a second derivative would be silently wrong.
void send(Sweep& sweep, Ref<Node> to, Tensor gradient);

namespace detail {
/// The node that reverse mode plays: under what carries tangents. May be null.
[[nodiscard]] const Ref<Node>& reverse_node(const Ref<Node>& node) noexcept;

/// x takes part in reverse mode.
[[nodiscard]] bool has_reverse_node(const Tensor& x) noexcept;
}  // namespace detail

/// Whether nodes stay as they are when they have been played, for another time.
[[nodiscard]] bool keeps_graph(const Sweep& sweep) noexcept;

}  // namespace tapestry
