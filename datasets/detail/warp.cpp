#include <tapestry/datasets/detail/warp.h>

#include <algorithm>
#include <cmath>
#include <cstdint>
#include <numbers>
#include <type_traits>

namespace tapestry::datasets::detail {
namespace {

template <class T>
T from_float(float value) {
  if constexpr (std::is_same_v<T, std::uint8_t>) return static_cast<T>(std::clamp(value, 0.0F, 255.0F) + 0.5F);
  else return value;
}

/// A picture and what is around it.
template <class T>
struct Source {
  const T* pixels;
  Index height, width, channels;
  T fill;

  void nearest(float x, float y, T* to) const {
    // NaN, which no comparison holds for, is outside too.
    const bool inside = x >= 0 && y >= 0 && x < static_cast<float>(width) && y < static_cast<float>(height);
    if (!inside) {
      std::fill_n(to, channels, fill);
      return;
    }
    const T* from = pixels + (static_cast<Index>(y) * width + static_cast<Index>(x)) * channels;
    for (Index c = 0; c < channels; ++c) to[c] = from[c];
  }

  void bilinear(float x, float y, T* to) const {
    x -= 0.5F;
    y -= 0.5F;
    const bool near = x > -1 && y > -1 && x < static_cast<float>(width) && y < static_cast<float>(height);
    if (!near) {
      std::fill_n(to, channels, fill);
      return;
    }
    const auto left = static_cast<Index>(std::floor(x));
    const auto top = static_cast<Index>(std::floor(y));
    const float dx = x - static_cast<float>(left);
    const float dy = y - static_cast<float>(top);
    for (Index c = 0; c < channels; ++c) {
      const float above = at(top, left, c) * (1 - dx) + at(top, left + 1, c) * dx;
      const float below = at(top + 1, left, c) * (1 - dx) + at(top + 1, left + 1, c) * dx;
      to[c] = from_float<T>(above * (1 - dy) + below * dy);
    }
  }

  [[nodiscard]] float at(Index y, Index x, Index c) const {
    const bool inside = x >= 0 && y >= 0 && x < width && y < height;
    return static_cast<float>(inside ? pixels[(y * width + x) * channels + c] : fill);
  }
};

template <class T, bool kBilinear>
void run(const Source<T>& source, const Projection& m, T* to) {
  const bool is_affine = m[6] == 0 && m[7] == 0 && m[8] == 1;
  const auto f = [&](std::size_t i) { return static_cast<float>(m[i]); };
  for (Index row = 0; row < source.height; ++row) {
    const float y = static_cast<float>(row) + 0.5F;
    const float u = f(1) * y + f(2);
    const float v = f(4) * y + f(5);
    const float w = f(7) * y + f(8);
    for (Index column = 0; column < source.width; ++column, to += source.channels) {
      const float x = static_cast<float>(column) + 0.5F;
      float sx = f(0) * x + u;
      float sy = f(3) * x + v;
      if (!is_affine) {
        const float depth = f(6) * x + w;
        const float scale = depth > 0 ? 1 / depth : NAN;
        sx *= scale;
        sy *= scale;
      }
      if constexpr (kBilinear) source.bilinear(sx, sy, to);
      else source.nearest(sx, sy, to);
    }
  }
}

template <class T>
Tensor warp_as(const Tensor& image, const Projection& to_source, Interpolation interpolation, double fill) {
  Tensor y = empty(image.shape(), image.dtype());
  const Source<T> source{image.data<T>(), image.size(0), image.size(1), image.size(2),
                         from_float<T>(static_cast<float>(fill))};
  T* const to = y.mutable_data<T>();
  if (interpolation == Interpolation::bilinear) run<T, true>(source, to_source, to);
  else run<T, false>(source, to_source, to);
  return y;
}

}  // namespace

Tensor warp(const Tensor& image, const Projection& to_source, Interpolation interpolation, double fill) {
  if (image.dtype() == u8) return warp_as<std::uint8_t>(image, to_source, interpolation, fill);
  return warp_as<float>(image, to_source, interpolation, fill);
}

Projection to_source(const Affine& affine) {
  constexpr double kDegree = std::numbers::pi / 180;
  const double turn = affine.degrees * kDegree;
  const double shear_x = affine.shear_x * kDegree;
  const double shear_y = affine.shear_y * kDegree;
  // The linear part takes source to result: turning after shearing along y after shearing along x.
  const double a = std::cos(turn - shear_y) / std::cos(shear_y);
  const double b = -a * std::tan(shear_x) - std::sin(turn);
  const double c = std::sin(turn - shear_y) / std::cos(shear_y);
  const double d = -c * std::tan(shear_x) + std::cos(turn);
  // Its determinant is 1, so that this is the way back.
  Projection m{d / affine.scale, -b / affine.scale, 0, -c / affine.scale, a / affine.scale, 0, 0, 0, 1};
  const double x = affine.centre_x + affine.move_x;
  const double y = affine.centre_y + affine.move_y;
  m[2] = affine.centre_x - m[0] * x - m[1] * y;
  m[5] = affine.centre_y - m[3] * x - m[4] * y;
  return m;
}

}  // namespace tapestry::datasets::detail
