#pragma once

#include <tapestry/autograd/base/shape.h>

/// Arithmetic of extents, paddings, strides and dilations, which may be any numbers: what goes beyond 2^60 in either
/// direction throws std::invalid_argument, whose message begins with `op`, instead of wrapping around. Elements are
/// counted, and bytes with them, where a Shape is made: it has at most 2^59.
namespace tapestry {

/// The longest side, in pixels and with padding, over which windows move: positions times rows and channels stay
/// countable.
inline constexpr Index kLongestSide = Index{1} << 40;

[[nodiscard]] Index checked_sum(const char* op, Index a, Index b);      ///< a + b
[[nodiscard]] Index checked_product(const char* op, Index a, Index b);  ///< a * b

/// Windows along one side of a picture: what one of `kernel` taps, `dilation` apart, spans, and the side that they move
/// over, with `padding` at both ends. Neither may be longer than kLongestSide.
struct WindowSpan {
  Index reach;   ///< of a window, in pixels
  Index padded;  ///< the side
};
/// See WindowSpan. Throws std::invalid_argument for spans and sides that are longer.
[[nodiscard]] WindowSpan checked_span(const char* op, Index size, Index kernel, Index padding, Index dilation);

/// a / b for a >= 0 and b > 0, rounded up, for any such numbers.
[[nodiscard]] constexpr Index divide_up(Index a, Index b) noexcept { return a == 0 ? 0 : (a - 1) / b + 1; }

}  // namespace tapestry
