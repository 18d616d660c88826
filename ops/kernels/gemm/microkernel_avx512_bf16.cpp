// Compiled with flags of its own (CMakeLists.txt) and only called where the CPU has AVX512_BF16. Sealed: no standard
// library, no inline function that another file could share, or the linker might keep the copy made here for everybody
// and a CPU without AVX-512 would die on it.
#include <tapestry/ops/kernels/gemm/microkernel_avx512_bf16.h>

#if defined(__AVX512BF16__)
#include <immintrin.h>

namespace tapestry::kernels {
namespace {

constexpr int kLanes = 16;
// 32 registers: 6x4 = 24 + 4, 8x3 = 24 + 3, 14x2 = 28 + 2, 16x1 = 16 + 1, and one for the broadcast
constexpr int kRows[kMaxVectors + 1] = {0, 16, 14, 8, 6};

/// Four bytes of anything: pairs are read from images of bfloat16.
using Word [[gnu::may_alias]] = int;

__mmask16 first(std::int64_t n) { return static_cast<__mmask16>(n >= kLanes ? 0xFFFF : (1 << n) - 1); }

void store(__m512 sum, float* to, __mmask16 mask, bool add) {
  if (add) sum = _mm512_add_ps(_mm512_maskz_loadu_ps(mask, to), sum);
  _mm512_mask_storeu_ps(to, mask, sum);
}

void store(__m512 sum, BFloat16* to, __mmask16 mask, bool /*add*/) {
  // The conversion rounds to nearest even; like the products it takes subnormal numbers for zero.
  _mm256_mask_storeu_epi16(to, mask, reinterpret_cast<__m256i>(_mm512_cvtneps_pbh(sum)));
}

float* at(float* c, std::int64_t i) { return c + i; }
BFloat16* at(BFloat16* c, std::int64_t i) { return reinterpret_cast<BFloat16*>(reinterpret_cast<char*>(c) + 2 * i); }

/// One register tile. kUnitK: k is contiguous in A and rows are a_row apart; else rows are contiguous and k is a_k
/// apart.
template <int kTileRows, int kTileVectors, bool kUnitK, class Out>
void run_tile(const Tile<Pair, Out>& tile) {
  __m512 sum[kTileRows][kTileVectors];
#pragma GCC unroll 16
  for (int i = 0; i < kTileRows; ++i) {
#pragma GCC unroll 4
    for (int v = 0; v < kTileVectors; ++v) sum[i][v] = _mm512_setzero_ps();
  }

  const std::int64_t a_row = kUnitK ? tile.a_row : 1;
  const std::int64_t a_k = kUnitK ? 1 : tile.a_k;
  const std::int64_t b_k = tile.b_k;
  const Seg* const end = tile.segments + tile.segment_count;
  for (const Seg* seg = tile.segments; seg != end; ++seg) {
    const Pair* b = tile.b + seg->b;
    // Rows are addressed from every third row, as in the f32 tiles: one pointer per row would not fit.
    constexpr int kBases = (kTileRows + 2) / 3;
    const Pair* a[kBases];
#pragma GCC unroll 8
    for (int i = 0; i < kBases; ++i) a[i] = tile.a + seg->a + 3 * i * a_row;
    for (std::int64_t k = 0; k < seg->length; ++k) {
      __m512i row[kTileVectors];
#pragma GCC unroll 4
      for (int v = 0; v < kTileVectors; ++v) row[v] = _mm512_loadu_si512(b + v * kLanes);
      b += b_k;
#pragma GCC unroll 16
      for (int i = 0; i < kTileRows; ++i) {
        const __m512i x = _mm512_set1_epi32(*reinterpret_cast<const Word*>(a[i / 3] + (i % 3) * a_row));
#pragma GCC unroll 4
        for (int v = 0; v < kTileVectors; ++v) {
          sum[i][v] = _mm512_dpbf16_ps(sum[i][v], reinterpret_cast<__m512bh>(x), reinterpret_cast<__m512bh>(row[v]));
        }
      }
#pragma GCC unroll 8
      for (int i = 0; i < kBases; ++i) a[i] += a_k;
    }
  }

#pragma GCC unroll 4
  for (int v = 0; v < kTileVectors; ++v) {
    const std::int64_t left = tile.columns - v * kLanes;
    if (left <= 0) break;
    const __mmask16 mask = first(left);
    const __m512 bias =
        tile.bias != nullptr ? _mm512_maskz_loadu_ps(mask, tile.bias + v * kLanes) : _mm512_setzero_ps();
#pragma GCC unroll 16
    for (int i = 0; i < kTileRows; ++i) {
      store(_mm512_add_ps(sum[i][v], bias), at(tile.c, i * tile.c_row + v * kLanes), mask, tile.add);
    }
  }
}

template <int kTileVectors, int kTileRows>
constexpr void fill(Microkernels<Pair>& table) {
  table.to_float[0][kTileVectors][kTileRows] = run_tile<kTileRows, kTileVectors, true, float>;
  table.to_float[1][kTileVectors][kTileRows] = run_tile<kTileRows, kTileVectors, false, float>;
  table.to_bf16[0][kTileVectors][kTileRows] = run_tile<kTileRows, kTileVectors, true, BFloat16>;
  table.to_bf16[1][kTileVectors][kTileRows] = run_tile<kTileRows, kTileVectors, false, BFloat16>;
  if constexpr (kTileRows < kRows[kTileVectors]) fill<kTileVectors, kTileRows + 1>(table);
  else if constexpr (kTileVectors < kMaxVectors) fill<kTileVectors + 1, 1>(table);
}

constexpr Microkernels<Pair> make_table() {
  Microkernels<Pair> table{};
  table.lanes = kLanes;
  table.max_vectors = kMaxVectors;
  for (int v = 1; v <= kMaxVectors; ++v) table.max_rows[v] = kRows[v];
  fill<1, 1>(table);
  return table;
}

constexpr Microkernels<Pair> kTable = make_table();

}  // namespace

const Microkernels<Pair>* avx512_bf16_table() { return &kTable; }

}  // namespace tapestry::kernels
#else
namespace tapestry::kernels {
const Microkernels<Pair>* avx512_bf16_table() { return nullptr; }
}  // namespace tapestry::kernels
#endif
