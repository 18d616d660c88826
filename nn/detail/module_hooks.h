#pragma once

#include <tapestry/nn/hooks.h>

namespace tapestry::nn::detail {

/// All hooks of a module.
struct ModuleHooks {
  template <class Hook>
  using List = Ref<tapestry::detail::HooksInOrder<Hook>>;
  template <class Hook>
  [[nodiscard]] static List<Hook> none() {
    return List<Hook>::adopt(new tapestry::detail::HooksInOrder<Hook>);
  }

  List<ForwardPreHook> before = none<ForwardPreHook>();
  List<ForwardHook> after = none<ForwardHook>();
  List<BackwardHook> backward = none<BackwardHook>();

  [[nodiscard]] bool empty() const noexcept { return before->empty() && after->empty() && backward->empty(); }
};

}  // namespace tapestry::nn::detail
