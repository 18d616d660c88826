#include <tapestry/ops/kernels/gemm/gemm.h>

#include <algorithm>

#include <tapestry/autograd/memory/scratch.h>
#include <tapestry/ops/kernels/gemm/blocking.h>
#include <tapestry/ops/kernels/gemm/microkernel.h>
#include <tapestry/ops/kernels/gemm/tuning.h>
#include <tapestry/ops/kernels/simd/flush_denormals.h>

namespace tapestry::kernels {
namespace {

/// One product, its tiling, and the tile loops over it.
template <class T>
class Product {
 public:
  Product(bool transpose_a, bool transpose_b, Index m, Index n, Index k, const T* a, const T* b, const T* bias, T* c)
      : kernels_(microkernels<T>()),
        transpose_a_(transpose_a),
        transpose_b_(transpose_b),
        m_(m),
        n_(n),
        k_(k),
        a_(a),
        b_(b),
        bias_(bias),
        c_(c),
        panels_(kernels_, n),
        row_tiles_(ceil_div(m, panels_.tile_rows())),
        depth_blocks_(ceil_div(k, tuning::kDepthBlock<T>)) {}

  void run() const {
    if (transpose_b_ && !transpose_a_ && m_ <= tuning::kDotRows && k_ >= tuning::kDotDepth) {
      run_dot_products();
    } else if (m_ <= tuning::kFewRows) {
      run_few_rows();
    } else {
      try {
        run_blocked();
      } catch (const OutOfMemory&) {  // a copy of all of B is a convenience; a panel at a time gives the same bits
        run_few_rows();
      }
    }
  }

 private:
  [[nodiscard]] double work(Index rows, Index columns) const {
    return static_cast<double>(rows) * static_cast<double>(columns) * static_cast<double>(k_);
  }

  /// A row or a few, as in inference: B is read once, where it lies; to copy it would cost more than all the rest.
  void run_dot_products() const {
    const Index tasks = task_count(tuning::kDotCost * work(m_, n_), std::min(n_, tuning::kTasks));
    for_each_task(tasks, [&](Index task) {
      const FlushDenormals mode;
      const Range columns = part(n_, tasks, task);
      kernels_.dot_products(m_, columns.size(), k_, a_, b_ + columns.begin * k_,
                            bias_ != nullptr ? bias_ + columns.begin : nullptr, c_ + columns.begin, n_);
    });
  }

  /// Few rows: a task packs its panels as it goes, or, where B can be read as it is, not at all.
  void run_few_rows() const {
    const Index tasks = task_count(work(m_, n_), panels_.count());
    for_each_task(tasks, [&](Index task) {
      const FlushDenormals mode;
      const Range range = part(panels_.count(), tasks, task);
      const Index packed_depth = std::min(k_, tuning::kDepthBlock<T>);
      const Scratch<T> packed(packed_depth * panels_[0].width + packed_depth * kernels_.lanes);
      for (Index p = range.begin; p < range.end; ++p) {
        const Panels::Panel panel = panels_[p];
        const bool in_place = !transpose_b_ && panel.columns == panel.width && m_ <= tuning::kRowsInPlace;
        for (Index block = 0; block < depth_blocks_; ++block) {
          const Range depth = part(k_, depth_blocks_, block);
          if (in_place) {
            multiply(panel, depth, {0, row_tiles_}, b_ + depth.begin * n_ + panel.column, n_, nullptr);
          } else {
            pack_panel(panel, depth, packed.data());
            multiply(panel, depth, {0, row_tiles_}, packed.data(), panel.width, nullptr);
          }
        }
      }
    });
  }

