#pragma once

#include <algorithm>

#include <tapestry/ops/kernels/base/tasks.h>
#include <tapestry/ops/kernels/gemm/microkernel.h>

/// How the columns of a product are cut into panels, and how panels are filled from a transposed matrix. Private to
/// ops/kernels.
///
/// Results must not depend on the instruction set more than rounding of single operations does, nor on the number of
/// threads at all. So what changes the order of additions (blocks of k, batch segments) is cut by constants; what does
/// not (tile heights, panel widths) may follow the registers.
namespace tapestry::kernels {

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

/// Microkernels::transpose. Pairs move like floats.
template <class T>
void transpose(Index depth, Index columns, Index padded, const T* from, Index from_row, T* to, Index to_row) {
  microkernels<T>().transpose(depth, columns, padded, from, from_row, to, to_row);
}
inline void transpose(Index depth, Index columns, Index padded, const Pair* from, Index from_row, Pair* to,
                      Index to_row) {
  microkernels<float>().transpose(depth, columns, padded, reinterpret_cast<const float*>(from), from_row,
                                  reinterpret_cast<float*>(to), to_row);
}

}  // namespace tapestry::kernels
