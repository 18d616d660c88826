#pragma once

#include <array>

#include <tapestry/autograd/base/parallel.h>

namespace tapestry::kernels {

/// How two operands are walked to fill a row-major output: rows of `length` elements, each at some offset of a, of b
/// and of the output. Neighbouring dimensions that move together are merged, so equal shapes are one row.
struct Broadcast {
  static constexpr Index kMax = 6;

  Index length = 1;  ///< elements of a row
  Index rows = 1;
  Index a_step = 1, b_step = 1;                           ///< within a row: 1, or 0 for an operand of extent 1 there
  Index outer = 0;                                        ///< dimensions that make up the rows, slowest first
  std::array<Index, kMax> extents, a_strides, b_strides;  // of `outer` dimensions

  /// One row of n elements.
  Broadcast(Index n, Index step_a, Index step_b) : length(n), a_step(step_a), b_step(step_b) {}

  /// Plans for operands whose extents, aligned at the last dimension, are those of `out` or 1.
  Broadcast(const Index* out, Index rank, const Index* a, Index a_rank, const Index* b, Index b_rank) {
    std::array<Index, kMax> e{}, sa{}, sb{};
    Index n = 0;
    Index stride_a = 1, stride_b = 1;
    for (Index d = rank - 1; d >= 0; --d) {  // fastest first
      const Index da = d - (rank - a_rank), db = d - (rank - b_rank);
      const Index ea = da >= 0 ? a[da] : 1, eb = db >= 0 ? b[db] : 1;
      if (out[d] != 1) {
        const Index step_a = ea == 1 ? 0 : stride_a, step_b = eb == 1 ? 0 : stride_b;
        const auto last = static_cast<std::size_t>(n - 1);
        if (n > 0 && step_a == sa[last] * e[last] && step_b == sb[last] * e[last]) {
          e[last] *= out[d];
        } else {
          const auto at = static_cast<std::size_t>(n++);
          e[at] = out[d];
          sa[at] = step_a;
          sb[at] = step_b;
        }
      }
      stride_a *= ea;
      stride_b *= eb;
    }
    if (n == 0) return;
    length = e[0];
    a_step = sa[0];
    b_step = sb[0];
    outer = n - 1;
    for (Index i = 0; i < outer; ++i) {
      const auto from = static_cast<std::size_t>(n - 1 - i), to = static_cast<std::size_t>(i);
      extents[to] = e[from];
      a_strides[to] = sa[from];
      b_strides[to] = sb[from];
      rows *= e[from];
    }
  }

  /// f(a offset, b offset, output offset) for rows [begin, end).
  template <class F>
  void for_rows(Index begin, Index end, const F& f) const {
    std::array<Index, kMax> at{};
    Index rest = begin, a = 0, b = 0;
    for (Index d = outer - 1; d >= 0; --d) {
      const auto i = static_cast<std::size_t>(d);
      at[i] = rest % extents[i];
      rest /= extents[i];
      a += at[i] * a_strides[i];
      b += at[i] * b_strides[i];
    }
    for (Index row = begin; row < end; ++row) {
      f(a, b, row * length);
      for (Index d = outer - 1; d >= 0; --d) {
        const auto i = static_cast<std::size_t>(d);
        a += a_strides[i];
        b += b_strides[i];
        if (++at[i] < extents[i]) break;
        a -= at[i] * a_strides[i];
        b -= at[i] * b_strides[i];
        at[i] = 0;
      }
    }
  }
};

}  // namespace tapestry::kernels
