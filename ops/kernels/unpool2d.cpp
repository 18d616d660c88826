#include <tapestry/ops/kernels/unpool2d.h>

#include <algorithm>

#include <tapestry/ops/kernels/base/tuning.h>

namespace tapestry::kernels {

template <class Tap>
void pooled_places(const Pool2dShape& s, const Tap* tap, std::int64_t* place) {
  const Index row_of_places = s.ow * s.c;
  parallel_for(s.n * s.oh, tuning::rows_per_task(row_of_places, tuning::kCostlyGrain), [=, &s](Index begin, Index end) {
    for (Index i = begin; i < end; ++i) {
      const PoolWindow& h = s.rows[i % s.oh];
      for (Index column = 0; column < s.ow; ++column) {
        const PoolWindow& v = s.columns[column];
        const bool is_empty = h.begin >= h.end || v.begin >= v.end;
        const Index at = i * row_of_places + column * s.c;
        for (Index c = 0; c < s.c; ++c) {
          const auto number = static_cast<Index>(tap[at + c]);
          const Index row = h.begin + (number / s.kernel_w - h.first) * s.dilation_h;
          const Index pixel = v.begin + (number % s.kernel_w - v.first) * s.dilation_w;
          place[at + c] = is_empty ? -1 : row * s.w + pixel;
        }
      }
    }
  });
}

void unpooled_sources(Index n, Index pooled, Index pixels, Index c, const std::int64_t* place, std::int64_t* source,
                      bool* is_set) {
  parallel_for(n, tuning::rows_per_task(std::max(pooled, pixels) * c, tuning::kCostlyGrain),
               [=](Index begin, Index end) {
                 std::fill(source + begin * pixels * c, source + end * pixels * c, 0);
                 std::fill(is_set + begin * pixels * c, is_set + end * pixels * c, false);
                 for (Index image = begin; image < end; ++image) {
                   for (Index i = 0; i < pooled; ++i) {
                     for (Index k = 0; k < c; ++k) {
                       const Index at = (image * pixels + place[(image * pooled + i) * c + k]) * c + k;
                       source[at] = i;
                       is_set[at] = true;
                     }
                   }
                 }
               });
}

template void pooled_places(const Pool2dShape&, const std::uint8_t*, std::int64_t*);
template void pooled_places(const Pool2dShape&, const std::int32_t*, std::int64_t*);

}  // namespace tapestry::kernels
