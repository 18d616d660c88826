#include <tapestry/ops/kernels/unfold.h>

#include <algorithm>
#include <cstring>

#include <tapestry/ops/kernels/base/tuning.h>

namespace tapestry::kernels {
namespace {

bool is_inside(Index at, Index size) { return at >= 0 && at < size; }

}  // namespace

void unfold(const UnfoldShape& s, const std::byte* x, std::byte* y, Index bytes) {
  const Index pixel = s.c * bytes, row = s.ow * s.r * s.s * pixel;  // of a row of windows
  if (pixel == 0) return;
  parallel_for(s.n * s.oh, tuning::rows_per_task(row, tuning::kCopyBytes), [=](Index begin, Index end) {
    for (Index i = begin; i < end; ++i) {
      const std::byte* const image = x + i / s.oh * s.h * s.w * pixel;
      const Index top = i % s.oh * s.stride_h - s.pad_top;
      std::byte* to = y + i * row;
      for (Index j = 0; j < s.ow; ++j) {
        const Index left = j * s.stride_w - s.pad_left;
        for (Index r = 0; r < s.r; ++r) {
          const Index line = top + r * s.dilation_h;
          for (Index t = 0; t < s.s; ++t, to += pixel) {
            const Index column = left + t * s.dilation_w;
            if (is_inside(line, s.h) && is_inside(column, s.w)) {
              std::memcpy(to, image + (line * s.w + column) * pixel, static_cast<std::size_t>(pixel));
            } else {
              std::memset(to, 0, static_cast<std::size_t>(pixel));
            }
          }
        }
      }
    }
  });
}

/// One row of pixels is a task's unit: all windows that have a tap there, from above to below, are added to it, so that
/// rows never meet.
template <class T>
void fold(const UnfoldShape& s, const T* y, T* x) {
  const Index line = s.w * s.c, window = s.r * s.s * s.c;
  if (line == 0) return;
  const Index work = std::max(line, s.ow * window / std::max<Index>(1, s.stride_h));
  parallel_for(s.n * s.h, tuning::rows_per_task(work), [=](Index begin, Index end) {
    for (Index i = begin; i < end; ++i) {
      T* const to = x + i * line;
      std::fill_n(to, line, T{0});
      const T* const image = y + i / s.h * s.oh * s.ow * window;
      for (Index r = s.r - 1; r >= 0; --r) {  // the highest tap belongs to the uppermost window
        const Index from = i % s.h + s.pad_top - r * s.dilation_h;
        if (from < 0 || from % s.stride_h != 0 || from / s.stride_h >= s.oh) continue;
        const T* taps = image + from / s.stride_h * s.ow * window + r * s.s * s.c;
        for (Index j = 0; j < s.ow; ++j, taps += window) {
          for (Index t = 0; t < s.s; ++t) {
            const Index column = j * s.stride_w - s.pad_left + t * s.dilation_w;
            if (!is_inside(column, s.w)) continue;
            T* const sum = to + column * s.c;
            const T* const add = taps + t * s.c;
            for (Index c = 0; c < s.c; ++c) sum[c] += add[c];
          }
        }
      }
    }
  });
}

template void fold(const UnfoldShape&, const float*, float*);
template void fold(const UnfoldShape&, const double*, double*);

}  // namespace tapestry::kernels
