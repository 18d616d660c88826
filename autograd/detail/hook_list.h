#pragma once

#include <cstdint>
#include <utility>
#include <vector>

#include <tapestry/autograd/hooks.h>
#include <tapestry/autograd/node.h>

namespace tapestry::detail {

/// What hangs on a node beside its rules: hooks, and the gradient of a result that keeps it.
class HookList final : public Hooks {
 public:
  /// That of the node, made if it has none.
  [[nodiscard]] static const Ref<HookList>& of(Node& node);

  std::uint64_t add(GradientHook hook);
  void remove(std::uint64_t number) override;
  void keep_gradient() { retains_ = true; }

  /// The gradient after all hooks; keeps it if asked to.
  [[nodiscard]] Tensor call(const Node& node, Tensor gradient, bool create_graph);

  [[nodiscard]] static Tensor retained(const Ref<Node>& node);
  static void forget_retained(const Ref<Node>& node);

 private:
  std::vector<std::pair<std::uint64_t, GradientHook>> hooks_;  // in the order of registration
  std::uint64_t last_ = 0;
  bool retains_ = false;
  Tensor retained_;
};

}  // namespace tapestry::detail
