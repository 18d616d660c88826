#pragma once

#include <array>

#include <tapestry/autograd/tensor.h>
#include <tapestry/datasets/interpolation.h>

namespace tapestry::datasets::detail {

/// Rows of a 3 x 3 matrix that takes a point of the result to one of the source: [x, y, 1] -> [u, v, w], meaning
/// (u / w, v / w). The centre of pixel (row i, column j) is the point x = j + .5, y = i + .5.
using Projection = std::array<double, 9>;

/// The picture seen through a projection, u8 or f32, of the same shape. `fill` stands for what is outside the source,
/// and where w is not positive.
[[nodiscard]] Tensor warp(const Tensor& image, const Projection& to_source, Interpolation interpolation, double fill);

/// How a picture is turned, sheared, enlarged and moved, in this order from last to first, about a point.
struct Affine {
  double degrees = 0;               ///< clockwise
  double shear_x = 0, shear_y = 0;  ///< degrees
  double scale = 1;
  double move_x = 0, move_y = 0;  ///< pixels to the right and down
  double centre_x = 0, centre_y = 0;
};
[[nodiscard]] Projection to_source(const Affine& affine);

}  // namespace tapestry::datasets::detail
