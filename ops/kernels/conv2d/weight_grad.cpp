#include <tapestry/ops/kernels/conv2d/weight_grad.h>

#include <algorithm>
#include <vector>

#include <tapestry/autograd/memory/scratch.h>
#include <tapestry/ops/kernels/conv2d/tuning.h>
#include <tapestry/ops/kernels/gemm/blocking.h>
#include <tapestry/ops/kernels/gemm/microkernel.h>
#include <tapestry/ops/kernels/simd/flush_denormals.h>

namespace tapestry::kernels {
namespace {

/// dw as products of x, transposed, with dy: for every tap, channels x filters, summed over output pixels. Channels are
/// the rows of register tiles, filters their columns. Phase one: tasks take (segment of output rows, group, panel of
/// filters, block of channels) and leave private sums [tap][channel][filter]. Phase two adds the segments in order and
/// transposes.
///
/// T: a number, or the Pair of a pixel's numbers in two images as one element; images are then counted in pairs.
template <class T>
class WeightGrad {
  using Sum = typename SumOf<T>::Type;

 public:
  WeightGrad(const Conv2dShape& shape, const T* x, const T* dy, Sum* dw)
      : kernels_(microkernels<T>()),
        sums_(microkernels<Sum>()),
        s_(shape),
        x_(x),
        dy_(dy),
        dw_(dw),
        channels_(shape.c / shape.groups),
        filters_(shape.k / shape.groups),
        taps_(shape.r * shape.s),
        panels_(kernels_, filters_),
        channel_blocks_(ceil_div(channels_, std::max(tuning::kSumRows / taps_, tuning::kFewestChannels))),
        block_rows_(std::clamp(tuning::kGradientBlock / (nominal_width() * shape.ow), Index{1},
                               std::max(Index{1}, shape.n * shape.oh))) {
    const double work =
        static_cast<double>(s_.n * s_.oh * s_.ow) * static_cast<double>(s_.k) * static_cast<double>(channels_ * taps_);
    // The order of additions hangs on the number of segments, so it must not hang on the width of panels.
    const Index cells = s_.groups * ceil_div(filters_, tuning::kNominalPanel) * channel_blocks_;
    segments_ =
        std::min(s_.n * s_.oh, task_count(work / static_cast<double>(cells), ceil_div(tuning::kSumTasks, cells)));
    list_pieces();
  }

  void run() const {
    const Index cells = s_.groups * panels_.count() * channel_blocks_;
    const Scratch<Sum> partial(segments_ * segment_size());
    for_each_task(cells * segments_, [&](Index task) {
      const TileTask<T> mode(kernels_);
      const Cell cell = this->cell(task % cells);
      sum_segment(cell, part(s_.n * s_.oh, segments_, task / cells),
                  partial.data() + task / cells * segment_size() + cell.offset);
    });
    for_each_task(cells, [&](Index task) {
      const FlushDenormals mode;
      finish(cell(task), partial.data());
    });
  }

 private:
  struct Cell {
    Index group;
    Panels::Panel panel;
    Range channels;
    Index offset;  ///< of its sums within a segment's
  };

  /// Columns of a panel if registers had 16 lanes: what the order of additions hangs on is the same on all.
  [[nodiscard]] Index nominal_width() const { return std::min(ceil_div(filters_, 16) * 16, tuning::kNominalPanel); }
  [[nodiscard]] Index segment_size() const { return s_.groups * taps_ * channels_ * panels_.padded_columns(); }

  [[nodiscard]] Cell cell(Index i) const {
    const Index group = i / (panels_.count() * channel_blocks_), p = i / channel_blocks_ % panels_.count();
    const Panels::Panel panel = panels_[p];
    const Range channels = part(channels_, channel_blocks_, i % channel_blocks_);
    const Index depth = taps_ * channels_;
    return {group, panel, channels,
            group * depth * panels_.padded_columns() + panels_.offset(p, depth) + taps_ * channels.begin * panel.width};
  }

  /// Neighbouring taps of a kernel row, and output columns for which all of them lie inside the image.
  struct Piece {
    Index first, taps;
    Range columns;
  };

  /// Of a kernel row, each tap and its columns. The pixels that the taps meet at one output pixel lie side by side, so
  /// where channels are few (a stem has three), the columns that have all taps make one piece with the rows of all.
  void list_pieces() {
    Range all{0, s_.ow};
    for (Index t = 0; t < s_.s; ++t) {
      const Range columns = valid_columns(t);
      all = {std::max(all.begin, columns.begin), std::min(all.end, columns.end)};
    }
    const bool merge = channels_ < tuning::kMergeBelow && s_.groups == 1 && s_.dilation_w == 1 && all.begin < all.end;
    if (merge) pieces_.push_back({0, s_.s, all});
    for (Index t = 0; t < s_.s; ++t) {
      const Range columns = valid_columns(t);
      if (!merge) {
        pieces_.push_back({t, 1, columns});
      } else {
        pieces_.push_back({t, 1, {columns.begin, all.begin}});
        pieces_.push_back({t, 1, {all.end, columns.end}});
      }
    }
    std::erase_if(pieces_, [](const Piece& piece) { return piece.columns.size() == 0; });
  }

  /// Output columns whose tap t lies inside the image.
  [[nodiscard]] Range valid_columns(Index t) const {
    const Index left = s_.pad_left - t * s_.dilation_w;  // x column = output column * stride - left
    const Index begin = std::clamp(ceil_div(std::max(left, Index{0}), s_.stride_w), Index{0}, s_.ow);
    const Index limit = s_.w + left;
    return {begin, std::clamp(limit > 0 ? ceil_div(limit, s_.stride_w) : 0, begin, s_.ow)};
  }

