#pragma once

#include <tapestry/ops/kernels/gemm/microkernel.h>

#include <algorithm>

/// How extents are cut into tiles, panels and tasks. Private to ops/kernels.
///
/// Results must not depend on the instruction set more than rounding of single operations does, nor on the number of
/// threads at all. So what changes the order of additions (blocks of k, batch segments) is cut by constants; what does
/// not (tile heights, panel widths) may follow the registers.
namespace tapestry::kernels {

constexpr Index ceil_div(Index a, Index b) { return (a + b - 1) / b; }

struct Range {
  Index begin, end;
  [[nodiscard]] constexpr Index size() const { return end - begin; }
};

/// Part i of [0, n) cut into `parts` nearly equal ranges: 20 rows in 4 parts are 5 + 5 + 5 + 5, not 6 + 6 + 6 + 2.
constexpr Range part(Index n, Index parts, Index i) { return {n * i / parts, n * (i + 1) / parts}; }

/// The columns of a product cut into panels of whole vectors, as wide as the register tile or nearly so. Packed, panel
/// p of depth k lies at offset(p, k) as [k][width], columns beyond the last one being zero.
class Panels {
 public:
  struct Panel {
    Index column;   ///< the first
    Index columns;  ///< real ones
    Index vectors;
    Index width;  ///< vectors * lanes
  };

  template <class T>
  Panels(const Microkernels<T>& kernels, Index columns)
      : columns_(columns),
        lanes_(kernels.lanes),
        vectors_(ceil_div(columns, lanes_)),
        count_(ceil_div(vectors_, kernels.max_vectors)),
        tile_rows_(count_ > 0 ? kernels.max_rows[ceil_div(vectors_, count_)] : 1) {}

  [[nodiscard]] Index count() const { return count_; }
  [[nodiscard]] Index padded_columns() const { return vectors_ * lanes_; }
  /// The tallest tile that every panel can have.
  [[nodiscard]] Index tile_rows() const { return tile_rows_; }

  [[nodiscard]] Panel operator[](Index p) const {
    const Range v = part(vectors_, count_, p);
    return {v.begin * lanes_, std::min(v.end * lanes_, columns_) - v.begin * lanes_, v.size(), v.size() * lanes_};
  }
  [[nodiscard]] Index offset(Index p, Index depth) const { return part(vectors_, count_, p).begin * lanes_ * depth; }

 private:
  Index columns_, lanes_, vectors_, count_, tile_rows_;
};

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
  constexpr double kSmallest = 2e6;  // multiply-adds: some 20 us of one core; waking another one costs 2 to 20 us
  return std::clamp(static_cast<Index>(work / kSmallest), Index{1}, std::max(wanted, Index{1}));
}

}  // namespace tapestry::kernels
