#pragma once

#include <tapestry/autograd/memory/handle.h>

namespace tapestry::nn {
class Module;
}

namespace tapestry::nn::detail {

/// For the time of a scope, copying a module on this thread copies what it stands for, and not the handle: each module
/// within once, however many handles lead to it. See clone() and functional_call().
class CopyScope {
 public:
  CopyScope();
  ~CopyScope();
  CopyScope(const CopyScope&) = delete;
  CopyScope& operator=(const CopyScope&) = delete;

  [[nodiscard]] static bool is_active() noexcept;

  struct State;

 private:
  friend class nn::Module;
  Handle<State> state_;
};

}  // namespace tapestry::nn::detail
