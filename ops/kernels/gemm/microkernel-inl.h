// Highway code for one instruction set and the element type TAPESTRY_KERNEL_TYPE; included once per target by
// microkernel_f32.cpp and microkernel_f64.cpp through foreach_target. Hence a guard that toggles instead of #pragma
// once. Long for a file of ours: all its loops are cut by the same registers, and whoever changes one counts for all.

#include <array>
#include <cstddef>
#include <utility>

#include <hwy/highway.h>

#include <tapestry/ops/kernels/base/tuning.h>
#include <tapestry/ops/kernels/gemm/microkernel.h>

HWY_BEFORE_NAMESPACE();
namespace tapestry::kernels::HWY_NAMESPACE {
namespace {

namespace hn = hwy::HWY_NAMESPACE;

using T = TAPESTRY_KERNEL_TYPE;
using D = hn::ScalableTag<T>;
using V = hn::Vec<D>;

constexpr Index kLanes = static_cast<Index>(HWY_LANES(T));

// Tile sizes by register count: accumulators, one row of B and one broadcast of A have to fit.
//   32 registers: 6x4 = 24 + 4, 8x3 = 24 + 3, 14x2 = 28 + 2, 16x1 = 16 + 1
//   16 registers: 6x2 = 12 + 2, 12x1 = 12 + 1
//   no vectors (or emulated ones): small tiles, that the compiler may keep in 16 registers
#if HWY_TARGET == HWY_AVX3
constexpr Index kVectors = 4;
constexpr std::array<Index, kMaxVectors + 1> kRows = {0, 16, 14, 8, 6};
#elif HWY_TARGET == HWY_AVX2
constexpr Index kVectors = 2;
constexpr std::array<Index, kMaxVectors + 1> kRows = {0, 12, 6, 0, 0};
#else
constexpr Index kVectors = 2;
constexpr std::array<Index, kMaxVectors + 1> kRows = {0, 8, 4, 0, 0};
#endif

// AVX2 and AVX-512 have masked loads and stores that do not touch memory outside the mask. Other targets have them only
// as load, blend, store; there partial vectors go through a buffer.
#if HWY_TARGET == HWY_AVX2 || HWY_TARGET == HWY_AVX3
HWY_INLINE V load_first(Index n, const T* from) {
  const D d;
  return hn::MaskedLoad(hn::FirstN(d, static_cast<std::size_t>(n)), d, from);
}
HWY_INLINE void store_first(Index n, V v, T* to) {
  const D d;
  hn::BlendedStore(v, hn::FirstN(d, static_cast<std::size_t>(n)), d, to);
}
#else
HWY_INLINE V load_first(Index n, const T* from) {
  HWY_ALIGN T buffer[kLanes] = {};
  for (Index i = 0; i < n; ++i) buffer[i] = from[i];
  return hn::Load(D(), buffer);
}
HWY_INLINE void store_first(Index n, V v, T* to) {
  HWY_ALIGN T buffer[kLanes];
  hn::Store(v, D(), buffer);
  for (Index i = 0; i < n; ++i) to[i] = buffer[i];
}
#endif

/// Adds bias and C as asked and stores vector v of a row, whole or its first `columns` elements.
HWY_INLINE void store_vector(const Tile<T>& tile, V sum, Index column, T* to) {
  const D d;
  const Index left = tile.columns - column;
  if (left >= kLanes) {
    if (tile.bias != nullptr) sum = hn::Add(sum, hn::LoadU(d, tile.bias + column));
    if (tile.add) sum = hn::Add(hn::LoadU(d, to + column), sum);
    hn::StoreU(sum, d, to + column);
  } else if (left > 0) {
    if (tile.bias != nullptr) sum = hn::Add(sum, load_first(left, tile.bias + column));
    if (tile.add) sum = hn::Add(load_first(left, to + column), sum);
    store_first(left, sum, to + column);
  }
}

/// One register tile. kUnitK: k is contiguous in A and rows are a_row apart; else rows are contiguous and k is a_k
/// apart.
template <int kTileRows, int kTileVectors, bool kUnitK>
void run_tile(const Tile<T>& tile) {
  const D d;
  V sum[kTileRows][kTileVectors];
  HWY_UNROLL(16)
  for (int i = 0; i < kTileRows; ++i) {
    HWY_UNROLL(4)
    for (int v = 0; v < kTileVectors; ++v) sum[i][v] = hn::Zero(d);
  }

  const Index a_row = kUnitK ? tile.a_row : 1;
  const Index a_k = kUnitK ? 1 : tile.a_k;
  const Index b_k = tile.b_k;
  const Seg* const end = tile.segments + tile.segment_count;
  for (const Seg* seg = tile.segments; seg != end; ++seg) {
    const T* HWY_RESTRICT b = tile.b + seg->b;
    // Rows are addressed from every third row (base, base + stride, base + 2 stride): one pointer per row would not fit
    // into the general registers, and the processor can add the rest for free.
    constexpr int kBases = (kTileRows + 2) / 3;
    const T* HWY_RESTRICT a[kBases];
    HWY_UNROLL(8)
    for (int i = 0; i < kBases; ++i) a[i] = tile.a + seg->a + 3 * i * a_row;
    for (Index k = 0; k < seg->length; ++k) {
      V row[kTileVectors];
      HWY_UNROLL(4)
      for (int v = 0; v < kTileVectors; ++v) row[v] = hn::LoadU(d, b + v * kLanes);
      b += b_k;
      HWY_UNROLL(16)
      for (int i = 0; i < kTileRows; ++i) {
        const V x = hn::Set(d, a[i / 3][(i % 3) * a_row]);
        HWY_UNROLL(4)
        for (int v = 0; v < kTileVectors; ++v) sum[i][v] = hn::MulAdd(x, row[v], sum[i][v]);
      }
      HWY_UNROLL(8)
      for (int i = 0; i < kBases; ++i) a[i] += a_k;
    }
  }

  HWY_UNROLL(16)
  for (int i = 0; i < kTileRows; ++i) {
    HWY_UNROLL(4)
    for (int v = 0; v < kTileVectors; ++v) store_vector(tile, sum[i][v], v * kLanes, tile.c + i * tile.c_row);
  }
}

// ---- dot products

// The terms of a sum go round over 64 bytes' worth of lanes, on any instruction set: all then add in the same order.
constexpr Index kDotLanes = static_cast<Index>(64 / sizeof(T));
constexpr Index kDotVectors = kDotLanes / kLanes;

// A block of sums, by register count again: 16 + 4 + 1 of 32 registers, 8 + 4 of 16; else whatever the compiler makes.
constexpr Index kDotRows = HWY_TARGET == HWY_AVX3 ? 4 : 1;
constexpr Index kDotColumns = HWY_TARGET == HWY_SCALAR ? 1 : 4;

template <Index kRowCount, Index kColumnCount>
HWY_INLINE void dot_block(Index k, const T* a, const T* b, const T* bias, T* c, Index c_row) {
  const D d;
  V sum[kRowCount][kColumnCount][kDotVectors];
  for (auto& row : sum) {
    for (auto& lanes : row) {
      for (V& v : lanes) v = hn::Zero(d);
    }
  }
  const auto add = [&](Index v, const auto& load) HWY_ATTR {
    V x[kRowCount];
    HWY_UNROLL(4)
    for (Index i = 0; i < kRowCount; ++i) x[i] = load(a + i * k);
    HWY_UNROLL(4)
    for (Index j = 0; j < kColumnCount; ++j) {
      const V y = load(b + j * k);
      HWY_UNROLL(4)
      for (Index i = 0; i < kRowCount; ++i) sum[i][j][v] = hn::MulAdd(x[i], y, sum[i][j][v]);
    }
  };
  Index l = 0;
  for (; l + kDotLanes <= k; l += kDotLanes) {
    HWY_UNROLL(16)
    for (Index v = 0; v < kDotVectors; ++v) {
      add(v, [&](const T* from) HWY_ATTR { return hn::LoadU(d, from + l + v * kLanes); });
    }
  }
  HWY_UNROLL(16)
  for (Index v = 0; v < kDotVectors; ++v) {
    const Index at = l + v * kLanes, left = k - at < kLanes ? k - at : kLanes;
    if (left > 0) add(v, [&](const T* from) HWY_ATTR { return load_first(left, from + at); });
  }
  HWY_UNROLL(4)
  for (Index i = 0; i < kRowCount; ++i) {
    HWY_UNROLL(4)
    for (Index j = 0; j < kColumnCount; ++j) {
      V* const lanes = sum[i][j];
      HWY_UNROLL(4)
      for (Index half = kDotVectors / 2; half > 0; half /= 2) {
        HWY_UNROLL(8)
        for (Index v = 0; v < half; ++v) lanes[v] = hn::Add(lanes[v], lanes[v + half]);
      }
      const T dot = hn::GetLane(hn::SumOfLanes(d, lanes[0]));
      c[i * c_row + j] = bias != nullptr ? dot + bias[j] : dot;
    }
  }
}

/// All rows times kColumnCount columns, which thus come from memory once.
template <Index kColumnCount>
HWY_INLINE void dot_columns(Index rows, Index k, const T* a, const T* b, const T* bias, T* c, Index c_row) {
  Index i = 0;
  for (; i + kDotRows <= rows; i += kDotRows) {
    dot_block<kDotRows, kColumnCount>(k, a + i * k, b, bias, c + i * c_row, c_row);
  }
  for (; i < rows; ++i) dot_block<1, kColumnCount>(k, a + i * k, b, bias, c + i * c_row, c_row);
}

void dot_products(Index rows, Index columns, Index k, const T* a, const T* b, const T* bias, T* c, Index c_row) {
  const auto bias_at = [&](Index j) { return bias != nullptr ? bias + j : nullptr; };
  Index j = 0;
  for (; j + kDotColumns <= columns; j += kDotColumns) {
    dot_columns<kDotColumns>(rows, k, a, b + j * k, bias_at(j), c + j, c_row);
  }
  for (; j < columns; ++j) dot_columns<1>(rows, k, a, b + j * k, bias_at(j), c + j, c_row);
}

// ---- packing

#if HWY_TARGET == HWY_SCALAR
constexpr Index kSquare = 1;

HWY_INLINE void transpose_block(const T* from, Index, T* to, Index) { *to = *from; }
#else
constexpr Index kSquare = static_cast<Index>(16 / sizeof(T));  // elements of a 128-bit block, the unit of transposition
using DBlock = hn::FixedTag<T, 16 / sizeof(T)>;

/// to[k * width + j] = from[j * from_row + k] for a square of kSquare x kSquare elements, width being to's row stride.
HWY_INLINE void transpose_block(const T* from, Index from_row, T* to, Index width) {
  const DBlock d;
  const auto r0 = hn::LoadU(d, from), r1 = hn::LoadU(d, from + from_row);
  if constexpr (kSquare == 2) {
    hn::StoreU(hn::InterleaveLower(d, r0, r1), d, to);
    hn::StoreU(hn::InterleaveUpper(d, r0, r1), d, to + width);
  } else {
    const auto r2 = hn::LoadU(d, from + 2 * from_row), r3 = hn::LoadU(d, from + 3 * from_row);
    const auto low02 = hn::InterleaveLower(d, r0, r2), low13 = hn::InterleaveLower(d, r1, r3);
    const auto high02 = hn::InterleaveUpper(d, r0, r2), high13 = hn::InterleaveUpper(d, r1, r3);
    hn::StoreU(hn::InterleaveLower(d, low02, low13), d, to);
    hn::StoreU(hn::InterleaveUpper(d, low02, low13), d, to + width);
    hn::StoreU(hn::InterleaveLower(d, high02, high13), d, to + 2 * width);
    hn::StoreU(hn::InterleaveUpper(d, high02, high13), d, to + 3 * width);
  }
}
#endif

void transpose(Index depth, Index columns, Index padded, const T* from, Index from_row, T* to, Index to_row) {
  const Index whole_columns = columns - columns % kSquare, whole_depth = depth - depth % kSquare;
  // In strips of one cache line of `from`: its rows are often a power of two apart and would push each other out of L1.
  constexpr Index kStrip = tuning::kCacheLine / static_cast<Index>(sizeof(T));
  for (Index strip = 0; strip < whole_depth; strip += kStrip) {
    const Index strip_end = strip + kStrip < whole_depth ? strip + kStrip : whole_depth;
    for (Index j = 0; j < whole_columns; j += kSquare) {
      for (Index k = strip; k < strip_end; k += kSquare) {
        transpose_block(from + j * from_row + k, from_row, to + k * to_row + j, to_row);
      }
    }
  }
  for (Index k = 0; k < depth; ++k) {
    T* const row = to + k * to_row;
    for (Index j = k < whole_depth ? whole_columns : 0; j < columns; ++j) row[j] = from[j * from_row + k];
    for (Index j = columns; j < padded; ++j) row[j] = T{0};
  }
}

// ---- depthwise convolution

void channelwise(Index channels, Index taps, const Index* offsets, const Index* weight_rows, const T* x, const T* w,
                 const T* bias, T* y) {
  const D d;
  Index c = 0;
  for (; c + 2 * kLanes <= channels; c += 2 * kLanes) {  // two independent chains hide some of the latency
    V low = bias != nullptr ? hn::LoadU(d, bias + c) : hn::Zero(d);
    V high = bias != nullptr ? hn::LoadU(d, bias + c + kLanes) : hn::Zero(d);
    for (Index t = 0; t < taps; ++t) {
      const T* const from = x + offsets[t] + c;
      const T* const weights = w + weight_rows[t] * channels + c;
      low = hn::MulAdd(hn::LoadU(d, from), hn::LoadU(d, weights), low);
      high = hn::MulAdd(hn::LoadU(d, from + kLanes), hn::LoadU(d, weights + kLanes), high);
    }
    hn::StoreU(low, d, y + c);
    hn::StoreU(high, d, y + c + kLanes);
  }
  for (; c < channels; c += kLanes) {
    const Index n = channels - c < kLanes ? channels - c : kLanes;
    V sum = bias != nullptr ? load_first(n, bias + c) : hn::Zero(d);
    for (Index t = 0; t < taps; ++t) {
      sum = hn::MulAdd(load_first(n, x + offsets[t] + c), load_first(n, w + weight_rows[t] * channels + c), sum);
    }
    store_first(n, sum, y + c);
  }
}

void channelwise_products(Index channels, Index pixels, const T* x, Index x_step, const T* dy, Index dy_step, T* sum) {
  const D d;
  for (Index c = 0; c < channels; c += kLanes) {
    const Index n = channels - c < kLanes ? channels - c : kLanes;
    V total = hn::Zero(d);
    if (n == kLanes) {
      for (Index p = 0; p < pixels; ++p) {
        total = hn::MulAdd(hn::LoadU(d, x + p * x_step + c), hn::LoadU(d, dy + p * dy_step + c), total);
      }
      hn::StoreU(hn::Add(hn::LoadU(d, sum + c), total), d, sum + c);
    } else {
      for (Index p = 0; p < pixels; ++p) {
        total = hn::MulAdd(load_first(n, x + p * x_step + c), load_first(n, dy + p * dy_step + c), total);
      }
      store_first(n, hn::Add(load_first(n, sum + c), total), sum + c);
    }
  }
}

void accumulate(Index n, const T* x, T* sum) {
  const D d;
  Index i = 0;
  for (; i + kLanes <= n; i += kLanes) hn::StoreU(hn::Add(hn::LoadU(d, sum + i), hn::LoadU(d, x + i)), d, sum + i);
  for (; i < n; ++i) sum[i] += x[i];
}

// ---- the table

template <int kTileVectors, bool kUnitK, std::size_t... kRow>
constexpr void fill_tiles(Microkernels<T>& table, std::index_sequence<kRow...>) {
  ((table.tiles[kUnitK ? 0 : 1][kTileVectors][kRow + 1] = run_tile<static_cast<int>(kRow) + 1, kTileVectors, kUnitK>),
   ...);
}

template <int kTileVectors>
constexpr void fill_width(Microkernels<T>& table) {
  if constexpr (kTileVectors <= kVectors) {
    table.max_rows[kTileVectors] = kRows[kTileVectors];
    fill_tiles<kTileVectors, true>(table, std::make_index_sequence<kRows[kTileVectors]>());
    fill_tiles<kTileVectors, false>(table, std::make_index_sequence<kRows[kTileVectors]>());
    if constexpr (kTileVectors < kMaxVectors) fill_width<kTileVectors + 1>(table);
  }
}

constexpr Microkernels<T> make_table() {
  Microkernels<T> table{};
  table.target = HWY_TARGET;
  table.lanes = kLanes;
  table.max_vectors = kVectors;
  fill_width<1>(table);
  table.dot_products = dot_products;
  table.transpose = transpose;
  table.channelwise = channelwise;
  table.channelwise_products = channelwise_products;
  table.accumulate = accumulate;
  return table;
}

constexpr Microkernels<T> kTable = make_table();

}  // namespace

/// The argument only keeps the element types apart: two files define this function.
const Microkernels<T>* table(T) { return &kTable; }

}  // namespace tapestry::kernels::HWY_NAMESPACE
HWY_AFTER_NAMESPACE();
