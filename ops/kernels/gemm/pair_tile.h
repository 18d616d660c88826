#pragma once

#include <cstdint>

#include <tapestry/ops/kernels/simd/pair.h>

/// What the micro-kernels of all element types are called with. Plain data and nothing else: the file with intrinsics
/// that includes this is compiled for a newer processor than the rest, so no function may come from here.
namespace tapestry {
struct BFloat16;

namespace kernels {

/// In what the products of T are added up.
template <class T>
struct SumOf {
  using Type = T;
};
template <>
struct SumOf<Pair> {
  using Type = float;
};

/// One run of consecutive k: element offsets into A and B, and how many k.
struct Seg {
  std::int64_t a, b, length;
};

/// C[i, j] (=, or +=) bias[j] + sum over segments and k of A(i, k) B(k, j), for one register tile of
/// `rows` x `vectors` (both fixed by the function called).
///   A(i, k) = a[seg.a + i * a_row + k * a_k]        one of a_row, a_k is 1
///   B(k, j) = b[seg.b + k * b_k + j]                all vectors * lanes elements must be readable
///   C[i, j] = c[i * c_row + j]                      j < columns <= vectors * lanes is written, nothing beyond
/// Every element is one chain of multiply-adds in the order of k, then bias, then the addition to C. Elements are
/// numbers, or pairs of bfloat16 whose two products are both added to a float; C may then be float or bfloat16.
template <class T, class Out = T>
struct Tile {
  const Seg* segments;
  std::int64_t segment_count;
  const T* a;
  std::int64_t a_row, a_k;
  const T* b;
  std::int64_t b_k;
  const typename SumOf<T>::Type* bias;  ///< null: none; `columns` elements
  Out* c;
  std::int64_t c_row;
  std::int64_t columns;
  bool add;  ///< to C, instead of overwriting it; not for bfloat16, which would round twice
};

constexpr int kMaxVectors = 4, kMaxRows = 16;  // the largest tables of any instruction set

template <class T>
struct Microkernels;

/// What one instruction set offers for pairs of bfloat16. Everything but the tiles needs no arithmetic of its own: a
/// pair moves like a float.
template <>
struct Microkernels<Pair> {
  template <class Out>
  using RunTile = void (*)(const Tile<Pair, Out>&);

  std::int64_t lanes;                                           ///< pairs in a vector
  std::int64_t max_vectors;                                     ///< the widest tile
  std::int64_t max_rows[kMaxVectors + 1];                       ///< [vectors]: the tallest tile of that width
  RunTile<float> to_float[2][kMaxVectors + 1][kMaxRows + 1];    ///< [a_k != 1][vectors][rows]
  RunTile<BFloat16> to_bf16[2][kMaxVectors + 1][kMaxRows + 1];  ///< the same, rounded at the end
  void (*leave)();  ///< to be called after the last tile of a task, if not null
};

}  // namespace kernels
}  // namespace tapestry
