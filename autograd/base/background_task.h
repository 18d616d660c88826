#pragma once

#include <tapestry/autograd/base/callable.h>

namespace tapestry {

/// Work that goes on beside the caller, on a thread of its own; its parallel loops share the pool's threads.
class BackgroundTask {
 public:
  explicit BackgroundTask(Callable<void()> work);
  BackgroundTask(BackgroundTask&&) noexcept;
  BackgroundTask& operator=(BackgroundTask&&) noexcept;
  ~BackgroundTask();  ///< waits; an exception that nobody waited for is dropped

  void wait();  ///< returns when the work has ended; rethrows what it threw

 private:
  struct State;
  State* state_ = nullptr;
};

}  // namespace tapestry
