#include <tapestry/autograd/base/parallel.h>

#include <algorithm>
#include <atomic>
#include <condition_variable>
#include <mutex>
#include <new>
#include <stdexcept>
#include <string>
#include <system_error>
#include <thread>
#include <utility>
#include <vector>

#include <tapestry/autograd/base/call_site.h>
#include <tapestry/autograd/base/check.h>
#include <tapestry/autograd/base/detail/parallel_backend.h>
#include <tapestry/autograd/base/fork.h>
#include <tapestry/autograd/base/thread_modes.h>

namespace tapestry {
namespace {

constexpr int kMostThreads = 1024;

std::atomic<bool> has_pool{false};       // threads may be running
std::atomic<bool> lost_its_pool{false};  // this process was made by fork(2) of one that had

const bool tidies_up = (detail::after_fork_in_child([]() noexcept { lost_its_pool = has_pool.load(); }), true);

/// This thread in the modes of another for the time of a task.
class InModesOf {
 public:
  InModesOf(const detail::ThreadModes& modes, const Location& location, const Here& outer_site) noexcept
      : modes_(std::exchange(detail::thread_modes, modes)),
        location_(std::exchange(detail::call_state.location, location)),
        outer_site_(std::exchange(detail::outer_site, outer_site)) {
    detail::thread_modes.keeper = nullptr;  // it counts calls, which tasks make in any order
  }
  InModesOf(const InModesOf&) = delete;
  InModesOf& operator=(const InModesOf&) = delete;
  ~InModesOf() {
    detail::thread_modes = modes_;
    detail::call_state.location = location_;
    detail::outer_site = outer_site_;
  }

 private:
  detail::ThreadModes modes_;
  Location location_;
  Here outer_site_;
};

}  // namespace

int num_threads() noexcept {
  if (lost_its_pool.load(std::memory_order_relaxed)) return 1;
  if (!has_pool.load(std::memory_order_relaxed)) has_pool.store(true, std::memory_order_relaxed);
  return detail::backend_threads();
}

void set_num_threads(int threads, Here here) {
  const CallSite site(here);
  if (threads < 1 || threads > kMostThreads) {
    throw_invalid("set_num_threads: the number of threads must be in [1, {}]; got {}", kMostThreads, threads);
  }
  const int now = num_threads();
  if (threads == now) return;
  if (lost_its_pool) {
    throw std::runtime_error("set_num_threads: a process made by fork must have 1 thread, or execute a program; got " +
                             std::to_string(threads) + place_lines());
  }
  if (threads > now) {
    if (const int started = 1 + detail::startable_threads(threads - 1); started < threads) {
      throw std::runtime_error("set_num_threads: the system must start as many threads; it started " +
                               std::to_string(started) + " of " + std::to_string(threads) + place_lines());
    }
  }
  detail::resize_backend(threads);
}

int detail::startable_threads(int wanted) noexcept {
  struct {
    std::mutex mutex;
    std::condition_variable changed;
    bool all = false;
  } started;
  std::vector<std::thread> threads;
  try {
    threads.reserve(static_cast<std::size_t>(std::max(0, wanted)));
    for (int i = 0; i < wanted; ++i) {
      threads.emplace_back([&started] {
        std::unique_lock lock(started.mutex);
        started.changed.wait(lock, [&] { return started.all; });
      });
    }
  } catch (const std::system_error&) {
  } catch (const std::bad_alloc&) {
  }
  {
    const std::scoped_lock lock(started.mutex);
    started.all = true;
  }
  started.changed.notify_all();
  for (std::thread& thread : threads) thread.join();
  return static_cast<int>(threads.size());
}

void detail::run_tasks(Index count, TaskRef task) {
  if (num_threads() == 1) {
    for (Index i = 0; i < count; ++i) task(i);
    return;
  }
  const ThreadModes modes = thread_modes;
  const Location location = call_state.location;
  const Here site = outer_site;
  const auto in_the_same_modes = [&](Index i) {
    const InModesOf caller(modes, location, site);
    task(i);
  };
  run_in_backend(count, TaskRef(in_the_same_modes));
}

}  // namespace tapestry
