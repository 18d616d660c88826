#include <tapestry/ops/kernels/conv2d/winograd.h>

#include <algorithm>

#include <tapestry/autograd/memory/scratch.h>
#include <tapestry/ops/kernels/conv2d/tuning.h>
#include <tapestry/ops/kernels/conv2d/winograd_squares.h>
#include <tapestry/ops/kernels/conv2d/winograd_transforms.h>
#include <tapestry/ops/kernels/gemm/blocking.h>
#include <tapestry/ops/kernels/simd/flush_denormals.h>

namespace tapestry::kernels {
namespace {

constexpr Index kTapRows = 3, kTaps = 9;

/// The convolution and its input gradient alike: y [images, out_h, out_w, out_channels] from x [images, in_h, in_w,
/// in_channels], that starts pad pixels behind y and counts as 0 outside. pad may be negative.
struct Filtering {
  Index images;
  Index in_h, in_w, in_channels;
  Index out_h, out_w, out_channels;
  Index pad_top, pad_left;
};

Filtering forward_filtering(const Conv2dShape& s) {
  return {s.n, s.h, s.w, s.c, s.oh, s.ow, s.k, s.pad_top, s.pad_left};
}
Filtering input_grad_filtering(const Conv2dShape& s) {
  return {s.n, s.oh, s.ow, s.k, s.h, s.w, s.c, kTapRows - 1 - s.pad_top, kTapRows - 1 - s.pad_left};
}

/// Transformed taps are [product][panel of out_channels][in_channel][width].
Index plane_of_taps(const Filtering& f) {
  return Panels(microkernels<float>(), f.out_channels).padded_columns() * f.in_channels;
}

/// read(panel, input channels, to) lays the taps out as [tap][input channel][width].
template <class F>
void pack(const Filtering& f, float* packed, const F& read) {
  const Panels panels(microkernels<float>(), f.out_channels);
  const Index blocks = ceil_div(f.in_channels, tuning::kWinogradPackChannels), pieces = panels.count() * blocks;
  const Index plane = plane_of_taps(f);
  const Index tasks = task_count(tuning::kWinogradPackCost * static_cast<double>(plane), pieces);
  for_each_task(tasks, [&](Index task) {
    const FlushDenormals mode;
    const Range range = part(pieces, tasks, task);
    for (Index piece = range.begin; piece < range.end; ++piece) {
      const Index p = piece / blocks;
      const Panels::Panel panel = panels[p];
      const Range channels = part(f.in_channels, blocks, piece % blocks);
      const Index size = channels.size() * panel.width;
      const Scratch<float> taps(kTaps * size);
      read(panel, channels, taps.data());
      const float* from[kTaps];
      for (Index tap = 0; tap < kTaps; ++tap) from[tap] = taps.data() + tap * size;
      float* to[kProducts];
      for (Index product = 0; product < kProducts; ++product) {
        to[product] = packed + product * plane + panels.offset(p, f.in_channels) + channels.begin * panel.width;
      }
      winograd_transforms().taps(size, from, to);
    }
  });
}

void pack_forward(const Filtering& f, const float* w, float* packed) {
  pack(f, packed, [&](const Panels::Panel& panel, Range channels, float* to) {
    for (Index tap = 0; tap < kTaps; ++tap, to += channels.size() * panel.width) {
      microkernels<float>().transpose(channels.size(), panel.columns, panel.width,
                                      w + (panel.column * kTaps + tap) * f.in_channels + channels.begin,
                                      kTaps * f.in_channels, to, panel.width);
    }
  });
}

void pack_input_grad(const Filtering& f, const float* w, float* packed) {
  pack(f, packed, [&](const Panels::Panel& panel, Range channels, float* to) {
    for (Index tap = kTaps - 1; tap >= 0; --tap) {
      for (Index p = channels.begin; p < channels.end; ++p, to += panel.width) {
        const float* const from = w + (p * kTaps + tap) * f.out_channels + panel.column;
        std::fill(std::copy(from, from + panel.columns, to), to + panel.width, 0.0F);
      }
    }
  });
}

/// Squares are taken in blocks: their patches are transformed, multiplied with the taps, one matrix product for each of
/// the 16 places of a patch, and transformed back, all within L2.
void run(const Filtering& f, const float* x, const float* packed, const float* bias, float* y) {
  const Squares squares{f.images, f.out_h, f.out_w};
  const Panels panels(microkernels<float>(), f.out_channels);
  const Index blocks = ceil_div(squares.count(), tuning::kWinogradSquares);
  const Index tasks = std::min(blocks, tuning::kTasks), most = ceil_div(squares.count(), blocks);
  for_each_task(tasks, [&](Index task) {
    const FlushDenormals mode;
    const Planes patches{most, f.in_channels}, results{most, f.out_channels};
    const Scratch<float> v(patches.size()), m(results.size()), zeros(f.in_channels), nowhere(f.out_channels);
    std::fill_n(zeros.data(), f.in_channels, 0.0F);
    const Pixels<const float> in{x, f.in_h, f.in_w, f.in_channels, zeros.data()};
    const Pixels<float> out{y, f.out_h, f.out_w, f.out_channels, nowhere.data()};

    const auto transform_patches = [&](Range block) {
      const float* from[kProducts];
      float* to[kProducts];
      for (Index i = 0; i < block.size(); ++i) {
        const Corner at(squares, block.begin + i);
        in.list<kPatch>(at.image, at.row - f.pad_top, at.column - f.pad_left, from);
        patches.list(v.data(), i, to);
        winograd_transforms().patch(f.in_channels, from, to);
      }
    };
    const auto multiply = [&](Index count) {
      const Seg segment{0, 0, f.in_channels};
      Tile<float> tile{};
      tile.segments = &segment;
      tile.segment_count = 1;
      tile.a_row = patches.row();
      tile.a_k = 1;
      tile.c_row = results.row();
      const Index tiles = ceil_div(count, panels.tile_rows());
      for (Index product = 0; product < kProducts; ++product) {
        for (Index p = 0; p < panels.count(); ++p) {
          const Panels::Panel panel = panels[p];
          tile.b = packed + product * plane_of_taps(f) + panels.offset(p, f.in_channels);
          tile.b_k = panel.width;
          tile.columns = panel.columns;
          // What is added to this one product gets into all four results, once.
          tile.bias = bias != nullptr && product == kPatch + 1 ? bias + panel.column : nullptr;
          for (Index t = 0; t < tiles; ++t) {
            const Range rows = part(count, tiles, t);
            tile.a = v.data() + product * patches.plane() + rows.begin * patches.row();
            tile.c = m.data() + product * results.plane() + rows.begin * results.row() + panel.column;
            run_tile(microkernels<float>(), rows.size(), panel.vectors, tile);
          }
        }
      }
    };
    const auto transform_results = [&](Range block) {
      float* from[kProducts];
      float* to[kSquare * kSquare];
      for (Index i = 0; i < block.size(); ++i) {
        const Corner at(squares, block.begin + i);
        results.list(m.data(), i, from);
        out.list<kSquare>(at.image, at.row, at.column, to);
        winograd_transforms().result(f.out_channels, from, to);
      }
    };

    const Range range = part(blocks, tasks, task);
    for (Index b = range.begin; b < range.end; ++b) {
      const Range block = part(squares.count(), blocks, b);
      transform_patches(block);
      multiply(block.size());
      transform_results(block);
    }
  });
}

}  // namespace

bool is_winograd(const Conv2dShape& s) {
  return s.r == kTapRows && s.s == kTapRows && s.stride_h == 1 && s.stride_w == 1 && s.dilation_h == 1 &&
         s.dilation_w == 1 && s.groups == 1;
}

void winograd_conv2d(const Conv2dShape& s, const float* x, const float* w, const float* bias, float* y) {
  if (s.n * s.oh * s.ow * s.k == 0) return;
  const Filtering f = forward_filtering(s);
  const Scratch<float> packed(kProducts * plane_of_taps(f));
  pack_forward(f, w, packed.data());
  run(f, x, packed.data(), bias, y);
}

void winograd_input_grad(const Conv2dShape& s, const float* dy, const float* w, float* dx) {
  if (s.n * s.h * s.w * s.c == 0) return;
  const Filtering f = input_grad_filtering(s);
  const Scratch<float> packed(kProducts * plane_of_taps(f));
  pack_input_grad(f, w, packed.data());
  run(f, dy, packed.data(), nullptr, dx);
}

}  // namespace tapestry::kernels
