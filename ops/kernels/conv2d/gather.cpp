#include <tapestry/ops/kernels/conv2d/gather.h>

#include <algorithm>
#include <type_traits>

#include <tapestry/autograd/base/dtype.h>
#include <tapestry/autograd/memory/scratch.h>
#include <tapestry/ops/kernels/conv2d/tuning.h>

namespace tapestry::kernels {
namespace {

/// The loop nest. A tile's rows are either neighbouring pixels of one image that have the same taps, or the same pixel
/// of several images: padding is skipped, never multiplied. Most pixels of a wide image are of the first kind, its
/// edges and those of small images of the second.
template <class T, class Out>
class GatherLoop {
 public:
  GatherLoop(const Gather<T, Out>& gather, const T* packed)
      : kernels_(microkernels<T>()),
        g_(gather),
        packed_(packed),
        panels_(kernels_, gather.group_out()),
        splits_(kMaySplit
                    ? std::max(Index{1}, std::min(ceil_div(gather.depth(), tuning::kPanelDepth<T>), gather.kernel_h))
                    : 1),
        image_tiles_(ceil_div(gather.images, std::min(panels_.tile_rows(), tuning::kImageRows<T>))),
        units_(image_tiles_ * gather.out_h) {}

  void run() const {
    // A piece is one panel of one group. Small weights stay in L2 all together, and a task then does everything that
    // its pixels need while these are near: groups share cache lines.
    const Index pieces = g_.groups * panels_.count();
    const bool resident =
        g_.groups * panels_.padded_columns() * g_.depth() * static_cast<Index>(sizeof(T)) <= tuning::kResidentWeights;
    const Index piece_tasks = resident ? 1 : pieces;
    const double work = static_cast<double>(g_.images * g_.out_channels) * static_cast<double>(g_.group_in()) *
                        static_cast<double>(g_.rows.taps()) * static_cast<double>(g_.columns.taps());
    const Index chunks = std::min(units_, task_count(work / static_cast<double>(piece_tasks),
                                                     ceil_div(tuning::kTasks, std::min(tuning::kTasks, piece_tasks))));
    for_each_task(piece_tasks * chunks, [&](Index task) {
      const TileTask<T> mode(kernels_);
      const Scratch<Seg> segments(g_.rows.longest() * g_.columns.longest());
      const Range mine = part(pieces, piece_tasks, task / chunks);
      const Range units = part(units_, chunks, task % chunks);
      for (Index piece = mine.begin; piece < mine.end; ++piece) {
        for (Index split = 0; split < splits_; ++split) {
          run_units(piece / panels_.count(), piece % panels_.count(), split, units, segments.data());
        }
      }
    });
  }

 private:
  static constexpr bool kMaySplit = sizeof(Out) >= sizeof(T);  // a bfloat16 result is no place for partial sums

  /// A unit is one output row of one tile's images.
  void run_units(Index group, Index p, Index split, Range units, Seg* segments) const {
    const Panels::Panel panel = panels_[p];
    const Range taps = part(g_.kernel_h, splits_, split);
    Tile<T, Out> tile{};
    tile.segments = segments;
    tile.a_k = 1;
    tile.b = packed_ + group * panels_.padded_columns() * g_.depth() + panels_.offset(p, g_.depth());
    tile.b_k = panel.width;
    tile.columns = panel.columns;
    tile.add = split > 0;
    const Index column = group * g_.group_out() + panel.column;
    tile.bias = g_.bias != nullptr && split == 0 ? g_.bias + column : nullptr;
    for (Index unit = units.begin; unit < units.end; ++unit) {
      const Index first = unit / g_.out_h, i = unit % g_.out_h;
      const Range images = part(g_.images, image_tiles_, first);
      for (const PixelRun& run : g_.columns.pixel_runs()) {
        run_pixels(tile, images, i, run, taps, panel.vectors, group, column, segments);
      }
    }
  }

