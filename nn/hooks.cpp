#include <tapestry/nn/hooks.h>

#include <exception>
#include <string>
#include <unordered_set>

#include <tapestry/autograd/base/check.h>
#include <tapestry/autograd/base/warning.h>
#include <tapestry/autograd/grad_mode.h>
#include <tapestry/autograd/record.h>
#include <tapestry/nn/detail/module_hooks.h>
#include <tapestry/nn/module.h>

namespace tapestry::nn::detail {
namespace {

constexpr const char* kBackwardHook = "register_full_backward_hook";  // as the tape calls the two nodes around a module

Tensor unchanged(const Tensor& t) { return t; }

/// y was computed from `from`, a node: looks at everything recorded between them.
bool depends_on(const Tensor& y, const Node& from) {
  std::unordered_set<const Node*> seen;
  std::vector<const Node*> open{tapestry::detail::reverse_node(y.impl().node).get()};
  while (!open.empty()) {
    const Node* const node = open.back();
    open.pop_back();
    if (node == &from) return true;
    if (!node || node->seq < from.seq || !seen.insert(node).second) continue;
    for (const Ref<Node>& input : node->inputs()) open.push_back(input.get());
  }
  return false;
}

/// Where dy waits for dx.
struct Backward {
  Module module;
  Handle<ModuleHooks> hooks;
  Tensor dy;
  bool dx_follows = false;

  Tensor call(Tensor dx) {
    const Tensor at = std::exchange(dy, {});
    if (!at.defined()) return dx;
    hooks->backward->for_each([&](const BackwardHook& hook) {
      Tensor replacement = hook(module, dx, at);
      if (!replacement.defined() || !dx.defined()) return;
      if (replacement.shape() != dx.shape() || replacement.dtype() != dx.dtype()) {
        throw_logic("{}: a hook must return a gradient of the input's shape and dtype, {} {}; got {} {}", kBackwardHook,
                    dx.dtype(), dx.shape(), replacement.dtype(), replacement.shape());
      }
      dx = std::move(replacement);
    });
    return dx;
  }
};

}  // namespace

struct HookedCall::State {
  Module module;
  Handle<ModuleHooks> hooks;
  Tensor x = {};       // as the module gets it
  Tensor marked = {};  // the same behind a node of its own: undefined when x does not require grad
  Handle<Backward> backward = {};
  bool got_input = false, got_output = false;
  int exceptions = std::uncaught_exceptions();
};

HookedCall::HookedCall(const Module& module) {
  const Handle<ModuleHooks>& hooks = module.hooks();
  if (hooks && !hooks->empty()) state_ = make_handle<State>(State{module, hooks});
}

HookedCall::~HookedCall() {
  if (!state_ || (state_->got_input && state_->got_output) || std::uncaught_exceptions() > state_->exceptions) return;
  const char* const path = state_->module.path();
  try {
    warn(std::string("hooks: not all of module '") + (path ? path : "") +
         "' are called; its call operator must pass its input through LayerScope::input and its result through "
         "LayerScope::output");
  } catch (...) {  // a handler of warnings that throws has been heard, too
  }
}

Tensor HookedCall::hooked_input(Tensor x) const {
  State& call = *state_;
  call.got_input = true;
  call.hooks->before->for_each([&](const ForwardPreHook& hook) {
    if (Tensor replacement = hook(call.module, x); replacement.defined()) x = std::move(replacement);
  });
  call.x = x;
  if (call.hooks->backward->empty() || !is_grad_enabled()) return x;
  call.backward = make_handle<Backward>(Backward{call.module, call.hooks, {}});
  if (!tapestry::detail::has_reverse_node(x)) return x;
  return call.marked =
             record(kBackwardHook, x,
                    wrt(
                        x, [backward = call.backward](const Tensor& dx) { return backward->call(dx); }, unchanged));
}

Tensor HookedCall::hooked_output(Tensor y) const {
  State& call = *state_;
  call.got_output = true;
  call.hooks->after->for_each([&](const ForwardHook& hook) {
    if (Tensor replacement = hook(call.module, call.x, y); replacement.defined()) y = std::move(replacement);
  });
  if (!call.backward || !tapestry::detail::has_reverse_node(y)) return y;
  // Without this test a dy that nobody fetches would keep the graph that it belongs to.
  call.backward->dx_follows =
      call.marked.defined() && depends_on(y, *tapestry::detail::reverse_node(call.marked.impl().node));
  const auto rule = [backward = call.backward](const Tensor& dy) {
    backward->dy = dy;
    if (!backward->dx_follows) backward->call({});
    return dy;
  };
  return record(kBackwardHook, y, wrt(y, rule, unchanged));
}

}  // namespace tapestry::nn::detail
