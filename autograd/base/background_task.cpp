#include <tapestry/autograd/base/background_task.h>

#include <future>
#include <utility>

namespace tapestry {

struct BackgroundTask::State {
  std::future<void> future;
};

BackgroundTask::BackgroundTask(Callable<void()> work)
    : state_(new State{std::async(std::launch::async, std::move(work))}) {}
BackgroundTask::BackgroundTask(BackgroundTask&& other) noexcept : state_(std::exchange(other.state_, nullptr)) {}
BackgroundTask& BackgroundTask::operator=(BackgroundTask&& other) noexcept {
  BackgroundTask old(std::move(*this));
  state_ = std::exchange(other.state_, nullptr);
  return *this;
}
BackgroundTask::~BackgroundTask() { delete state_; }

void BackgroundTask::wait() {
  if (state_ && state_->future.valid()) state_->future.get();
}

}  // namespace tapestry
