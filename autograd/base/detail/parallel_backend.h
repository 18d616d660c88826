#pragma once

#include <tapestry/autograd/base/parallel.h>

/// What stands behind parallel.h: one of parallel_tbb.cpp and parallel_threads.cpp, as TAPESTRY_PARALLEL says, defines
/// these and run_tasks().
namespace tapestry::detail {

[[nodiscard]] int backend_threads() noexcept;
void resize_backend(int threads);

}  // namespace tapestry::detail
