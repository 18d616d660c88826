#pragma once

#include <cstdint>
#include <span>
#include <utility>
#include <vector>

#include <tapestry/autograd/base/thread_modes.h>
#include <tapestry/autograd/memory/handle.h>
#include <tapestry/autograd/node.h>

/// Forward mode. While a jvp is going on, a tensor carries its tangent - its derivative in the direction asked for - in
/// a node of its own kind, in front of the node that reverse mode plays. record() finds the tangents of an op's inputs
/// there and gives the output its own at once, so that nothing has to be kept.
///
/// Every jvp is a level with a number; one that begins within another has a larger number, and its duals stand in front
/// of the other's. The tangent of a level is computed with the outer levels alone in sight: derivatives of derivatives
/// follow without a word about them, and directions of different levels are never confused.
namespace tapestry::detail {

/// One jvp that is going on.
struct TangentLevel {
  std::uint64_t number;
  std::uint64_t outer;  ///< number of the level within which it began; 0: none
  bool record;          ///< tangents are recorded for reverse mode
  bool is_over = false;
};

/// The node of a tensor with a tangent. For reverse mode it is nothing but a passage to what stands behind it.
class Dual final : public Node {
 public:
  Dual(Handle<TangentLevel> level, Tensor tangent, Ref<Node> behind);

  void backward(const Tensor& dy, Sweep& sweep) override { send(sweep, behind_, dy); }
  void release() noexcept override {}
  [[nodiscard]] std::span<const Ref<Node>> inputs() const noexcept override { return {&behind_, 1}; }

  [[nodiscard]] const Handle<TangentLevel>& level() const noexcept { return level_; }
  [[nodiscard]] const Tensor& tangent() const noexcept { return tangent_; }
  [[nodiscard]] const Ref<Node>& behind() const noexcept { return behind_; }

 private:
  Handle<TangentLevel> level_;
  Tensor tangent_;  // of the tensor's shape and dtype
  Ref<Node> behind_;
};

/// A jvp, from beginning to end, on this thread.
class TangentScope {
 public:
  /// record: tangents and values are recorded for reverse mode, if ops of this thread are at all.
  explicit TangentScope(bool record);
  ~TangentScope();
  TangentScope(const TangentScope&) = delete;
  TangentScope& operator=(const TangentScope&) = delete;

  /// x with the tangent t. One that requires grad gets it where it stands, so that functions which hold x see it, and
  /// loses it at the end of the scope.
  [[nodiscard]] Tensor dual(const Tensor& x, const Tensor& t);

  /// The tangent of y at this level, or undefined: zero. Without history unless recorded.
  [[nodiscard]] Tensor tangent(const Tensor& y) const;
  /// y without its tangent at this level. Without history unless recorded.
  [[nodiscard]] Tensor value(const Tensor& y) const;

 private:
  [[nodiscard]] Tensor without_history(Tensor y) const;

  KeptModes modes_;
  Handle<TangentLevel> level_;
  std::vector<std::pair<Tensor, Ref<Node>>>
      marked_;  // tensors that got a dual where they stand, and their nodes before
};

/// Records for reverse mode for the time of a scope, whatever is going on outside: a gradient taken within a jvp.
class RecordScope : public KeptModes {
 public:
  RecordScope() noexcept { thread_modes.grad_enabled = thread_modes.record_reverse = true; }
};

/// x if it takes part in reverse mode, else an alias of it that is a leaf, with the tangents that x has.
[[nodiscard]] Tensor as_leaf(const Tensor& x);

/// y with its tangents alone: no history for reverse mode.
[[nodiscard]] Tensor without_reverse(const Tensor& y);

/// Puts the tangents that follow from those of the inputs in front of y's node `behind`, by the rules of `node`.
[[nodiscard]] Ref<Node> with_tangents(const Tensor& y, Node& node, std::span<const Ref<Node>> inputs, Ref<Node> behind);

}  // namespace tapestry::detail