  /// Many rows: everything is packed first, in parallel; then tasks are blocks of rows times groups of panels.
  void run_blocked() const {
    const Scratch<T> packed_b(panels_.padded_columns() * k_);
    const bool pack_a = transpose_a_ && n_ >= tuning::kPackAFrom;
    const Scratch<T> packed_a(pack_a ? m_ * packed_row() : 0);
    pack_all(packed_b.data(), packed_a.data());

    const Index row_blocks = std::min(ceil_div(m_, tuning::kRowsPerTask), task_count(work(m_, n_), m_));
    const Index groups =
        std::min(panels_.count(), task_count(work(m_ / row_blocks, n_), ceil_div(tuning::kTasks, row_blocks)));
    for_each_task(row_blocks * groups, [&](Index task) {
      const FlushDenormals mode;
      const Range tiles = part(row_tiles_, row_blocks, task / groups);
      const Range range = part(panels_.count(), groups, task % groups);
      for (Index block = 0; block < depth_blocks_; ++block) {
        const Range depth = part(k_, depth_blocks_, block);
        for (Index p = range.begin; p < range.end; ++p) {
          const Panels::Panel panel = panels_[p];
          multiply(panel, depth, tiles, packed_b.data() + panels_.offset(p, k_) + depth.begin * panel.width,
                   panel.width, packed_a.data());
        }
      }
    });
  }

  /// Tiles `tiles` of panel += op(a)[:, depth] b. packed_a: null, or op(a), transposed.
  void multiply(const Panels::Panel& panel, Range depth, Range tiles, const T* b, Index b_k, const T* packed_a) const {
    const Seg segment{0, 0, depth.size()};
    Tile<T> tile{};
    tile.segments = &segment;
    tile.segment_count = 1;
    tile.b = b;
    tile.b_k = b_k;
    tile.c_row = n_;
    tile.columns = panel.columns;
    tile.add = depth.begin > 0;
    tile.bias = bias_ != nullptr && depth.begin == 0 ? bias_ + panel.column : nullptr;
    for (Index t = tiles.begin; t < tiles.end; ++t) {
      const Range rows = part(m_, row_tiles_, t);
      if (packed_a != nullptr) {
        tile.a = packed_a + rows.begin * packed_row() + depth.begin;
        tile.a_row = packed_row();
        tile.a_k = 1;
      } else if (transpose_a_) {
        tile.a = a_ + depth.begin * m_ + rows.begin;
        tile.a_row = 1;
        tile.a_k = m_;
      } else {
        tile.a = a_ + rows.begin * k_ + depth.begin;
        tile.a_row = k_;
        tile.a_k = 1;
      }
      tile.c = c_ + rows.begin * n_ + panel.column;
      run_tile(kernels_, rows.size(), panel.vectors, tile);
    }
  }

  void pack_panel(const Panels::Panel& panel, Range depth, T* to) const {
    if (transpose_b_) {
      kernels_.transpose(depth.size(), panel.columns, panel.width, b_ + panel.column * k_ + depth.begin, k_, to,
                         panel.width);
      return;
    }
    for (Index k = depth.begin; k < depth.end; ++k, to += panel.width) {
      const T* const from = b_ + k * n_ + panel.column;
      std::fill(std::copy(from, from + panel.columns, to), to + panel.width, T{0});
    }
  }

  void pack_all(T* packed_b, T* packed_a) const {
    const Index pieces_b = panels_.count() * depth_blocks_;
    const Index pieces_a = packed_a != nullptr ? ceil_div(m_, tuning::kRowsPerTask) : 0;
    const auto pack_b_piece = [&](Index piece) {
      const Index p = piece / depth_blocks_;
      const Range depth = part(k_, depth_blocks_, piece % depth_blocks_);
      pack_panel(panels_[p], depth, packed_b + panels_.offset(p, k_) + depth.begin * panels_[p].width);
    };
    const auto pack_a_piece = [&](Index piece) {
      const Range rows = part(m_, pieces_a, piece);
      kernels_.transpose(rows.size(), k_, k_, a_ + rows.begin, m_, packed_a + rows.begin * packed_row(), packed_row());
    };
    const Index pieces = pieces_b + pieces_a;
    const Index tasks = task_count(
        tuning::kPackCost * static_cast<double>(k_) * static_cast<double>(n_ + (packed_a != nullptr ? m_ : 0)), pieces);
    for_each_task(tasks, [&](Index task) {
      const Range range = part(pieces, tasks, task);
      for (Index piece = range.begin; piece < range.end; ++piece) {
        piece < pieces_b ? pack_b_piece(piece) : pack_a_piece(piece - pieces_b);
      }
    });
  }

