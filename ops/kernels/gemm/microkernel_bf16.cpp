// Products of pairs of bfloat16 for CPUs without VDPBF16PS, and the choice between them and the tables for those with.
#include <tapestry/ops/kernels/simd/targets.h>

#undef HWY_TARGET_INCLUDE
#define HWY_TARGET_INCLUDE "tapestry/ops/kernels/gemm/microkernel_bf16.cpp"
#include <hwy/foreach_target.h>

#include <array>
#include <cstddef>
#include <utility>

#include <hwy/highway.h>

#include <tapestry/autograd/base/dtype.h>
#include <tapestry/ops/kernels/gemm/microkernel.h>
#include <tapestry/ops/kernels/simd/bf16_rounding-inl.h>

HWY_BEFORE_NAMESPACE();
namespace tapestry::kernels::HWY_NAMESPACE {
namespace {

namespace hn = hwy::HWY_NAMESPACE;

using D = hn::ScalableTag<float>;
using DWord = hn::RebindToUnsigned<D>;
using V = hn::Vec<D>;

constexpr Index kLanes = static_cast<Index>(HWY_LANES(float));

// Tile sizes by register count: accumulators, both halves of a row of B, both halves of a broadcast of A, a mask.
//   32 registers: 12x2 = 24 + 4 + 3, 16x1 = 16 + 2 + 3
//   16 registers: 4x2 = 8 + 4 + 3, 8x1 = 8 + 2 + 3
constexpr Index kVectors = 2;
#if HWY_TARGET == HWY_AVX3
constexpr std::array<Index, kMaxVectors + 1> kRows = {0, 16, 12, 0, 0};
#else
constexpr std::array<Index, kMaxVectors + 1> kRows = {0, 8, 4, 0, 0};
#endif

/// The numbers of a pair as floats: they are the upper halves of floats.
HWY_INLINE V first_of(hn::Vec<DWord> pairs) { return hn::BitCast(D(), hn::ShiftLeft<16>(pairs)); }
HWY_INLINE V second_of(hn::Vec<DWord> pairs) { return hn::BitCast(D(), hn::And(pairs, hn::Set(DWord(), 0xFFFF0000U))); }

HWY_INLINE void put(float sum, float* to) { *to = sum; }
HWY_INLINE void put(float sum, BFloat16* to) { to->bits = static_cast<std::uint16_t>(rounded(sum) >> 16); }

/// Adds bias and C as asked and stores one row. Few products pass here per element: no need for vectors.
template <int kTileVectors, class Out>
void store_row(const Tile<Pair, Out>& tile, float (&sums)[kTileVectors * kLanes], Out* to) {
  for (Index j = 0; j < kTileVectors * kLanes; ++j) {
    if (j == tile.columns) return;
    if (tile.bias != nullptr) sums[j] += tile.bias[j];
    if constexpr (sizeof(Out) == sizeof(float)) {
      if (tile.add) sums[j] = to[j] + sums[j];
    }
    put(sums[j], to + j);
  }
}

template <int kTileRows, int kTileVectors, bool kUnitK, class Out>
void run_tile(const Tile<Pair, Out>& tile) {
  const D d;
  const DWord words;
  V sum[kTileRows][kTileVectors];
  HWY_UNROLL(16)
  for (int i = 0; i < kTileRows; ++i) {
    HWY_UNROLL(4)
    for (int v = 0; v < kTileVectors; ++v) sum[i][v] = hn::Zero(d);
  }

  const Index a_row = kUnitK ? tile.a_row : 1;
  const Index a_k = kUnitK ? 1 : tile.a_k;
  for (const Seg* seg = tile.segments; seg != tile.segments + tile.segment_count; ++seg) {
    const Pair* a = tile.a + seg->a;
    const Pair* b = tile.b + seg->b;
    for (Index k = 0; k < seg->length; ++k, a += a_k, b += tile.b_k) {
      V first[kTileVectors], second[kTileVectors];
      HWY_UNROLL(4)
      for (int v = 0; v < kTileVectors; ++v) {
        const auto row = hn::LoadU(words, reinterpret_cast<const std::uint32_t*>(b) + v * kLanes);
        first[v] = first_of(row);
        second[v] = second_of(row);
      }
      HWY_UNROLL(16)
      for (int i = 0; i < kTileRows; ++i) {
        std::uint32_t word;
        std::memcpy(&word, a + i * a_row, sizeof(word));
        const auto x = hn::Set(words, word);
        const V x_first = first_of(x), x_second = second_of(x);
        HWY_UNROLL(4)
        for (int v = 0; v < kTileVectors; ++v) {
          sum[i][v] = hn::MulAdd(x_second, second[v], hn::MulAdd(x_first, first[v], sum[i][v]));
        }
      }
    }
  }

  HWY_ALIGN float sums[kTileVectors * kLanes] = {};
  HWY_UNROLL(16)
  for (int i = 0; i < kTileRows; ++i) {
    HWY_UNROLL(4)
    for (int v = 0; v < kTileVectors; ++v) hn::Store(sum[i][v], d, sums + v * kLanes);
    store_row<kTileVectors>(tile, sums, tile.c + i * tile.c_row);
  }
}

template <int kTileVectors, bool kUnitK, std::size_t... kRow>
constexpr void fill_tiles(Microkernels<Pair>& table, std::index_sequence<kRow...>) {
  constexpr int at = kUnitK ? 0 : 1;
  ((table.to_float[at][kTileVectors][kRow + 1] = run_tile<static_cast<int>(kRow) + 1, kTileVectors, kUnitK, float>,
    table.to_bf16[at][kTileVectors][kRow + 1] = run_tile<static_cast<int>(kRow) + 1, kTileVectors, kUnitK, BFloat16>),
   ...);
}

template <int kTileVectors>
constexpr void fill_width(Microkernels<Pair>& table) {
  table.max_rows[kTileVectors] = kRows[kTileVectors];
  fill_tiles<kTileVectors, true>(table, std::make_index_sequence<kRows[kTileVectors]>());
  fill_tiles<kTileVectors, false>(table, std::make_index_sequence<kRows[kTileVectors]>());
  if constexpr (kTileVectors < kVectors) fill_width<kTileVectors + 1>(table);
}

constexpr Microkernels<Pair> make_table() {
  Microkernels<Pair> table{};
  table.lanes = kLanes;
  table.max_vectors = kVectors;
  fill_width<1>(table);
  return table;
}

constexpr Microkernels<Pair> kPairTable = make_table();

}  // namespace

const Microkernels<Pair>* pair_table() { return &kPairTable; }

}  // namespace tapestry::kernels::HWY_NAMESPACE
HWY_AFTER_NAMESPACE();

