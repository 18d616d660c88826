// The loops that convert to and from bfloat16, and pack pairs. They are plain ones: inside HWY_NAMESPACE the compiler
// vectorises them for each instruction set in turn.
#include <tapestry/ops/kernels/simd/targets.h>

#undef HWY_TARGET_INCLUDE
#define HWY_TARGET_INCLUDE "tapestry/ops/kernels/simd/bf16.cpp"
#include <hwy/foreach_target.h>

#include <algorithm>
#include <cstdint>
#include <cstring>

#include <hwy/highway.h>

#include <tapestry/ops/kernels/simd/bf16.h>
#include <tapestry/ops/kernels/simd/bf16_rounding-inl.h>

HWY_BEFORE_NAMESPACE();
namespace tapestry::kernels::HWY_NAMESPACE {
namespace {

void narrow_loop(const float* HWY_RESTRICT from, BFloat16* HWY_RESTRICT to, Index n) {
  for (Index i = 0; i < n; ++i) to[i].bits = static_cast<std::uint16_t>(rounded(from[i]) >> 16);
}

void widen_loop(const BFloat16* HWY_RESTRICT from, float* HWY_RESTRICT to, Index n) {
  for (Index i = 0; i < n; ++i) {
    const std::uint32_t word = static_cast<std::uint32_t>(from[i].bits) << 16;
    std::memcpy(to + i, &word, sizeof(word));
  }
}

void pair_floats(const float* HWY_RESTRICT first, const float* HWY_RESTRICT second, Pair* HWY_RESTRICT to, Index n) {
  for (Index i = 0; i < n; ++i) to[i].bits = rounded(first[i]) >> 16 | (rounded(second[i]) & 0xFFFF0000U);
}

void pair_bf16(const BFloat16* HWY_RESTRICT first, const BFloat16* HWY_RESTRICT second, Pair* HWY_RESTRICT to,
               Index n) {
  for (Index i = 0; i < n; ++i) {
    to[i].bits = static_cast<std::uint32_t>(first[i].bits) | static_cast<std::uint32_t>(second[i].bits) << 16;
  }
}

void pair_float_with_zero(const float* HWY_RESTRICT first, Pair* HWY_RESTRICT to, Index n) {
  for (Index i = 0; i < n; ++i) to[i].bits = rounded(first[i]) >> 16;
}

void pair_bf16_with_zero(const BFloat16* HWY_RESTRICT first, Pair* HWY_RESTRICT to, Index n) {
  for (Index i = 0; i < n; ++i) to[i].bits = first[i].bits;
}

constexpr Bf16Loops kLoops{narrow_loop, widen_loop, pair_floats, pair_bf16, pair_float_with_zero, pair_bf16_with_zero};

}  // namespace

const Bf16Loops* bf16_loop_table() { return &kLoops; }

}  // namespace tapestry::kernels::HWY_NAMESPACE
HWY_AFTER_NAMESPACE();

#if HWY_ONCE
#include <tapestry/ops/kernels/base/tasks.h>
#include <tapestry/ops/kernels/base/tuning.h>

namespace tapestry::kernels {

HWY_EXPORT(bf16_loop_table);

namespace {

/// Rows of `size` elements in tasks of about kGrain: f(first row, end).
template <class F>
void for_rows(Index rows, Index size, const F& f) {
  parallel_for(rows, tuning::rows_per_task(size), f);
}

template <class S>
void pair_columns_of(const S* from, Index rows, Index columns, Pair* to) {
  const Index pairs = ceil_div(columns, 2);
  // An even number of columns is one long row: pairs then lie in memory as they are needed.
  if (columns % 2 == 0) {
    parallel_for(rows * columns, tuning::kGrain, [=](Index begin, Index end) {
      auto* const bf16_to = reinterpret_cast<BFloat16*>(to);
      if constexpr (sizeof(S) == sizeof(float)) bf16_loops().narrow(from + begin, bf16_to + begin, end - begin);
      else std::copy(from + begin, from + end, bf16_to + begin);
    });
    return;
  }
  // An odd one is an image of three colours or the like: too short rows for vectors.
  const auto bits = [](S value) { return static_cast<std::uint32_t>(BFloat16(static_cast<float>(value)).bits); };
  for_rows(rows, columns, [=](Index begin, Index end) {
    Pair* out = to + begin * pairs;
    for (const S* at = from + begin * columns; at != from + end * columns; at += columns) {
      for (Index c = 0; c + 1 < columns; c += 2) out++->bits = bits(at[c]) | bits(at[c + 1]) << 16;
      out++->bits = bits(at[columns - 1]);
    }
  });
}

template <class S>
void pair_rows_of(const S* from, Index rows, Index columns, Pair* to) {
  const Index pieces = std::max<Index>(1, columns / tuning::kPairPiece), pairs = ceil_div(rows, 2);
  for_rows(pairs * pieces, 2 * columns / pieces, [=](Index begin, Index end) {
    for (Index i = begin; i < end; ++i) {
      const Index pair = i / pieces;
      const Range range = part(columns, pieces, i % pieces);
      const S* const first = from + 2 * pair * columns;
      const S* const second = 2 * pair + 1 < rows ? first + columns + range.begin : nullptr;
      pair_up(first + range.begin, second, to + pair * columns + range.begin, range.size());
    }
  });
}

}  // namespace

const Bf16Loops& bf16_loops() { return *HWY_DYNAMIC_DISPATCH(bf16_loop_table)(); }

void narrow(const float* from, BFloat16* to, Index n) {
  parallel_for(n, tuning::kGrain,
               [=](Index begin, Index end) { bf16_loops().narrow(from + begin, to + begin, end - begin); });
}

void widen(const BFloat16* from, float* to, Index n) {
  parallel_for(n, tuning::kGrain,
               [=](Index begin, Index end) { bf16_loops().widen(from + begin, to + begin, end - begin); });
}

void pair_up(const float* first, const float* second, Pair* to, Index n) {
  if (second != nullptr) bf16_loops().pair_floats(first, second, to, n);
  else bf16_loops().pair_float_with_zero(first, to, n);
}

void pair_up(const BFloat16* first, const BFloat16* second, Pair* to, Index n) {
  if (second != nullptr) bf16_loops().pair_bf16(first, second, to, n);
  else bf16_loops().pair_bf16_with_zero(first, to, n);
}

void pair_columns(const float* from, Index rows, Index columns, Pair* to) { pair_columns_of(from, rows, columns, to); }
void pair_columns(const BFloat16* from, Index rows, Index columns, Pair* to) {
  pair_columns_of(from, rows, columns, to);
}
void pair_rows(const float* from, Index rows, Index columns, Pair* to) { pair_rows_of(from, rows, columns, to); }
void pair_rows(const BFloat16* from, Index rows, Index columns, Pair* to) { pair_rows_of(from, rows, columns, to); }

}  // namespace tapestry::kernels
#endif
