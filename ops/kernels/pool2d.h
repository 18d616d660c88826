#pragma once

#include <cstdint>

#include <tapestry/autograd/base/dtype.h>
#include <tapestry/autograd/base/parallel.h>

/// Pooling over images [n, h, w, c]. T is float, double or BFloat16, which is computed
/// in float. The same bits for any number of threads.
namespace tapestry::kernels {

/// One window along one axis, cut to what lies inside the input: positions begin, begin + dilation, ... before end.
struct PoolWindow {
  Index begin, end;
  Index first;  ///< number of the tap at `begin`: how many lie before the input
  Index count;  ///< an average divides by the product of both axes' counts
};

struct Pool2dShape {
  Index n, h, w, c;
  Index oh, ow;                  ///< output [n, oh, ow, c]
  const PoolWindow* rows;        ///< [oh]
  const PoolWindow* columns;     ///< [ow]
  Index dilation_h, dilation_w;  ///< an average takes 1
  Index kernel_w;                ///< tap (r, s) of a window has number r kernel_w + s
};

/// y = the largest element of every window, NaN if it holds one, -inf if it is empty; tap = the number of its tap: the
/// first of equal ones, the last NaN. tap may be null. Tap is std::uint8_t or std::int32_t and holds every number.
template <class T, class Tap>
void max_pool2d(const Pool2dShape& shape, const T* x, T* y, Tap* tap);

/// dx [n, h, w, c] = sum of dy [n, oh, ow, c] at the taps chosen, 0 elsewhere.
template <class T, class Tap>
void max_pool2d_scatter(const Pool2dShape& shape, const T* dy, const Tap* tap, T* dx);

/// y [n, oh, ow, c] = x [n, h, w, c] at the taps chosen, 0 for an empty window.
template <class T, class Tap>
void max_pool2d_gather(const Pool2dShape& shape, const T* x, const Tap* tap, T* y);

/// y[., i, j, .] = sum of x over rows[i] x columns[j] / (rows[i].count columns[j].count).
template <class T>
void avg_pool2d(const Pool2dShape& shape, const T* x, T* y);

/// The transpose: every dy is shared out over its window.
template <class T>
void avg_pool2d_grad(const Pool2dShape& shape, const T* dy, T* dx);

template <>
void max_pool2d(const Pool2dShape& shape, const BFloat16* x, BFloat16* y, std::uint8_t* tap);
template <>
void max_pool2d(const Pool2dShape& shape, const BFloat16* x, BFloat16* y, std::int32_t* tap);
template <>
void max_pool2d_scatter(const Pool2dShape& shape, const BFloat16* dy, const std::uint8_t* tap, BFloat16* dx);
template <>
void max_pool2d_scatter(const Pool2dShape& shape, const BFloat16* dy, const std::int32_t* tap, BFloat16* dx);
template <>
void max_pool2d_gather(const Pool2dShape& shape, const BFloat16* x, const std::uint8_t* tap, BFloat16* y);
template <>
void max_pool2d_gather(const Pool2dShape& shape, const BFloat16* x, const std::int32_t* tap, BFloat16* y);
template <>
void avg_pool2d(const Pool2dShape& shape, const BFloat16* x, BFloat16* y);
template <>
void avg_pool2d_grad(const Pool2dShape& shape, const BFloat16* dy, BFloat16* dx);

}  // namespace tapestry::kernels
