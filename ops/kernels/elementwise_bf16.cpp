// Elementwise loops over bfloat16: piece by piece through the loops of float, in buffers that stay in L1.
#include <tapestry/ops/kernels/elementwise.h>

#include <algorithm>

#include <tapestry/ops/kernels/base/tuning.h>
#include <tapestry/ops/kernels/simd/bf16.h>

namespace tapestry::kernels {
namespace {

using tuning::kBf16Piece;

/// f(first element, elements) for all pieces of [0, n), in parallel.
template <class F>
void for_pieces(Index n, const F& f) {
  parallel_for(n, tuning::kGrain, [&](Index begin, Index end) {
    for (Index i = begin; i < end; i += kBf16Piece) f(i, std::min(kBf16Piece, end - i));
  });
}

/// y[i] = f(x[i]), where f(x, y, n) works on floats.
template <class F>
void map(const BFloat16* x, BFloat16* y, Index n, const F& f) {
  for_pieces(n, [&](Index at, Index count) {
    alignas(64) float u[kBf16Piece], v[kBf16Piece];
    const Bf16Loops& loops = bf16_loops();
    loops.widen(x + at, u, count);
    f(u, v, count);
    loops.narrow(v, y + at, count);
  });
}

/// A run of n elements, or one element for all of them, as floats; how many.
Index widen_run(const BFloat16* from, Index step, Index n, float* to) {
  const Index count = step == 0 ? 1 : n;
  bf16_loops().widen(from, to, count);
  return count;
}

/// f(a offset, b offset, y offset, elements) for pieces of all rows of a broadcast, in parallel.
template <class F>
void for_runs(const Broadcast& p, const F& f) {
  if (p.rows == 1) {
    for_pieces(p.length, [&](Index at, Index count) { f(at * p.a_step, at * p.b_step, at, count); });
    return;
  }
  parallel_for(p.rows, tuning::rows_per_task(p.length), [&](Index begin, Index end) {
    p.for_rows(begin, end, [&](Index a, Index b, Index y) {
      for (Index at = 0; at < p.length; at += kBf16Piece)
        f(a + at * p.a_step, b + at * p.b_step, y + at, std::min(kBf16Piece, p.length - at));
    });
  });
}

}  // namespace

// The calls of float loops below are shorter than a task of theirs and run where they are.

template <>
void unary(Unary op, const BFloat16* x, BFloat16* y, Index n) {
  map(x, y, n, [op](const float* u, float* v, Index count) { unary(op, u, v, count); });
}

void with_number(WithNumber op, const BFloat16* x, float number, BFloat16* y, Index n) {
  map(x, y, n, [op, number](const float* u, float* v, Index count) { with_number(op, u, number, v, count); });
}

template <>
void binary(Binary op, const Broadcast& broadcast, const BFloat16* a, const BFloat16* b, BFloat16* y) {
  for_runs(broadcast, [&](Index at_a, Index at_b, Index at_y, Index count) {
    alignas(64) float u[kBf16Piece], v[kBf16Piece], w[kBf16Piece];
    widen_run(a + at_a, broadcast.a_step, count, u);
    widen_run(b + at_b, broadcast.b_step, count, v);
    binary(op, Broadcast(count, broadcast.a_step, broadcast.b_step), u, v, w);
    bf16_loops().narrow(w, y + at_y, count);
  });
}

template <>
void compare(Compare op, const Broadcast& broadcast, const BFloat16* a, const BFloat16* b, bool* y) {
  for_runs(broadcast, [&](Index at_a, Index at_b, Index at_y, Index count) {
    alignas(64) float u[kBf16Piece], v[kBf16Piece];
    widen_run(a + at_a, broadcast.a_step, count, u);
    widen_run(b + at_b, broadcast.b_step, count, v);
    compare(op, Broadcast(count, broadcast.a_step, broadcast.b_step), u, v, y + at_y);
  });
}

}  // namespace tapestry::kernels
