#pragma once

#include <tapestry/ops/kernels/gemm/pair_tile.h>

/// Register tiles of pairs on a matrix unit with eight tiles of 16 rows by 64 bytes: Intel's AMX, or in tests an
/// emulator of it (`Unit`). One tile of A (16 rows by 16 pairs) meets up to four of B (16 pairs by 16 columns); what
/// the unit would do badly, k apart in A or a handful of pairs, goes to the best vector instructions instead.
///
/// Everything is in an unnamed namespace: the file that runs on AMX is sealed (see microkernel_avx512_bf16.cpp).
namespace tapestry::kernels {
namespace {

constexpr int kUnitLanes = 16;  ///< rows, pairs and columns of a tile
// The registers: sums are 0 ... 3.
constexpr int kTileA = 4, kTileB = 5, kRestA = 6, kRestB = 7;

/// How many pairs the whole tiles of a segment leave over: the same for all segments that leave any, or -1 if they
/// differ, or if it is too little work for the unit.
template <class Out>
int pairs_left(const Tile<Pair, Out>& tile) {
  constexpr int kFewest = 8;  // half a tile; below that a vector instruction is as good
  int left = 0;
  bool whole = false;
  for (std::int64_t s = 0; s < tile.segment_count; ++s) {
    const std::int64_t length = tile.segments[s].length;
    const int here = static_cast<int>(length % kUnitLanes);
    whole = whole || length >= kUnitLanes;
    if (here == 0) continue;
    if (left != 0 && here != left) return -1;
    left = here;
  }
  return whole || left >= kFewest ? left : -1;
}

/// sums += the loaded tile of A times one of B after the other.
template <class Unit, int kVectors, int kA, int kB, int kVector = 0>
void multiply(const Pair* b, std::int64_t row_bytes) {
  Unit::template load<kB>(b + kVector * kUnitLanes, row_bytes);
  Unit::template multiply<kVector, kA, kB>();
  if constexpr (kVector + 1 < kVectors) multiply<Unit, kVectors, kA, kB, kVector + 1>(b, row_bytes);
}

template <class Unit, int kVectors, int kVector = 0>
void clear_sums() {
  Unit::template clear<kVector>();
  if constexpr (kVector + 1 < kVectors) clear_sums<Unit, kVectors, kVector + 1>();
}

inline void put(float sum, float* c, std::int64_t i, bool add) { c[i] = add ? c[i] + sum : sum; }
inline void put(float sum, BFloat16* c, std::int64_t i, bool /*add*/) {
  // BFloat16(sum); that type's functions must not come here.
  using Half [[gnu::may_alias]] = unsigned short;
  using Word [[gnu::may_alias]] = unsigned;
  const unsigned word = *reinterpret_cast<const Word*>(&sum);
  const unsigned up = word + 0x7FFFU + ((word >> 16) & 1U);
  reinterpret_cast<Half*>(c)[i] =
      static_cast<unsigned short>(((word & 0x7FFFFFFFU) > 0x7F800000U ? word | 0x00400000U : up) >> 16);
}

/// Stores sums to C with bias.
template <class Unit, int kVectors, int kVector = 0, class Out>
void store_sums(int rows, const Tile<Pair, Out>& tile) {
  alignas(64) float sums[kUnitLanes * kUnitLanes];
  Unit::template store<kVector>(sums, kUnitLanes * static_cast<std::int64_t>(sizeof(float)));
  const std::int64_t columns = tile.columns - kVector * kUnitLanes;
  for (int i = 0; i < rows; ++i) {
    for (std::int64_t j = 0; j < (columns < kUnitLanes ? columns : kUnitLanes); ++j) {
      const float bias = tile.bias != nullptr ? tile.bias[kVector * kUnitLanes + j] : 0.0F;
      put(sums[i * kUnitLanes + j] + bias, tile.c, i * tile.c_row + kVector * kUnitLanes + j, tile.add);
    }
  }
  if constexpr (kVector + 1 < kVectors) store_sums<Unit, kVectors, kVector + 1>(rows, tile);
}

template <class Unit, int kVectors, class Out>
void run_on_unit(int rows, int left, const Tile<Pair, Out>& tile) {
  constexpr std::int64_t kBytes = sizeof(Pair);
  Unit::configure(rows, left == 0 ? kUnitLanes : left);
  clear_sums<Unit, kVectors>();
  for (std::int64_t s = 0; s < tile.segment_count; ++s) {
    const Seg& segment = tile.segments[s];
    const Pair* a = tile.a + segment.a;
    const Pair* b = tile.b + segment.b;
    std::int64_t k = segment.length;
    for (; k >= kUnitLanes; k -= kUnitLanes, a += kUnitLanes, b += kUnitLanes * tile.b_k) {
      Unit::template load<kTileA>(a, tile.a_row * kBytes);
      multiply<Unit, kVectors, kTileA, kTileB>(b, tile.b_k * kBytes);
    }
    if (k > 0) {
      Unit::template load<kRestA>(a, tile.a_row * kBytes);
      multiply<Unit, kVectors, kRestA, kRestB>(b, tile.b_k * kBytes);
    }
  }
  store_sums<Unit, kVectors>(rows, tile);
}

inline void run_one(const Microkernels<Pair>& kernels, int rows, int vectors, const Tile<Pair, float>& tile) {
  kernels.to_float[tile.a_k == 1 ? 0 : 1][vectors][rows](tile);
}
inline void run_one(const Microkernels<Pair>& kernels, int rows, int vectors, const Tile<Pair, BFloat16>& tile) {
  kernels.to_bf16[tile.a_k == 1 ? 0 : 1][vectors][rows](tile);
}
inline float* moved(float* c, std::int64_t n) { return c + n; }
inline BFloat16* moved(BFloat16* c, std::int64_t n) {
  return reinterpret_cast<BFloat16*>(reinterpret_cast<char*>(c) + 2 * n);
}

/// The same tile by vector instructions, whose own tiles are smaller.
template <class Out>
void run_on_vectors(const Microkernels<Pair>& kernels, int rows, int vectors, const Tile<Pair, Out>& tile) {
  const int widest = static_cast<int>(kernels.max_vectors);
  for (int v = 0; v < vectors; v += widest) {
    const int width = vectors - v < widest ? vectors - v : widest;
    const int tallest = static_cast<int>(kernels.max_rows[width]), pieces = (rows + tallest - 1) / tallest;
    Tile<Pair, Out> part = tile;
    part.b = tile.b + v * kUnitLanes;
    part.bias = tile.bias != nullptr ? tile.bias + v * kUnitLanes : nullptr;
    part.columns =
        tile.columns - v * kUnitLanes < width * kUnitLanes ? tile.columns - v * kUnitLanes : width * kUnitLanes;
    for (int p = 0; p < pieces; ++p) {
      const int begin = rows * p / pieces, end = rows * (p + 1) / pieces;
      part.a = tile.a + begin * tile.a_row;
      part.c = moved(tile.c, begin * tile.c_row + v * kUnitLanes);
      run_one(kernels, end - begin, width, part);
    }
  }
}

template <class Unit, int kVectors, int kRows, class Out>
void run_amx_tile(const Tile<Pair, Out>& tile) {
  const int left = tile.a_k == 1 ? pairs_left(tile) : -1;
  if (left < 0) run_on_vectors(Unit::vectors(), kRows, kVectors, tile);
  else run_on_unit<Unit, kVectors>(kRows, left, tile);
}

template <class Unit, int kVectors = 1, int kRows = 1>
constexpr void fill_amx_table(Microkernels<Pair>& table) {
  for (int i = 0; i < 2; ++i) {
    table.to_float[i][kVectors][kRows] = run_amx_tile<Unit, kVectors, kRows, float>;
    table.to_bf16[i][kVectors][kRows] = run_amx_tile<Unit, kVectors, kRows, BFloat16>;
  }
  if constexpr (kRows < kUnitLanes) fill_amx_table<Unit, kVectors, kRows + 1>(table);
  else if constexpr (kVectors < kMaxVectors) fill_amx_table<Unit, kVectors + 1, 1>(table);
}

template <class Unit>
constexpr Microkernels<Pair> make_amx_table() {
  Microkernels<Pair> table{};
  table.lanes = kUnitLanes;
  table.max_vectors = kMaxVectors;
  for (int v = 1; v <= kMaxVectors; ++v) table.max_rows[v] = kUnitLanes;
  table.leave = Unit::release;
  fill_amx_table<Unit>(table);
  return table;
}

}  // namespace
}  // namespace tapestry::kernels