  /// The run's pixels of row i of all the images, in whichever way takes fewer tiles.
  void run_pixels(Tile<T, Out>& tile, Range images, Index i, const PixelRun& run, Range taps, Index vectors,
                  Index group, Index column, Seg* segments) const {
    const Index in_image = g_.in_h * g_.in_w * g_.in_channels, out_image = g_.out_h * g_.out_w * g_.out_channels;
    const Index in_step = g_.columns.shift() * g_.in_channels, out_step = g_.columns.step() * g_.out_channels;
    const T* const x = g_.x + images.begin * in_image + group * g_.group_in();
    Out* const y = g_.y + images.begin * out_image + (i * g_.out_w + run.first) * g_.out_channels + column;
    tile.segment_count = list_segments(i, run.first, taps, tile.b_k, segments);
    const Index pixel_tiles = ceil_div(run.count, panels_.tile_rows());
    if (images.size() * pixel_tiles < run.count) {
      tile.a_row = in_step;
      tile.c_row = out_step;
      for (Index n = 0; n < images.size(); ++n) {
        for (Index t = 0; t < pixel_tiles; ++t) {
          const Range pixels = part(run.count, pixel_tiles, t);
          tile.a = x + n * in_image + pixels.begin * in_step;
          tile.c = y + n * out_image + pixels.begin * out_step;
          run_tile(kernels_, pixels.size(), vectors, tile);
        }
      }
    } else {
      tile.a_row = in_image;
      tile.c_row = out_image;
      for (Index p = 0; p < run.count; ++p) {
        tile.a = x + p * in_step;
        tile.c = y + p * out_step;
        run_tile(kernels_, images.size(), vectors, tile);
      }
    }
  }

  /// The runs of k of output pixel (i, j) within the kernel rows `taps`.
  Index list_segments(Index i, Index j, Range taps, Index width, Seg* segments) const {
    const Index channels = g_.group_in();
    Index count = 0;
    for (const TapRun& row : g_.rows[i]) {
      if (row.tap < taps.begin || row.tap >= taps.end) continue;
      for (const TapRun& column : g_.columns[j]) {
        segments[count++] = {(row.input * g_.in_w + column.input) * g_.in_channels,
                             (row.tap * g_.kernel_w + column.tap) * channels * width, column.count * channels};
      }
    }
    return count;
  }

