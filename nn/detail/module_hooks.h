#pragma once

#include <algorithm>
#include <utility>
#include <vector>

#include <tapestry/nn/hooks.h>

namespace tapestry::nn::detail {

/// All hooks of a module, in the order of registration.
class ModuleHooks final : public tapestry::detail::Hooks {
 public:
  template <class Hook>
  using List = std::vector<std::pair<std::uint64_t, Hook>>;

  ModuleHooks() = default;
  /// The hooks that a copy of the module begins with; handles go on removing from this list alone.
  [[nodiscard]] Ref<ModuleHooks> copy() const {
    const auto made = Ref<ModuleHooks>::adopt(new ModuleHooks);
    made->before = before, made->after = after, made->backward = backward, made->last_ = last_;
    return made;
  }

  template <class Hook>
  std::uint64_t add(List<Hook> ModuleHooks::*list, Hook hook) {
    (this->*list).emplace_back(++last_, std::move(hook));
    return last_;
  }

  void remove(std::uint64_t number) override {
    const auto erase = [&](auto& list) { std::erase_if(list, [&](const auto& hook) { return hook.first == number; }); };
    erase(before), erase(after), erase(backward);
  }

  [[nodiscard]] bool empty() const noexcept { return before.empty() && after.empty() && backward.empty(); }

  List<ForwardPreHook> before;
  List<ForwardHook> after;
  List<BackwardHook> backward;

 private:
  std::uint64_t last_ = 0;
};

}  // namespace tapestry::nn::detail
