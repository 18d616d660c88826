#include <tbb/global_control.h>
#include <tbb/info.h>
#include <tbb/parallel_for.h>
#include <tbb/partitioner.h>
#include <tbb/task_arena.h>

#include <atomic>
#include <memory>
#include <mutex>

#include <tapestry/autograd/base/detail/parallel_backend.h>

namespace tapestry {
namespace {

/// One long-lived TBB arena. Asking for more threads than CPUs is allowed: tests use it to stir the schedule.
class Pool {
 public:
  static Pool& instance() {
    static Pool* const pool = new Pool;
    return *pool;
  }

  int threads() const { return threads_.load(std::memory_order_relaxed); }

  void resize(int threads) {
    const std::scoped_lock lock(mutex_);
    limit_ = std::make_unique<tbb::global_control>(tbb::global_control::max_allowed_parallelism,
                                                   static_cast<std::size_t>(threads));
    arena_ = std::make_shared<tbb::task_arena>(threads);
    threads_ = threads;
  }

  void run(Index count, detail::TaskRef task) {
    arena()->execute([&] {  // a loop inside a task joins the arena it is already in
      // isolate: while this thread waits for the loop's last chunk it must not pick up a stranger's long task
      tbb::this_task_arena::isolate([&] {
        tbb::parallel_for(
            Index{0}, count, Index{1}, [&](Index i) { task(i); }, tbb::simple_partitioner{});
      });
    });
  }

 private:
  Pool() { resize(1 + detail::startable_threads(tbb::info::default_concurrency() - 1)); }

  std::shared_ptr<tbb::task_arena> arena() {
    const std::scoped_lock lock(mutex_);
    return arena_;
  }

  std::mutex mutex_;
  std::unique_ptr<tbb::global_control> limit_;
  std::shared_ptr<tbb::task_arena> arena_;
  std::atomic<int> threads_ = 1;
};

}  // namespace

int detail::backend_threads() noexcept { return Pool::instance().threads(); }
void detail::resize_backend(int threads) { Pool::instance().resize(threads); }
void detail::run_in_backend(Index count, TaskRef task) { Pool::instance().run(count, task); }

}  // namespace tapestry