  /// sums = the cell's part of dw from output rows `rows`, those of all images being numbered through; in blocks.
  void sum_segment(const Cell& cell, Range rows, Sum* sums) const {
    // A panel of all filters lies in dy as it would be packed.
    const bool in_place = s_.groups == 1 && cell.panel.width == s_.k;
    const Scratch<T> packed(in_place ? 0 : block_rows_ * s_.ow * cell.panel.width);
    const Scratch<Seg> segments(block_rows_);
    std::fill_n(sums, taps_ * cell.channels.size() * cell.panel.width, Sum{0});
    for (Index begin = rows.begin; begin < rows.end; begin += block_rows_) {
      const Range block{begin, std::min(begin + block_rows_, rows.end)};
      if (!in_place) pack_rows(cell, block, packed.data());
      const T* const gradients = in_place ? dy_ + block.begin * s_.ow * s_.k : packed.data();
      for (Index row = 0; row < s_.r; ++row) {
        for (const Piece& piece : pieces_) {
          const Index count = list_segments(block, row, piece, cell.panel.width, segments.data());
          if (count == 0) continue;
          multiply(cell, {segments.data(), count}, gradients, piece.taps * cell.channels.size(),
                   sums + (row * s_.s + piece.first) * cell.channels.size() * cell.panel.width);
        }
      }
    }
  }

  void pack_rows(const Cell& cell, Range rows, T* to) const {
    const T* from = dy_ + rows.begin * s_.ow * s_.k + cell.group * filters_ + cell.panel.column;
    for (Index pixel = 0; pixel < rows.size() * s_.ow; ++pixel, from += s_.k, to += cell.panel.width) {
      std::fill(std::copy(from, from + cell.panel.columns, to), to + cell.panel.width, T{0});
    }
  }

  /// Runs of output pixels of the block that have the piece's taps of this kernel row; runs that meet in x and in dy
  /// become one.
  Index list_segments(Range rows, Index tap_row, const Piece& piece, Index width, Seg* segments) const {
    const Range columns = piece.columns;
    const Index x_column = columns.begin * s_.stride_w - s_.pad_left + piece.first * s_.dilation_w;
    Index count = 0;
    for (Index row = rows.begin; row < rows.end; ++row) {
      const Index x_row = row % s_.oh * s_.stride_h - s_.pad_top + tap_row * s_.dilation_h;
      if (x_row < 0 || x_row >= s_.h) continue;
      const Seg segment{((row / s_.oh * s_.h + x_row) * s_.w + x_column) * s_.c,
                        ((row - rows.begin) * s_.ow + columns.begin) * width, columns.size()};
      if (count > 0) {
        Seg& last = segments[count - 1];
        if (segment.a == last.a + last.length * s_.stride_w * s_.c && segment.b == last.b + last.length * width) {
          last.length += segment.length;
          continue;
        }
      }
      segments[count++] = segment;
    }
    return count;
  }

  struct Segments {
    const Seg* first;
    Index count;
  };

  /// Adds to `rows` sums: those of the channels of one tap, or of several taps side by side.
  void multiply(const Cell& cell, Segments segments, const T* gradients, Index rows, Sum* sums) const {
    Tile<T, Sum> tile{};
    tile.segments = segments.first;
    tile.segment_count = segments.count;
    tile.a_row = 1;
    tile.a_k = s_.stride_w * s_.c;
    tile.b = gradients;
    tile.b_k = cell.panel.width;
    tile.c_row = cell.panel.width;
    tile.columns = cell.panel.width;
    tile.add = true;
    const Index tiles = ceil_div(rows, kernels_.max_rows[cell.panel.vectors]);
    for (Index t = 0; t < tiles; ++t) {
      const Range of_tile = part(rows, tiles, t);
      tile.a = x_ + cell.group * channels_ + cell.channels.begin + of_tile.begin;
      tile.c = sums + of_tile.begin * cell.panel.width;
      run_tile(kernels_, of_tile.size(), cell.panel.vectors, tile);
    }
  }

  /// Adds the segments' sums of a cell, in order, and writes them to dw [filter][tap][channel].
  void finish(const Cell& cell, Sum* partial) const {
    const Index rows = cell.channels.size(), width = cell.panel.width;
    Sum* const sums = partial + cell.offset;
    for (Index segment = 1; segment < segments_; ++segment) {
      sums_.accumulate(taps_ * rows * width, sums + segment * segment_size(), sums);
    }
    Sum* const to = dw_ + (cell.group * filters_ + cell.panel.column) * taps_ * channels_ + cell.channels.begin;
    for (Index tap = 0; tap < taps_; ++tap) {
      sums_.transpose(cell.panel.columns, rows, rows, sums + tap * rows * width, width, to + tap * channels_,
                      taps_ * channels_);
    }
  }

  const Microkernels<T>& kernels_;
  const Microkernels<Sum>& sums_;
  const Conv2dShape& s_;
  const T *x_, *dy_;
  Sum* dw_;
  Index channels_, filters_, taps_;  // per group
  Panels panels_;
  Index channel_blocks_;
  Index block_rows_;
  Index segments_ = 1;
  std::vector<Piece> pieces_;  // of a kernel row
};

}  // namespace

template <class T>
void tiled_weight_grad(const Conv2dShape& s, const T* x, const T* dy, typename SumOf<T>::Type* dw) {
  WeightGrad<T>(s, x, dy, dw).run();
}

template void tiled_weight_grad(const Conv2dShape&, const float*, const float*, float*);
template void tiled_weight_grad(const Conv2dShape&, const double*, const double*, double*);
template void tiled_weight_grad(const Conv2dShape&, const Pair*, const Pair*, float*);

}  // namespace tapestry::kernels
