#pragma once

#include <cstdint>

#include <tapestry/ops/kernels/pool2d.h>

/// Where maxima stood, and what stands there after they are put back. The same bits for any number of threads.
namespace tapestry::kernels {

/// place [n, oh, ow, c] = row * w + column, in x [n, h, w, c], of the tap that each window chose; -1 for a window
/// without a pixel.
template <class Tap>
void pooled_places(const Pool2dShape& shape, const Tap* tap, std::int64_t* place);

/// Of place [n, pooled, c], numbers below `pixels`: source [n, pixels, c] = which of the `pooled` elements names this
/// pixel, the last of several, and is_set whether one does; source is 0 where none does.
void unpooled_sources(Index n, Index pooled, Index pixels, Index c, const std::int64_t* place, std::int64_t* source,
                      bool* is_set);

}  // namespace tapestry::kernels
