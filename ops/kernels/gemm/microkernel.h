#pragma once

#include <cstdint>

#include <tapestry/autograd/base/parallel.h>
#include <tapestry/ops/kernels/gemm/pair_tile.h>
#include <tapestry/ops/kernels/simd/flush_denormals.h>

/// The innermost loops of matmul and convolution: register tiles, panel packing and the channelwise (depthwise)
/// products. Written once with Highway (microkernel-inl.h), compiled per instruction set, reached through a table of
/// pointers. Private to ops/kernels.
namespace tapestry::kernels {

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
  /// c[i * c_row + j] = bias[j] (or 0) + sum over l < k of a[i * k + l] b[j * k + l] for i < rows, j < columns.
  void (*dot_products)(Index rows, Index columns, Index k, const T* a, const T* b, const T* bias, T* c, Index c_row);
  /// sum[i] += x[i].
  void (*accumulate)(Index n, const T* x, T* sum);
};

/// Runs the tile of this size.
template <class T>
void run_tile(const Microkernels<T>& kernels, Index rows, Index vectors, const Tile<T>& tile) {
  kernels.tiles[tile.a_k == 1 ? 0 : 1][vectors][rows](tile);
}
inline void run_tile(const Microkernels<Pair>& kernels, Index rows, Index vectors, const Tile<Pair, float>& tile) {
  kernels.to_float[tile.a_k == 1 ? 0 : 1][vectors][rows](tile);
}
inline void run_tile(const Microkernels<Pair>& kernels, Index rows, Index vectors, const Tile<Pair, BFloat16>& tile) {
  kernels.to_bf16[tile.a_k == 1 ? 0 : 1][vectors][rows](tile);
}

/// Around the tiles of a task: what they need the thread to be in, and to be out of afterwards. Subnormal numbers count
/// as zero, and a matrix unit is given back.
template <class T>
class TileTask {
 public:
  explicit TileTask(const Microkernels<T>& /*kernels*/) noexcept {}

 private:
  FlushDenormals mode_;
};
template <>
class TileTask<Pair> {
 public:
  explicit TileTask(const Microkernels<Pair>& kernels) noexcept : leave_(kernels.leave) {}
  TileTask(const TileTask&) = delete;
  TileTask& operator=(const TileTask&) = delete;
  ~TileTask() {
    if (leave_ != nullptr) leave_();
  }

 private:
  void (*leave_)();
  FlushDenormals mode_;
};

/// The table of the best instruction set of this CPU (or of the best one that Highway was told to use).
template <class T>
[[nodiscard]] const Microkernels<T>& microkernels();

template <>
const Microkernels<float>& microkernels<float>();
template <>
const Microkernels<double>& microkernels<double>();
/// AMX if that is the instruction set, VDPBF16PS where has_bf16_products(), else multiply-adds of both halves.
template <>
const Microkernels<Pair>& microkernels<Pair>();

/// Whether products of pairs run on VDPBF16PS or AMX: the CPU has it, and the instruction set in use may.
[[nodiscard]] bool has_bf16_products();

}  // namespace tapestry::kernels
