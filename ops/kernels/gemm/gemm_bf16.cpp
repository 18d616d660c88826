#include <tapestry/ops/kernels/gemm/gemm_bf16.h>

#include <algorithm>
#include <type_traits>

#include <tapestry/autograd/memory/scratch.h>
#include <tapestry/ops/kernels/gemm/blocking.h>
#include <tapestry/ops/kernels/gemm/microkernel.h>
#include <tapestry/ops/kernels/gemm/tuning.h>
#include <tapestry/ops/kernels/simd/as_dtype.h>

namespace tapestry::kernels {
namespace {

/// op(a) as pairs of neighbouring k: [m][pairs], or [pairs][m] if it comes transposed.
template <class A>
class LeftOperand {
 public:
  LeftOperand(bool transposed, Index m, Index k, const A* a)
      : in_place_(transposed ? nullptr : a, transposed ? 0 : m, k),
        copy_(transposed ? (k + 1) / 2 * m : 0),
        row(transposed ? 1 : (k + 1) / 2),
        pair(transposed ? m : 1) {
    if (transposed) pair_rows(a, k, m, copy_.data());
    data = transposed ? copy_.data() : in_place_.data();
  }

 private:
  AsPairs<A> in_place_;
  Scratch<Pair> copy_;

 public:
  Index row, pair;  ///< strides, in pairs
  const Pair* data;
};

/// Packs op(b) as [panel][pairs][width].
template <class B>
void pack_right(bool transposed, Index n, Index k, const B* b, const Panels& panels, Pair* packed) {
  const Index pairs = ceil_div(k, 2);
  const Index blocks = ceil_div(pairs, tuning::kDepthBlock<Pair>), pieces = panels.count() * blocks;
  const double work = tuning::kPackCost * static_cast<double>(k) * static_cast<double>(n);
  const Index tasks = task_count(work, pieces);
  const AsPairs<B> rows(transposed ? b : nullptr, transposed ? n : 0, k);
  for_each_task(tasks, [&](Index task) {
    const Range range = part(pieces, tasks, task);
    for (Index piece = range.begin; piece < range.end; ++piece) {
      const Panels::Panel panel = panels[piece / blocks];
      const Range depth = part(pairs, blocks, piece % blocks);
      Pair* to = packed + panels.offset(piece / blocks, pairs) + depth.begin * panel.width;
      if (transposed) {
        transpose(depth.size(), panel.columns, panel.width, rows.data() + panel.column * pairs + depth.begin, pairs, to,
                  panel.width);
        continue;
      }
      for (Index p = depth.begin; p < depth.end; ++p, to += panel.width) {
        const B* const first = b + 2 * p * n + panel.column;
        pair_up(first, 2 * p + 1 < k ? first + n : nullptr, to, panel.columns);
        std::fill(to + panel.columns, to + panel.width, Pair{0});
      }
    }
  });
}

template <class C>
void multiply(Index m, Index n, Index pairs, const Pair* a, Index a_row, Index a_pair, const Panels& panels,
              const Pair* packed, const float* bias, C* c) {
  const Microkernels<Pair>& kernels = microkernels<Pair>();
  const Index blocks = std::is_same_v<C, float> ? ceil_div(pairs, tuning::kDepthBlock<Pair>) : 1;
  const Index row_tiles = ceil_div(m, panels.tile_rows());
  const auto work = [&](Index rows) {
    return static_cast<double>(rows) * static_cast<double>(n) * static_cast<double>(pairs);
  };
  const Index row_blocks = std::min(ceil_div(m, tuning::kRowsPerTask), task_count(work(m), m));
  const Index groups = std::min(panels.count(), task_count(work(m / row_blocks), ceil_div(tuning::kTasks, row_blocks)));
  for_each_task(row_blocks * groups, [&](Index task) {
    const TileTask<Pair> mode(kernels);
    const Range tiles = part(row_tiles, row_blocks, task / groups), range = part(panels.count(), groups, task % groups);
    for (Index block = 0; block < blocks; ++block) {
      const Range depth = part(pairs, blocks, block);
      const Seg segment{0, 0, depth.size()};
      for (Index p = range.begin; p < range.end; ++p) {
        const Panels::Panel panel = panels[p];
        Tile<Pair, C> tile{};
        tile.segments = &segment;
        tile.segment_count = 1;
        tile.a_row = a_row;
        tile.a_k = a_pair;
        tile.b = packed + panels.offset(p, pairs) + depth.begin * panel.width;
        tile.b_k = panel.width;
        tile.bias = bias != nullptr && block == 0 ? bias + panel.column : nullptr;
        tile.c_row = n;
        tile.columns = panel.columns;
        tile.add = block > 0;
        for (Index t = tiles.begin; t < tiles.end; ++t) {
          const Range rows = part(m, row_tiles, t);
          tile.a = a + rows.begin * a_row + depth.begin * a_pair;
          tile.c = c + rows.begin * n + panel.column;
          run_tile(kernels, rows.size(), panel.vectors, tile);
        }
      }
    }
  });
}

void store(float value, float& to) { to = value; }
void store(float value, BFloat16& to) { to = BFloat16(value); }

}  // namespace

template <class A, class B, class C>
void gemm_bf16(bool transpose_a, bool transpose_b, Index m, Index n, Index k, const A* a, const B* b, const float* bias,
               C* c) {
  if (m == 0 || n == 0) return;
  if (k == 0) {
    for (Index i = 0; i < m * n; ++i) store(bias != nullptr ? bias[i % n] : 0.0F, c[i]);
    return;
  }
  const Index pairs = ceil_div(k, 2);
  const Panels panels(microkernels<Pair>(), n);
  const LeftOperand<A> left(transpose_a, m, k, a);
  const Scratch<Pair> packed(panels.padded_columns() * pairs);
  pack_right(transpose_b, n, k, b, panels, packed.data());
  if (pairs <= tuning::kDeepestPairs) {
    return multiply(m, n, pairs, left.data, left.row, left.pair, panels, packed.data(), bias, c);
  }
  const FromFloats<C> floats(c, m * n);
  multiply(m, n, pairs, left.data, left.row, left.pair, panels, packed.data(), bias, floats.data());
  floats.finish();
}

template <class A, class B, class C>
void gemm_bf16_batched(Index batch, const Index* a_offset, const Index* b_offset, bool transpose_a, bool transpose_b,
                       Index m, Index n, Index k, const A* a, const B* b, C* c) {
  const auto one = [&](Index i) {
    gemm_bf16(transpose_a, transpose_b, m, n, k, a + a_offset[i], b + b_offset[i], nullptr, c + i * m * n);
  };
  const double work = static_cast<double>(m) * static_cast<double>(n) * static_cast<double>(k);
  const Index tasks =
      work >= tuning::kLargeProduct || batch == 0 ? 1 : task_count(work * static_cast<double>(batch), batch);
  for_each_task(tasks, [&](Index task) {
    const Range range = part(batch, tasks, task);
    for (Index i = range.begin; i < range.end; ++i) one(i);
  });
}

template void gemm_bf16(bool, bool, Index, Index, Index, const BFloat16*, const BFloat16*, const float*, BFloat16*);
template void gemm_bf16(bool, bool, Index, Index, Index, const BFloat16*, const float*, const float*, BFloat16*);
template void gemm_bf16(bool, bool, Index, Index, Index, const float*, const BFloat16*, const float*, BFloat16*);
template void gemm_bf16(bool, bool, Index, Index, Index, const BFloat16*, const BFloat16*, const float*, float*);
template void gemm_bf16(bool, bool, Index, Index, Index, const BFloat16*, const float*, const float*, float*);
template void gemm_bf16(bool, bool, Index, Index, Index, const float*, const BFloat16*, const float*, float*);
template void gemm_bf16(bool, bool, Index, Index, Index, const float*, const float*, const float*, float*);
template void gemm_bf16(bool, bool, Index, Index, Index, const float*, const float*, const float*, BFloat16*);
template void gemm_bf16_batched(Index, const Index*, const Index*, bool, bool, Index, Index, Index, const BFloat16*,
                                const BFloat16*, BFloat16*);
template void gemm_bf16_batched(Index, const Index*, const Index*, bool, bool, Index, Index, Index, const BFloat16*,
                                const float*, BFloat16*);
template void gemm_bf16_batched(Index, const Index*, const Index*, bool, bool, Index, Index, Index, const float*,
                                const BFloat16*, BFloat16*);
template void gemm_bf16_batched(Index, const Index*, const Index*, bool, bool, Index, Index, Index, const BFloat16*,
                                const BFloat16*, float*);
template void gemm_bf16_batched(Index, const Index*, const Index*, bool, bool, Index, Index, Index, const BFloat16*,
                                const float*, float*);
template void gemm_bf16_batched(Index, const Index*, const Index*, bool, bool, Index, Index, Index, const float*,
                                const BFloat16*, float*);
template void gemm_bf16_batched(Index, const Index*, const Index*, bool, bool, Index, Index, Index, const float*,
                                const float*, float*);
template void gemm_bf16_batched(Index, const Index*, const Index*, bool, bool, Index, Index, Index, const float*,
                                const float*, BFloat16*);

}  // namespace tapestry::kernels
