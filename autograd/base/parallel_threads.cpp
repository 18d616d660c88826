#include <algorithm>
#include <atomic>
#include <condition_variable>
#include <exception>
#include <mutex>
#include <thread>
#include <utility>
#include <vector>

#include <tapestry/autograd/base/detail/parallel_backend.h>

namespace tapestry {
namespace {

/// The plain backend: a pool of std::thread, one loop at a time. ThreadSanitizer understands all of it.
class Pool {
 public:
  static Pool& instance() {
    static Pool* const pool = new Pool;
    return *pool;
  }

  int threads() const { return threads_.load(std::memory_order_relaxed); }

  void resize(int threads) {
    const std::scoped_lock one_loop(loop_mutex_);
    stop_workers();
    start_workers(threads);
  }

  void run(Index count, detail::TaskRef task) {
    // A loop inside a loop, or beside another thread's loop, runs on its own thread: it never waits for the pool.
    std::unique_lock one_loop(loop_mutex_, std::try_to_lock);
    if (inside_ || !one_loop.owns_lock()) {
      for (Index i = 0; i < count; ++i) task(i);
      return;
    }
    {
      const std::scoped_lock lock(mutex_);
      task_ = &task;
      count_ = count;
      next_ = 0;
      busy_ = static_cast<int>(workers_.size());
      error_ = nullptr;
      ++generation_;
    }
    wake_.notify_all();
    work();
    std::unique_lock lock(mutex_);
    done_.wait(lock, [&] { return busy_ == 0; });
    task_ = nullptr;
    if (error_) std::rethrow_exception(std::exchange(error_, nullptr));
  }

 private:
  Pool() { start_workers(1 + detail::startable_threads(static_cast<int>(std::thread::hardware_concurrency()) - 1)); }

  /// As many as there are when the system refuses one.
  void start_workers(int threads) {
    stopping_ = false;
    threads_ = 1;
    for (; threads_ < threads; ++threads_) {
      workers_.emplace_back([this, seen = generation_]() mutable {
        for (;;) {
          {
            std::unique_lock lock(mutex_);
            wake_.wait(lock, [&] { return stopping_ || generation_ != seen; });
            if (stopping_) return;
            seen = generation_;
          }
          work();
          const std::scoped_lock lock(mutex_);
          if (--busy_ == 0) done_.notify_all();
        }
      });
    }
  }

  void stop_workers() {
    {
      const std::scoped_lock lock(mutex_);
      stopping_ = true;
    }
    wake_.notify_all();
    for (std::thread& worker : workers_) worker.join();
    workers_.clear();
  }

  void work() {
    inside_ = true;
    try {
      for (Index i; (i = next_.fetch_add(1)) < count_;) (*task_)(i);
    } catch (...) {
      next_ = count_;
      const std::scoped_lock lock(mutex_);
      if (!error_) error_ = std::current_exception();
    }
    inside_ = false;
  }

  static thread_local bool inside_;
  std::atomic<int> threads_ = 1;
  std::vector<std::thread> workers_;
  std::mutex loop_mutex_, mutex_;
  std::condition_variable wake_, done_;
  const detail::TaskRef* task_ = nullptr;
  Index count_ = 0;
  std::atomic<Index> next_ = 0;
  int busy_ = 0;
  std::uint64_t generation_ = 0;
  bool stopping_ = false;
  std::exception_ptr error_;
};

thread_local bool Pool::inside_ = false;

}  // namespace

int detail::backend_threads() noexcept { return Pool::instance().threads(); }
void detail::resize_backend(int threads) { Pool::instance().resize(threads); }
void detail::run_in_backend(Index count, TaskRef task) { Pool::instance().run(count, task); }

}  // namespace tapestry
