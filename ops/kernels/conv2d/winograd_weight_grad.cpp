#include <algorithm>

#include <tapestry/autograd/memory/scratch.h>
#include <tapestry/ops/kernels/conv2d/tuning.h>
#include <tapestry/ops/kernels/conv2d/winograd.h>
#include <tapestry/ops/kernels/conv2d/winograd_squares.h>
#include <tapestry/ops/kernels/conv2d/winograd_transforms.h>
#include <tapestry/ops/kernels/gemm/blocking.h>
#include <tapestry/ops/kernels/simd/flush_denormals.h>

namespace tapestry::kernels {
namespace {

constexpr Index kTaps = 9;

/// The taps' gradient before it is transformed back: for each of the 16 places of a patch the products of patches of x,
/// transposed, with squares of dy, channels x filters, summed over squares. Phase one: tasks take (segment of squares,
/// block of channels, block of filters) and leave private sums [product][channel][filter]. Phase two adds the segments
/// in order, transforms 16 sums to 9 taps and transposes.
class WeightGrad {
 public:
  WeightGrad(const Conv2dShape& shape, const float* x, const float* dy, float* dw)
      : kernels_(microkernels<float>()),
        s_(shape),
        x_(x),
        dy_(dy),
        dw_(dw),
        squares_{shape.n, shape.oh, shape.ow},
        channel_blocks_(ceil_div(shape.c, tuning::kWinogradCellChannels)),
        filter_blocks_(ceil_div(shape.k, tuning::kWinogradCellFilters)) {
    const Index cells = channel_blocks_ * filter_blocks_;
    const double work = static_cast<double>(squares_.count() * kProducts) * static_cast<double>(s_.c * s_.k);
    segments_ = std::min(ceil_div(squares_.count(), tuning::kWinogradGradientSquares),
                         task_count(work / static_cast<double>(cells), ceil_div(tuning::kSumTasks, cells)));
  }

  void run() const {
    const Index cells = channel_blocks_ * filter_blocks_;
    const Scratch<float> partial(segments_ * segment_size());
    for_each_task(cells * segments_, [&](Index task) {
      const FlushDenormals mode;
      const Cell cell = this->cell(task % cells);
      sum_segment(cell, part(squares_.count(), segments_, task / cells),
                  partial.data() + task / cells * segment_size() + cell.offset);
    });
    for_each_task(cells, [&](Index task) {
      const FlushDenormals mode;
      finish(cell(task), partial.data());
    });
  }

 private:
  struct Cell {
    Range channels, filters;
    Index width;   ///< filters, padded
    Index offset;  ///< of its sums within a segment's
  };

  [[nodiscard]] Index segment_size() const {
    return kProducts * s_.c * ceil_div(s_.k, tuning::kWinogradColumns) * tuning::kWinogradColumns;
  }

  [[nodiscard]] Cell cell(Index i) const {
    const Range channels = part(s_.c, channel_blocks_, i % channel_blocks_);
    const Range columns = part(ceil_div(s_.k, tuning::kWinogradColumns), filter_blocks_, i / channel_blocks_);
    const Index begin = columns.begin * tuning::kWinogradColumns, width = columns.size() * tuning::kWinogradColumns;
    return {
        channels, {begin, std::min(begin + width, s_.k)}, width, kProducts * (s_.c * begin + channels.begin * width)};
  }

