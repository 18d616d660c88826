#pragma once

#include <cstdint>
#include <type_traits>
#include <utility>
#include <vector>

#include <tapestry/autograd/base/call_site.h>

/// Loops that run on all cores and give the same bits on any number of them.
///
/// A loop is cut into chunks whose number and borders depend on its length and grain alone, never on how many threads
/// there are; results of chunks are combined in index order. Which thread runs a chunk is left to the scheduler, in
/// which modes is not: those of the thread that called the loop (grad and inference mode, autocast, precision, module).
/// Behind this header stands oneTBB, or std::thread when configured with TAPESTRY_PARALLEL=threads.
namespace tapestry {

using Index = std::int64_t;

/// Threads that parallel loops use from now on, the calling thread included. Starts as the CPUs this process may use,
/// or as many threads as the system starts. A process made by fork(2) has one: the others are its parent's.
[[nodiscard]] int num_threads() noexcept;

/// Sets it. Throws std::invalid_argument unless 1 <= threads <= 1024, and std::runtime_error when the system does not
/// start as many (limits of addresses or processes), or in a process made by fork(2) for more than one: a program that
/// it executes may have all. Either way the number stays what it was.
void set_num_threads(int threads, Here here = {});

namespace detail {

/// A borrowed callable `void(Index)`: two pointers, no allocation. Lives only as long as what it points to.
class TaskRef {
 public:
  template <class F>
  explicit TaskRef(const F& f) noexcept
      : object_(&f), call_([](const void* object, Index i) { (*static_cast<const F*>(object))(i); }) {}
  void operator()(Index i) const { call_(object_, i); }

 private:
  const void* object_;
  void (*call_)(const void*, Index);
};

/// Runs task(0) ... task(count - 1), in any order, on any thread; returns when all have ended. The first exception
/// reaches the caller; tasks not yet begun are then skipped.
void run_tasks(Index count, TaskRef task);

}  // namespace detail

/// Calls f(begin, end) for consecutive chunks of `grain` elements that cover [0, n). A single chunk runs inline.
/// f must treat every element independently of where chunks begin.
template <class F>
void parallel_for(Index n, Index grain, const F& f) {
  if (n <= 0) return;
  if (n <= grain) {
    f(Index{0}, n);
    return;
  }
  const auto chunk = [&](Index i) {
    const Index begin = i * grain;
    f(begin, begin + grain < n ? begin + grain : n);
  };
  detail::run_tasks((n + grain - 1) / grain, detail::TaskRef(chunk));
}

/// combine(...combine(combine(identity, chunk 0), chunk 1)..., last chunk), where chunk i is f(begin, end) over the
/// same chunks as parallel_for: the order of additions never depends on the number of threads.
template <class T, class F, class Combine>
T parallel_reduce(Index n, Index grain, T identity, const F& f, const Combine& combine) {
  if (n <= 0) return identity;
  if (n <= grain) return combine(std::move(identity), f(Index{0}, n));
  std::vector<T> parts(static_cast<std::size_t>((n + grain - 1) / grain), identity);
  parallel_for(n, grain,
               [&](Index begin, Index end) { parts[static_cast<std::size_t>(begin / grain)] = f(begin, end); });
  for (T& part : parts) identity = combine(std::move(identity), std::move(part));
  return identity;
}

}  // namespace tapestry