#if HWY_ONCE
#include <tapestry/ops/kernels/gemm/microkernel_amx.h>
#include <tapestry/ops/kernels/gemm/microkernel_avx512_bf16.h>
#include <tapestry/ops/kernels/gemm/testing.h>
#include <tapestry/ops/kernels/simd/instruction_set.h>

#include <atomic>

namespace tapestry::kernels {

HWY_EXPORT(pair_table);

namespace {

std::atomic<bool> products_enabled{true};
std::atomic<const Microkernels<Pair>*> replacement{nullptr};

bool cpu_has_bf16_products() {
#if defined(__x86_64__) && defined(__GNUC__)
  static const bool has =
      __builtin_cpu_supports("avx512bf16") != 0;  // asks whether the system saves the registers, too
  return has && avx512_bf16_table() != nullptr;
#else
  return false;
#endif
}

}  // namespace

bool has_bf16_products() {
  // Whoever told Highway to use less than AVX-512 means this, too.
  return products_enabled.load(std::memory_order_relaxed) && cpu_has_bf16_products() &&
         microkernels<float>().target == HWY_AVX3;
}

void enable_bf16_products(bool enabled) { products_enabled.store(enabled, std::memory_order_relaxed); }

void replace_pair_kernels(const Microkernels<Pair>* kernels) { replacement = kernels; }

template <>
const Microkernels<Pair>& microkernels<Pair>() {
  if (const auto* const other = replacement.load(std::memory_order_relaxed)) return *other;
  if (!has_bf16_products()) return *HWY_DYNAMIC_DISPATCH(pair_table)();
  return uses_amx() ? *amx_table() : *avx512_bf16_table();
}

}  // namespace tapestry::kernels
#endif