  /// sums = the cell's sums over `squares`, in blocks.
  void sum_segment(const Cell& cell, Range squares, float* sums) const {
    const Planes patches{std::min(tuning::kWinogradGradientSquares, squares.size()), cell.channels.size()};
    const Planes gradients{patches.rows, cell.width};
    const Scratch<float> v(patches.size()), g(gradients.size()), zeros(std::max(s_.c, s_.k));
    std::fill_n(zeros.data(), std::max(s_.c, s_.k), 0.0F);
    if (cell.filters.size() < cell.width) std::fill_n(g.data(), gradients.size(), 0.0F);  // columns beyond the last one
    const Pixels<const float> x{x_ + cell.channels.begin, s_.h, s_.w, s_.c, zeros.data()};
    const Pixels<const float> dy{dy_ + cell.filters.begin, s_.oh, s_.ow, s_.k, zeros.data()};
    const Index blocks = ceil_div(squares.size(), tuning::kWinogradGradientSquares);
    for (Index b = 0; b < blocks; ++b) {
      const Range block = part(squares.size(), blocks, b);
      const float* from[kProducts];
      float* to[kProducts];
      for (Index i = 0; i < block.size(); ++i) {
        const Corner at(squares_, squares.begin + block.begin + i);
        x.list<kPatch>(at.image, at.row - s_.pad_top, at.column - s_.pad_left, from);
        patches.list(v.data(), i, to);
        winograd_transforms().patch(cell.channels.size(), from, to);
        dy.list<kSquare>(at.image, at.row, at.column, from);
        gradients.list(g.data(), i, to);
        winograd_transforms().result_grad(cell.filters.size(), from, to);
      }
      multiply(cell, block.size(), patches, v.data(), gradients, g.data(), b > 0, sums);
    }
  }

  void multiply(const Cell& cell, Index count, const Planes& patches, const float* v, const Planes& gradients,
                const float* g, bool add, float* sums) const {
    const Panels panels(kernels_, cell.width);
    const Seg segment{0, 0, count};
    Tile<float> tile{};
    tile.segments = &segment;
    tile.segment_count = 1;
    tile.a_row = 1;
    tile.a_k = patches.row();
    tile.b_k = gradients.row();
    tile.c_row = cell.width;
    tile.add = add;
    for (Index product = 0; product < kProducts; ++product, sums += cell.channels.size() * cell.width) {
      for (Index p = 0; p < panels.count(); ++p) {
        const Panels::Panel panel = panels[p];
        tile.b = g + product * gradients.plane() + panel.column;
        tile.columns = panel.columns;
        const Index tiles = ceil_div(cell.channels.size(), kernels_.max_rows[panel.vectors]);
        for (Index t = 0; t < tiles; ++t) {
          const Range rows = part(cell.channels.size(), tiles, t);
          tile.a = v + product * patches.plane() + rows.begin;
          tile.c = sums + rows.begin * cell.width + panel.column;
          run_tile(kernels_, rows.size(), panel.vectors, tile);
        }
      }
    }
  }

  /// Adds the segments' sums of a cell, in order, and writes what they are of dw [filter][tap][channel].
  void finish(const Cell& cell, float* partial) const {
    const Index rows = cell.channels.size(), size = rows * cell.width;
    float* const sums = partial + cell.offset;
    for (Index segment = 1; segment < segments_; ++segment) {
      kernels_.accumulate(kProducts * size, sums + segment * segment_size(), sums);
    }
    const Scratch<float> taps(kTaps * size);
    const float* from[kProducts];
    float* to[kTaps];
    for (Index product = 0; product < kProducts; ++product) from[product] = sums + product * size;
    for (Index tap = 0; tap < kTaps; ++tap) to[tap] = taps.data() + tap * size;
    winograd_transforms().taps_grad(size, from, to);
    for (Index tap = 0; tap < kTaps; ++tap) {
      kernels_.transpose(cell.filters.size(), rows, rows, to[tap], cell.width,
                         dw_ + (cell.filters.begin * kTaps + tap) * s_.c + cell.channels.begin, kTaps * s_.c);
    }
  }

  const Microkernels<float>& kernels_;
  const Conv2dShape& s_;
  const float *x_, *dy_;
  float* dw_;
  Squares squares_;
  Index channel_blocks_, filter_blocks_;
  Index segments_ = 1;
};

}  // namespace

void winograd_weight_grad(const Conv2dShape& s, const float* x, const float* dy, float* dw) {
  const Index size = s.k * kTaps * s.c;
  if (size == 0) return;
  if (s.n * s.oh * s.ow == 0) {
    std::fill(dw, dw + size, 0.0F);
    return;
  }
  WeightGrad(s, x, dy, dw).run();
}

}  // namespace tapestry::kernels