  /// Elements between rows of transposed a: k and a cache line, since rows a power of two apart compete for the same
  /// sets.
  [[nodiscard]] Index packed_row() const { return k_ + tuning::kCacheLine / static_cast<Index>(sizeof(T)); }

  const Microkernels<T>& kernels_;
  bool transpose_a_, transpose_b_;
  Index m_, n_, k_;
  const T *a_, *b_, *bias_;
  T* c_;
  Panels panels_;
  Index row_tiles_, depth_blocks_;
};

/// c^T = b a^T, and then c: a, the smaller one, is packed instead of b, which is read where it lies.
template <class T>
void multiply_turned(Index m, Index n, Index k, const T* a, const T* b, const T* bias, T* c) {
  const Scratch<T> turned(n * m);
  Product<T>(false, true, n, m, k, b, a, nullptr, turned.data()).run();
  const Microkernels<T>& kernels = microkernels<T>();
  const Index tasks =
      task_count(tuning::kTurnCost * static_cast<double>(m) * static_cast<double>(n), std::min(n, tuning::kTasks));
  for_each_task(tasks, [&](Index task) {
    const FlushDenormals mode;
    const Range columns = part(n, tasks, task);
    T* const to = c + columns.begin;
    kernels.transpose(m, columns.size(), columns.size(), turned.data() + columns.begin * m, m, to, n);
    if (bias == nullptr) return;
    for (Index i = 0; i < m; ++i) kernels.accumulate(columns.size(), bias + columns.begin, to + i * n);
  });
}

}  // namespace

template <class T>
void gemm(bool transpose_a, bool transpose_b, Index m, Index n, Index k, const T* a, const T* b, const T* bias, T* c) {
  if (m == 0 || n == 0) return;
  if (k == 0) {
    for (Index i = 0; i < m; ++i) {
      if (bias != nullptr) {
        std::copy(bias, bias + n, c + i * n);
      } else {
        std::fill(c + i * n, c + (i + 1) * n, T{0});
      }
    }
    return;
  }
  if (n == 1 && m > 1 && k >= tuning::kDotDepth) {
    // A matrix times a vector: turned round, so that vector registers run along the matrix.
    Product<T>(false, !transpose_a, 1, m, k, b, a, nullptr, c).run();
    if (bias != nullptr) std::for_each(c, c + m, [&](T& y) { y += *bias; });
    return;
  }
  if (transpose_b && !transpose_a && m >= tuning::kTurnFrom && m <= tuning::kTurnTo && n >= m) {
    multiply_turned(m, n, k, a, b, bias, c);
  } else {
    Product<T>(transpose_a, transpose_b, m, n, k, a, b, bias, c).run();
  }
}

template <class T>
void gemm_batched(Index batch, const Index* a_offset, const Index* b_offset, bool transpose_a, bool transpose_b,
                  Index m, Index n, Index k, const T* a, const T* b, T* c) {
  const auto one = [&](Index i) {
    gemm<T>(transpose_a, transpose_b, m, n, k, a + a_offset[i], b + b_offset[i], nullptr, c + i * m * n);
  };
  const double work = static_cast<double>(m) * static_cast<double>(n) * static_cast<double>(k);
  if (work >= tuning::kLargeProduct) {
    for (Index i = 0; i < batch; ++i) one(i);
    return;
  }
  if (batch == 0) return;
  const Index tasks = task_count(work * static_cast<double>(batch), batch);
  for_each_task(tasks, [&](Index task) {
    const Range range = part(batch, tasks, task);
    for (Index i = range.begin; i < range.end; ++i) one(i);
  });
}

template void gemm<float>(bool, bool, Index, Index, Index, const float*, const float*, const float*, float*);
template void gemm<double>(bool, bool, Index, Index, Index, const double*, const double*, const double*, double*);
template void gemm_batched<float>(Index, const Index*, const Index*, bool, bool, Index, Index, Index, const float*,
                                  const float*, float*);
template void gemm_batched<double>(Index, const Index*, const Index*, bool, bool, Index, Index, Index, const double*,
                                   const double*, double*);

}  // namespace tapestry::kernels
