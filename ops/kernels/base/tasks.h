#pragma once

#include <algorithm>

#include <tapestry/autograd/base/parallel.h>
#include <tapestry/ops/kernels/base/tuning.h>

/// How extents are cut into parts and tasks. Private to ops/kernels.
namespace tapestry::kernels {

constexpr Index ceil_div(Index a, Index b) { return (a + b - 1) / b; }

struct Range {
  Index begin, end;
  [[nodiscard]] constexpr Index size() const { return end - begin; }
};

/// Part i of [0, n) cut into `parts` nearly equal ranges: 20 rows in 4 parts are 5 + 5 + 5 + 5, not 6 + 6 + 6 + 2.
constexpr Range part(Index n, Index parts, Index i) { return {n * i / parts, n * (i + 1) / parts}; }

/// Runs task(0) ... task(count - 1) in parallel; a single one without waking anybody.
template <class F>
void for_each_task(Index count, const F& task) {
  if (count == 1) {
    task(Index{0});
  } else if (count > 1) {
    tapestry::detail::run_tasks(count, tapestry::detail::TaskRef(task));
  }
}

/// How many tasks to cut `work` multiply-adds into: about `wanted`, but none so small that handing it to a thread costs
/// more than it saves.
constexpr Index task_count(double work, Index wanted) {
  return std::clamp(static_cast<Index>(work / tuning::kSmallestTask), Index{1}, std::max(wanted, Index{1}));
}

}  // namespace tapestry::kernels
