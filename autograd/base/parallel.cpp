#include <tapestry/autograd/base/parallel.h>

#include <future>
#include <memory>
#include <stdexcept>
#include <string>

#include <tapestry/autograd/base/detail/parallel_backend.h>

namespace tapestry {

int num_threads() noexcept { return detail::backend_threads(); }

void set_num_threads(int threads) {
  if (threads < 1 || threads > 1024) {
    throw std::invalid_argument("set_num_threads: the number of threads must be in [1, 1024]; got " +
                                std::to_string(threads));
  }
  if (threads != num_threads()) detail::resize_backend(threads);
}

struct BackgroundTask::State {
  std::future<void> future;
};

BackgroundTask::BackgroundTask(std::function<void()> work)
    : state_(std::make_unique<State>(State{std::async(std::launch::async, std::move(work))})) {}
BackgroundTask::BackgroundTask(BackgroundTask&&) noexcept = default;
BackgroundTask& BackgroundTask::operator=(BackgroundTask&&) noexcept = default;
BackgroundTask::~BackgroundTask() = default;

void BackgroundTask::wait() {
  if (state_ && state_->future.valid()) state_->future.get();
}

}  // namespace tapestry
