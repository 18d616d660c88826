#pragma once

#include <cstdint>

#include <tapestry/autograd/base/callable.h>
#include <tapestry/autograd/memory/ref.h>
#include <tapestry/autograd/tensor.h>

/// Functions of the user that are called while gradients are computed.
namespace tapestry {

namespace detail {
class HookList;
}

/// A hook's place in the list of hooks. The hook stays when the handle goes.
class HookHandle {
 public:
  HookHandle() noexcept;
  HookHandle(Ref<detail::HookList> list, std::uint64_t number) noexcept;
  HookHandle(const HookHandle& other) noexcept;
  HookHandle& operator=(HookHandle other) noexcept;
  ~HookHandle();

  /// The hook is not called any more. Harmless a second time, and when its tensor is gone. A hook may remove itself.
  void remove();

 private:
  Ref<detail::HookList> list_;
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