  const Microkernels<T>& kernels_;
  const Gather<T, Out>& g_;
  const T* packed_;
  Panels panels_;
  Index splits_, image_tiles_, units_;
};

/// Runs pack(group, panel, first element of its place) for every panel, in parallel.
template <class T, class Out, class F>
void pack_panels(const Gather<T, Out>& gather, T* packed, const F& pack) {
  const Panels panels(microkernels<T>(), gather.group_out());
  const Index pieces = gather.groups * panels.count(), depth = gather.depth();
  const double work = tuning::kWeightPackCost * static_cast<double>(gather.out_channels) * static_cast<double>(depth);
  const Index tasks = task_count(work, pieces);
  for_each_task(tasks, [&](Index task) {
    const Range range = part(pieces, tasks, task);
    for (Index piece = range.begin; piece < range.end; ++piece) {
      const Index group = piece / panels.count(), p = piece % panels.count();
      pack(group, panels[p], packed + group * panels.padded_columns() * depth + panels.offset(p, depth));
    }
  });
}

}  // namespace

template <class T, class Out>
Gather<T, Out> forward_gather(const Conv2dShape& s, const T* x, const typename SumOf<T>::Type* bias, Out* y) {
  const bool merge = s.groups == 1;
  return {s.n,
          s.groups,
          s.h,
          s.w,
          s.c,
          s.oh,
          s.ow,
          s.k,
          s.r,
          s.s,
          TapTable::forward(s.oh, s.h, s.r, s.stride_h, s.pad_top, s.dilation_h, false),
          TapTable::forward(s.ow, s.w, s.s, s.stride_w, s.pad_left, s.dilation_w, merge),
          x,
          bias,
          y};
}

template <class T, class Out>
Gather<T, Out> input_grad_gather(const Conv2dShape& s, const T* dy, Out* dx) {
  const bool merge = s.groups == 1;
  return {s.n,
          s.groups,
          s.oh,
          s.ow,
          s.k,
          s.h,
          s.w,
          s.c,
          s.r,
          s.s,
          TapTable::input_grad(s.h, s.oh, s.r, s.stride_h, s.pad_top, s.dilation_h, false),
          TapTable::input_grad(s.w, s.ow, s.s, s.stride_w, s.pad_left, s.dilation_w, merge),
          dy,
          nullptr,
          dx};
}

template <class T, class Out>
Index packed_size(const Gather<T, Out>& gather) {
  return gather.groups * Panels(microkernels<T>(), gather.group_out()).padded_columns() * gather.depth();
}

template <class T, class Out>
void pack_forward(const Gather<T, Out>& gather, const T* w, T* packed) {
  const Index depth = gather.depth();
  pack_panels(gather, packed, [&](Index group, const Panels::Panel& panel, T* to) {
    transpose(depth, panel.columns, panel.width, w + (group * gather.group_out() + panel.column) * depth, depth, to,
              panel.width);
  });
}

template <class T, class Out>
void pack_input_grad(const Gather<T, Out>& gather, const T* w, T* packed) {
  const Index taps = gather.kernel_h * gather.kernel_w, columns = gather.group_out();
  pack_panels(gather, packed, [&](Index group, const Panels::Panel& panel, T* to) {
    for (Index tap = taps - 1; tap >= 0; --tap) {  // the tables count kernel coordinates from the far end
      for (Index p = 0; p < gather.group_in(); ++p, to += panel.width) {
        const T* const from = w + ((group * gather.group_in() + p) * taps + tap) * columns + panel.column;
        std::fill(std::copy(from, from + panel.columns, to), to + panel.width, T{0});
      }
    }
  });
}

template <class T, class Out>
void run_gather(const Gather<T, Out>& gather, const T* packed) {
  GatherLoop<T, Out>(gather, packed).run();
}

template Gather<float> forward_gather(const Conv2dShape&, const float*, const float*, float*);
template Gather<double> forward_gather(const Conv2dShape&, const double*, const double*, double*);
template Gather<Pair, float> forward_gather(const Conv2dShape&, const Pair*, const float*, float*);
template Gather<Pair, BFloat16> forward_gather(const Conv2dShape&, const Pair*, const float*, BFloat16*);
template Gather<float> input_grad_gather(const Conv2dShape&, const float*, float*);
template Gather<double> input_grad_gather(const Conv2dShape&, const double*, double*);
template Gather<Pair, float> input_grad_gather(const Conv2dShape&, const Pair*, float*);
template Gather<Pair, BFloat16> input_grad_gather(const Conv2dShape&, const Pair*, BFloat16*);
template Index packed_size(const Gather<float>&);
template Index packed_size(const Gather<double>&);
template Index packed_size(const Gather<Pair, float>&);
template Index packed_size(const Gather<Pair, BFloat16>&);
template void pack_forward(const Gather<float>&, const float*, float*);
template void pack_forward(const Gather<double>&, const double*, double*);
template void pack_forward(const Gather<Pair, float>&, const Pair*, Pair*);
template void pack_forward(const Gather<Pair, BFloat16>&, const Pair*, Pair*);
template void pack_input_grad(const Gather<float>&, const float*, float*);
template void pack_input_grad(const Gather<double>&, const double*, double*);
template void pack_input_grad(const Gather<Pair, float>&, const Pair*, Pair*);
template void pack_input_grad(const Gather<Pair, BFloat16>&, const Pair*, Pair*);
template void run_gather(const Gather<float>&, const float*);
template void run_gather(const Gather<double>&, const double*);
template void run_gather(const Gather<Pair, float>&, const Pair*);
template void run_gather(const Gather<Pair, BFloat16>&, const Pair*);

}  // namespace tapestry::kernels
