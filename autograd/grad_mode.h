#pragma once

#include <utility>

#include <tapestry/autograd/base/thread_modes.h>

namespace tapestry {

/// Whether ops called on this thread are recorded. A new thread records; a task of parallel_for does what its caller
/// does.
[[nodiscard]] inline bool is_grad_enabled() noexcept { return detail::thread_modes.grad_enabled; }

/// Switches recording off, or on, for the time of a scope on this thread and in the parallel loops that it calls.
class GradModeGuard {
 public:
  explicit GradModeGuard(bool enabled) noexcept : outer_(std::exchange(detail::thread_modes.grad_enabled, enabled)) {}
  ~GradModeGuard() { detail::thread_modes.grad_enabled = outer_; }
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

/// Whether ops called on this thread may keep what they make of weights.
[[nodiscard]] inline bool is_inference_mode() noexcept { return detail::thread_modes.inference_mode; }

/// For a trained model: nothing is recorded on this thread for the time of a scope, and convolutions keep their weights
/// in the order in which they read them, twice the memory, until the weights change; making that order takes as long as
/// the convolution of one image. A change is noticed by the call of mutable_data that it needs: whoever writes through
/// a pointer from an earlier call would not be heard, so that NoGradGuard alone keeps nothing.
class InferenceMode : public NoGradGuard {
 public:
  InferenceMode() noexcept : outer_(std::exchange(detail::thread_modes.inference_mode, true)) {}
  ~InferenceMode() { detail::thread_modes.inference_mode = outer_; }
  InferenceMode(const InferenceMode&) = delete;
  InferenceMode& operator=(const InferenceMode&) = delete;

 private:
  bool outer_;
};

/// f(), unrecorded.
template <class F>
decltype(auto) no_grad(F&& f) {
  const NoGradGuard guard;
  return std::forward<F>(f)();
}

}  // namespace tapestry
