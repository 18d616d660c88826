#include <tapestry/ops/kernels/conv2d/depthwise.h>

#include <algorithm>

#include <tapestry/autograd/memory/scratch.h>
#include <tapestry/ops/kernels/conv2d/tuning.h>
#include <tapestry/ops/kernels/simd/flush_denormals.h>
#include <tapestry/ops/kernels/simd/prefetch.h>

namespace tapestry::kernels {

template <class T>
void pack_depthwise(const Conv2dShape& s, bool reverse, const T* w, T* packed) {
  const Index taps = s.r * s.s;
  microkernels<T>().transpose(taps, s.c, s.c, w, taps, packed, s.c);
  if (!reverse) return;
  for (Index low = 0, high = taps - 1; low < high; ++low, --high) {
    std::swap_ranges(packed + low * s.c, packed + (low + 1) * s.c, packed + high * s.c);
  }
}
template <class T>
void run_depthwise(const Gather<T>& g, const T* packed) {
  const Microkernels<T>& kernels = microkernels<T>();
  const Index units = g.images * g.out_h, channels = g.out_channels;
  const double work = static_cast<double>(g.images * channels) * static_cast<double>(g.rows.taps()) *
                      static_cast<double>(g.columns.taps());
  const Index tasks = std::min(units, task_count(tuning::kDepthwiseCost * work, tuning::kTasks));
  const Index new_rows = ceil_div(g.in_h, std::max<Index>(1, g.out_h));
  const Index new_columns = ceil_div(g.in_w, std::max<Index>(1, g.out_w));
  for_each_task(tasks, [&](Index task) {
    const FlushDenormals mode;
    const Index most = g.rows.longest() * g.columns.longest();
    const Scratch<Index> inputs(most), weights(most);
    const Range range = part(units, tasks, task);
    for (Index unit = range.begin; unit < range.end; ++unit) {
      const T* const x = g.x + unit / g.out_h * g.in_h * g.in_w * channels;
      T* y = g.y + unit * g.out_w * channels;
      for (Index j = 0; j < g.out_w; ++j, y += channels) {
        Index taps = 0;
        for (const TapRun& row : g.rows[unit % g.out_h]) {
          for (const TapRun& column : g.columns[j]) {
            inputs[taps] = (row.input * g.in_w + column.input) * channels;
            weights[taps++] = row.tap * g.kernel_w + column.tap;
          }
        }
        // The rows of x that the output row below will be the first to need, at the pixel of the last tap.
        for (Index i = 1; taps > 0 && i <= new_rows; ++i) {
          prefetch(x + inputs[taps - 1] + i * g.in_w * channels, new_columns * channels);
        }
        kernels.channelwise(channels, taps, inputs.data(), weights.data(), x, packed, g.bias, y);
      }
    }
  });
}

template <class T>
void depthwise_weight_grad(const Conv2dShape& s, const T* x, const T* dy, T* dw) {
  const Microkernels<T>& kernels = microkernels<T>();
  const Index channels = s.c, taps = s.r * s.s, size = taps * channels;
  const TapTable rows = TapTable::forward(s.oh, s.h, s.r, s.stride_h, s.pad_top, s.dilation_h, false);
  // Per kernel column the output columns that have it form one range.
  const TapTable columns = TapTable::forward(s.ow, s.w, s.s, s.stride_w, s.pad_left, s.dilation_w, false);
  Scratch<Range> valid(s.s);
  for (Index t = 0; t < s.s; ++t) valid[t] = {0, 0};
  for (Index j = 0; j < s.ow; ++j) {
    for (const TapRun& run : columns[j]) {
      Range& range = valid[run.tap];
      if (range.size() == 0) range.begin = j;
      range.end = j + 1;
    }
  }
  const double work = tuning::kDepthwiseCost * static_cast<double>(s.n * s.oh * s.ow) * static_cast<double>(size);
  const Index segments = std::max(Index{1}, std::min(s.n, task_count(work, tuning::kSumTasks)));
  const Scratch<T> partial(segments * size);
  for_each_task(segments, [&](Index segment) {
    const FlushDenormals mode;
    T* const sum = partial.data() + segment * size;
    std::fill(sum, sum + size, T{0});
    const Range images = part(s.n, segments, segment);
    for (Index row = images.begin * s.oh; row < images.end * s.oh; ++row) {
      prefetch(dy + (row + 1) * s.ow * channels, s.ow * channels);
      const T* const image = x + row / s.oh * s.h * s.w * channels;
      for (const TapRun& r : rows[row % s.oh]) {
        for (Index t = 0; t < s.s; ++t) {
          const Index j = valid[t].begin;
          const Index column = j * s.stride_w - s.pad_left + t * s.dilation_w;
          if (valid[t].size() == 0) continue;
          kernels.channelwise_products(channels, valid[t].size(), image + (r.input * s.w + column) * channels,
                                       s.stride_w * channels, dy + (row * s.ow + j) * channels, channels,
                                       sum + (r.tap * s.s + t) * channels);
        }
      }
    }
  });
  const FlushDenormals mode;
  for (Index segment = 1; segment < segments; ++segment) {
    kernels.accumulate(size, partial.data() + segment * size, partial.data());
  }
  kernels.transpose(channels, taps, taps, partial.data(), channels, dw, taps);
}

template void pack_depthwise(const Conv2dShape&, bool, const float*, float*);
template void pack_depthwise(const Conv2dShape&, bool, const double*, double*);
template void run_depthwise(const Gather<float>&, const float*);
template void run_depthwise(const Gather<double>&, const double*);
template void depthwise_weight_grad(const Conv2dShape&, const float*, const float*, float*);
template void depthwise_weight_grad(const Conv2dShape&, const double*, const double*, double*);

}  // namespace tapestry::kernels
