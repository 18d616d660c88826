#pragma once

#include <tapestry/autograd/base/parallel.h>

namespace tapestry::detail {

// What stands behind parallel.h: one of parallel_tbb.cpp and parallel_threads.cpp, as TAPESTRY_PARALLEL says, defines
// these. The pool is made by the first call and never destroyed: exit() in a forked child would wait for threads that
// are its parent's.

[[nodiscard]] int backend_threads() noexcept;
void resize_backend(int threads);
void run_in_backend(Index count, TaskRef task);

/// How many of `wanted` threads the system starts beside those there are; they end at once. The backends start theirs
/// when work comes, and one that cannot be started then ends the program: TBB has no way to say so.
[[nodiscard]] int startable_threads(int wanted) noexcept;

}  // namespace tapestry::detail
