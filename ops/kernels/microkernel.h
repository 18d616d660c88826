#pragma once

#include <tapestry/autograd/parallel.h>

#include <cstdint>

/// The innermost loops of matmul and convolution: register tiles, panel packing and the channelwise (depthwise)
/// products. Written once with Highway (microkernel-inl.h), compiled per instruction set, reached through a table of
/// pointers. Private to ops/kernels.
namespace tapestry::kernels {

/// One run of consecutive k: element offsets into A and B, and how many k.
struct Seg {
  Index a, b, length;
};

/// C[i, j] (=, or +=) bias[j] + sum over segments and k of A(i, k) B(k, j), for one register tile of
/// `rows` x `vectors` (both fixed by the function called).
///   A(i, k) = a[seg.a + i * a_row + k * a_k]        one of a_row, a_k is 1
///   B(k, j) = b[seg.b + k * b_k + j]                all vectors * lanes elements must be readable
///   C[i, j] = c[i * c_row + j]                      j < columns <= vectors * lanes is written, nothing beyond
/// Every element is one chain of multiply-adds in the order of k, then bias, then the addition to C.
template <class T>
struct Tile {
  const Seg* segments;
  Index segment_count;
  const T* a;
  Index a_row, a_k;
  const T* b;
  Index b_k;
  const T* bias;  ///< null: none; `columns` elements
  T* c;
  Index c_row;
  Index columns;
  bool add;  ///< to C, instead of overwriting it
};

constexpr Index kMaxVectors = 4, kMaxRows = 16;  // the largest tables of any instruction set

/// What one instruction set offers.
template <class T>
struct Microkernels {
  using RunTile = void (*)(const Tile<T>&);

  std::int64_t target;                              ///< Highway's number of the instruction set
  Index lanes;                                      ///< elements of a vector
  Index max_vectors;                                ///< the widest tile
  Index max_rows[kMaxVectors + 1];                  ///< [vectors]: the tallest tile of that width
  RunTile tiles[2][kMaxVectors + 1][kMaxRows + 1];  ///< [a_k != 1][vectors][rows]

  /// to[k * to_row + j] = from[j * from_row + k] for k < depth, j < columns; zero for columns <= j < padded.
  void (*transpose)(Index depth, Index columns, Index padded, const T* from, Index from_row, T* to, Index to_row);
  /// y[c] = bias[c] (or 0) + sum over t < taps of x[offsets[t] + c] * w[weight_rows[t] * channels + c].
  void (*channelwise)(Index channels, Index taps, const Index* offsets, const Index* weight_rows, const T* x,
                      const T* w, const T* bias, T* y);
  /// sum[c] += sum over p < pixels of x[p * x_step + c] * dy[p * dy_step + c].
  void (*channelwise_products)(Index channels, Index pixels, const T* x, Index x_step, const T* dy, Index dy_step,
                               T* sum);
  /// sum[i] += x[i].
  void (*accumulate)(Index n, const T* x, T* sum);

  void run(Index rows, Index vectors, const Tile<T>& tile) const { tiles[tile.a_k == 1 ? 0 : 1][vectors][rows](tile); }
};

/// The table of the best instruction set of this CPU (or of the best one that Highway was told to use).
template <class T>
[[nodiscard]] const Microkernels<T>& microkernels();

template <>
const Microkernels<float>& microkernels<float>();
template <>
const Microkernels<double>& microkernels<double>();

}  // namespace tapestry::kernels
