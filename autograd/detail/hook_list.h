#pragma once

#include <tapestry/autograd/hooks.h>
#include <tapestry/autograd/node.h>

namespace tapestry::detail {

/// What hangs on a node beside its rules: hooks, and the gradient of a result that keeps it.
class HookList final : public HooksInOrder<GradientHook> {
 public:
  /// That of the node, made if it has none.
  [[nodiscard]] static const Ref<HookList>& of(Node& node);

  void keep_gradient() { retains_ = true; }

  /// The gradient after all hooks; keeps it if asked to.
  [[nodiscard]] Tensor call(const Node& node, Tensor gradient, bool create_graph);

  [[nodiscard]] static Tensor retained(const Ref<Node>& node);
  static void forget_retained(const Ref<Node>& node);

 private:
  bool retains_ = false;
  Tensor retained_;
};

}  // namespace tapestry::detail
