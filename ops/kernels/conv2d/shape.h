#pragma once

#include <tapestry/autograd/base/parallel.h>

namespace tapestry::kernels {

/// What a convolution is. Padding at the bottom and on the right is whatever the output extents need. Private to
/// ops/kernels.
struct Conv2dShape {
  Index n, h, w, c;              ///< input   [n, h, w, c]
  Index k, r, s;                 ///< weight  [k, r, s, c / groups]
  Index oh, ow;                  ///< output  [n, oh, ow, k]
  Index stride_h, stride_w;      ///< >= 1
  Index pad_top, pad_left;       ///< >= 0, may exceed the kernel
  Index dilation_h, dilation_w;  ///< >= 1
  Index groups;                  ///< divides c and k

  [[nodiscard]] Index pixels() const { return n * h * w; }
  [[nodiscard]] Index output_pixels() const { return n * oh * ow; }
  [[nodiscard]] Index x_size() const { return pixels() * c; }
  [[nodiscard]] Index w_size() const { return k * r * s * (c / groups); }
  [[nodiscard]] Index y_size() const { return output_pixels() * k; }
};

}  // namespace tapestry::kernels
