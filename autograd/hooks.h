#pragma once

#include <cstdint>
#include <span>
#include <utility>
#include <vector>

#include <tapestry/autograd/base/call_site.h>
#include <tapestry/autograd/base/callable.h>
#include <tapestry/autograd/memory/handle.h>
#include <tapestry/autograd/memory/ref.h>
#include <tapestry/autograd/tensor.h>

/// Functions of the user that are called while gradients are computed.
namespace tapestry {

class Node;

namespace detail {
/// A list of hooks, as far as their handles are concerned.
class Hooks : public RefCounted {
 public:
  virtual ~Hooks() = default;
  virtual void remove(std::uint64_t number) = 0;
  static void destroy(Hooks* hooks) noexcept { delete hooks; }
};

/// Hooks of one kind, in the order of registration.
template <class Hook>
class HooksInOrder : public Hooks {
 public:
  std::uint64_t add(Hook hook) {
    hooks_.emplace_back(++last_, std::move(hook));
    return last_;
  }
  void remove(std::uint64_t number) final {
    std::erase_if(hooks_, [&](const auto& hook) { return hook.first == number; });
  }
  [[nodiscard]] bool empty() const noexcept { return hooks_.empty(); }

  /// f(hook) for those that are there now: a hook may add and remove others, and itself.
  template <class F>
  void for_each(const F& f) const {
    const auto hooks = hooks_;
    for (const auto& [number, hook] : hooks) f(hook);
  }

  /// Another list that begins with the same hooks. Handles go on removing from this one alone.
  [[nodiscard]] Ref<HooksInOrder> copy() const {
    const auto made = Ref<HooksInOrder>::adopt(new HooksInOrder);
    made->hooks_ = hooks_;
    made->last_ = last_;
    return made;
  }

 private:
  std::vector<std::pair<std::uint64_t, Hook>> hooks_;
  std::uint64_t last_ = 0;
};
}  // namespace detail

/// A hook's place in the list of hooks. The hook stays when the handle goes.
class HookHandle {
 public:
  HookHandle() noexcept;
  HookHandle(Ref<detail::Hooks> list, std::uint64_t number) noexcept;
  HookHandle(const HookHandle& other) noexcept;
  HookHandle& operator=(HookHandle other) noexcept;
  ~HookHandle();

  /// The hook is not called any more. Harmless a second time, and when what it hung on is gone. A hook may remove
  /// itself.
  void remove();

 private:
  Ref<detail::Hooks> list_;
  std::uint64_t number_ = 0;
};

/// Gets dL/dx whole, when every contribution to it has arrived; returns what shall take its place, or an undefined
/// tensor to leave it as it is.
using GradientHook = Callable<Tensor(const Tensor&)>;

/// Calls the hook whenever a gradient of x has been computed: of a leaf before it is added to .grad(), of a result
/// before it is sent on. Hooks of one tensor are called in the order of registration, each with what the one before
/// returned. An exception from a hook ends the sweep like one from a rule. Throws std::invalid_argument when x does not
/// require grad; backward then throws std::logic_error for a replacement of another shape or dtype, or - while a graph
/// is created - without history.
HookHandle register_hook(const Tensor& x, GradientHook hook);

/// From now on x.grad() holds the gradient of x, a result of recorded ops, added up as leaves do. Nothing happens for a
/// leaf. Throws std::invalid_argument when x does not require grad.
void retain_grad(const Tensor& x);

/// An op that has computed y.
struct ComputedOp {
  const char* name;                       ///< "conv2d"
  const Tensor& y;                        ///< without its node: whether it is recorded is open
  std::span<const Tensor* const> inputs;  ///< some may be undefined
  const Location& where;                  ///< the line that called it
};

/// For tools: for the time of a scope, functions that are called for every op of this thread and for every node of the
/// tape (<tapestry/autograd/node.h>) that it plays. What they throw, the op or backward throws. They must call no ops.
///
///     Index nodes = 0;
///     const OpHooks count({.before_backward = [&](const Node&, const Tensor&) { ++nodes; }});
///
/// Scopes stand within one another; all of them are told, the innermost first.
class OpHooks {
 public:
  /// What is called, and when; what is left out is not.
  struct Functions {
    Callable<void(const ComputedOp& op)> computed = {};                       ///< of every op, behind its computation
    Callable<void(const Node& node, const Tensor& dy)> before_backward = {};  ///< with dL/dy whole
    Callable<void(const Node& to, const Tensor& gradient)> sent = {};         ///< a rule's result, on its way to a node
    Callable<void(const Node& node)> after_backward = {};                     ///< also when a rule has thrown
  };
  explicit OpHooks(Functions functions);
  OpHooks(const OpHooks&) = delete;
  OpHooks& operator=(const OpHooks&) = delete;
  ~OpHooks();

 private:
  class Watcher;
  Handle<Watcher> watcher_;
};

/// How to get a tensor back; nothing: it was kept as it is.
using Unpack = Callable<Tensor()>;

/// For the time of a scope, what ops on this thread keep for backward is handed to `pack`, which returns how to get it
/// back: a function that is called when a rule wants it, at most once - or nothing, to keep the tensor as it is. The
/// innermost scope decides. Parameters, which live anyway, are handed over like everything else: they are leaves that
/// require grad.
///
///     const PackSaved to_bf16([](const Tensor& x) -> Unpack {
///       if ((x.is_leaf() && x.requires_grad()) || x.dtype() != f32) return {};
///       return [packed = to(x.detach(), bf16)] { return to(packed, f32); };
///     });
///
/// What comes back must have the shape and dtype of what was packed, else backward throws std::logic_error. It gets the
/// history of what was packed, so that derivatives of every order are right.
class PackSaved {
 public:
  /// What makes of a tensor the way to get it back.
  using Pack = Callable<Unpack(const Tensor&)>;
  explicit PackSaved(Pack pack);
  ~PackSaved();
  PackSaved(const PackSaved&) = delete;
  PackSaved& operator=(const PackSaved&) = delete;

 private:
  Pack pack_;
  const Pack* outer_;
};

}  // namespace tapestry
