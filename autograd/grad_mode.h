#pragma once

#include <utility>

namespace tapestry {

namespace detail {
inline constinit thread_local bool grad_enabled = true;
}

/// Whether ops called on this thread are recorded. A new thread records.
[[nodiscard]] inline bool is_grad_enabled() noexcept { return detail::grad_enabled; }

/// Switches recording off, or on, for the time of a scope on this thread.
class GradModeGuard {
 public:
  explicit GradModeGuard(bool enabled) noexcept : outer_(std::exchange(detail::grad_enabled, enabled)) {}
  ~GradModeGuard() { detail::grad_enabled = outer_; }
  GradModeGuard(const GradModeGuard&) = delete;
  GradModeGuard& operator=(const GradModeGuard&) = delete;

 private:
  bool outer_;
};

class NoGradGuard : public GradModeGuard {
 public:
  NoGradGuard() noexcept : GradModeGuard(false) {}
};

class EnableGradGuard : public GradModeGuard {
 public:
  EnableGradGuard() noexcept : GradModeGuard(true) {}
};

/// f(), unrecorded.
template <class F>
decltype(auto) no_grad(F&& f) {
  const NoGradGuard guard;
  return std::forward<F>(f)();
}

}  // namespace tapestry
