#pragma once

#include <tapestry/autograd/base/callable.h>
#include <tapestry/autograd/hooks.h>
#include <tapestry/autograd/memory/handle.h>
#include <tapestry/autograd/tensor.h>

/// Functions of the user that are called when a module computes, and when its gradients are: see
/// Module::register_forward_pre_hook() and the functions beside it.
namespace tapestry::nn {

class Module;

/// Gets what the module is called with; returns what shall take its place, or an undefined tensor to leave it.
using ForwardPreHook = Callable<Tensor(const Module& module, const Tensor& x)>;

/// Gets what the module computed of x; returns what shall take the place of y, or an undefined tensor to leave it.
using ForwardHook = Callable<Tensor(const Module& module, const Tensor& x, const Tensor& y)>;

/// Gets the gradients of the module's input and output, whole; returns what shall take the place of dx, or an undefined
/// tensor to leave it. dx is undefined when the input does not require grad; nothing takes its place then. What reaches
/// the input without passing the output - in a second derivative, mostly - is none of the hook's business.
using BackwardHook = Callable<Tensor(const Module& module, const Tensor& dx, const Tensor& dy)>;

namespace detail {

struct ModuleHooks;

/// One call of a module, for its hooks.
class HookedCall {
 public:
  explicit HookedCall(const Module& module);
  HookedCall(const HookedCall&) = delete;
  HookedCall& operator=(const HookedCall&) = delete;
  /// Warns when the module has hooks and its call operator passes by input() or output().
  ~HookedCall();

  [[nodiscard]] Tensor input(const Tensor& x) const { return state_ ? hooked_input(x) : x; }
  [[nodiscard]] Tensor output(Tensor y) const { return state_ ? hooked_output(y) : y; }

 private:
  struct State;
  [[nodiscard]] Tensor hooked_input(Tensor x) const;
  [[nodiscard]] Tensor hooked_output(Tensor y) const;

  Handle<State> state_;  // null: the module has no hooks
};

}  // namespace detail
}  // namespace tapestry::nn
