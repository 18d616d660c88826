#pragma once

namespace tapestry::examples {

/// While one lives, Ctrl-C (SIGINT) and SIGTERM no longer end the program but are noted; the second one does end it.
class InterruptGuard {
 public:
  InterruptGuard();
  ~InterruptGuard();
  InterruptGuard(const InterruptGuard&) = delete;
  InterruptGuard& operator=(const InterruptGuard&) = delete;

  /// The signal that came, or 0. A program that stops because of it ends with status 128 + signal.
  [[nodiscard]] int signal() const noexcept;
};

}  // namespace tapestry::examples
