#pragma once

#include <cstdint>
#include <optional>

#include <tapestry/autograd/tensor.h>
#include <tapestry/ops/spatial.h>

/// Images of another size, and pixels that trade places with channels.
namespace tapestry {

/// What a pixel of the new image is made of; see interpolate.
enum class InterpolateMode : std::uint8_t { nearest, nearest_exact, bilinear, area };

/// A factor for height and width: one for both, or {h, w}.
struct Scale2 {
  double h, w;  ///< of rows and of columns
  constexpr Scale2(double both) noexcept : h(both), w(both) {}
  constexpr Scale2(double height, double width) noexcept : h(height), w(width) {}
};

struct InterpolateOptions {
  OptionalPair2 size = {};                          ///< of the new image; this or .scale_factor
  std::optional<Scale2> scale_factor = {};          ///< of the new image's size, which is rounded down
  InterpolateMode mode = InterpolateMode::nearest;  ///< how pixels are made
  bool align_corners = false;  ///< of bilinear: the centres of the corner pixels stay where they are, not their edges
  bool antialias = false;      ///< of bilinear: when an image shrinks, every pixel of it counts
};

/// Images of another size, x [N, H, W, C] -> y [N, Ho, Wo, C], separately along rows and columns. With `step` = H / Ho,
/// or 1 / .scale_factor where that is given, row i of y is made of x's rows
///
///   nearest        floor(i step)
///   nearest_exact  floor((i + 1/2) step)
///   bilinear       on either side of (i + 1/2) step - 1/2, or of i (H - 1) / (Ho - 1) with .align_corners, in the
///                  ratio of their distances; beyond the border, the border row
///     .antialias   with step > 1, all nearer to (i + 1/2) step - 1/2 than `step`, with weights that fall linearly
///                  with the distance and add up to 1 (a triangular filter)
///   area           floor(i H / Ho) ... ceil((i + 1) H / Ho) - 1, their mean: adaptive_avg_pool2d
///
/// f32, f64, or bf16, which is computed in f32; weights are computed in double. A pixel of weight 0 does not count, be
/// it NaN. Differentiable any number of times. Keeps nothing but the weights, of rows and columns. Throws
/// std::invalid_argument for another rank, an image without pixels, a size below 1, without or with both of .size and
/// .scale_factor, and for .align_corners and .antialias without bilinear or together.
[[nodiscard]] Tensor interpolate(const Tensor& x, const InterpolateOptions& options, Here here = {});

/// Channels become pixels (Shi et al., 2016): x [N, H, W, C r r] -> y [N, H r, W r, C], where channel c r r + i r + j
/// of a pixel goes to pixel (i, j) of the r x r that it turns into, channel c. Any dtype. Throws std::invalid_argument
/// for an r below 1 and for channels that r r does not divide.
[[nodiscard]] Tensor pixel_shuffle(const Tensor& x, Index upscale_factor, Here here = {});

/// The inverse: x [N, H r, W r, C] -> y [N, H, W, C r r]. Throws std::invalid_argument unless r divides both sides.
[[nodiscard]] Tensor pixel_unshuffle(const Tensor& x, Index downscale_factor, Here here = {});

/// Channels dealt out like cards (Zhang et al., 2018): of x [..., C], cut into `groups` equal parts, y [..., C] has the
/// first channel of every part, then the second ones, and so on. Any dtype. Throws std::invalid_argument unless groups
/// divides C.
[[nodiscard]] Tensor channel_shuffle(const Tensor& x, Index groups, Here here = {});

}  // namespace tapestry
