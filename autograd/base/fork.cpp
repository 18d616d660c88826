#include <tapestry/autograd/base/fork.h>

#include <pthread.h>

#include <algorithm>
#include <mutex>
#include <vector>

namespace tapestry {
namespace {

struct Held {
  void* mutex;
  void (*lock)(void*);
  void (*unlock)(void*);
};

struct AtFork {
  std::mutex mutex;  // guards the lists
  std::vector<Held> held;
  std::vector<void (*)() noexcept> in_child;

  AtFork() { pthread_atfork(&prepare, &parent, &child); }

  static AtFork& instance() {
    static AtFork* const at_fork = new AtFork;
    return *at_fork;
  }

  void release() noexcept {
    std::for_each(held.rbegin(), held.rend(), [](const Held& h) { h.unlock(h.mutex); });
    mutex.unlock();
  }

  static void prepare() noexcept {
    AtFork& all = instance();
    all.mutex.lock();
    for (const Held& h : all.held) h.lock(h.mutex);
  }
  static void parent() noexcept { instance().release(); }
  static void child() noexcept {
    for (const auto tidy_up : instance().in_child) tidy_up();
    instance().release();
  }
};

}  // namespace

void detail::hold_during_fork(void* mutex, void (*lock)(void*), void (*unlock)(void*)) {
  AtFork& all = AtFork::instance();
  const std::scoped_lock guard(all.mutex);
  all.held.push_back({mutex, lock, unlock});
}

void detail::after_fork_in_child(void (*tidy_up)() noexcept) {
  AtFork& all = AtFork::instance();
  const std::scoped_lock guard(all.mutex);
  all.in_child.push_back(tidy_up);
}

}  // namespace tapestry
