#pragma once

#include <tapestry/ops/kernels/conv2d/select.h>

#include <ostream>
#include <random>
#include <vector>

/// What the tests of convolution kernels share: shapes, sizes, samples, and the products that a convolution adds up.
namespace tapestry::kernels {

// found by argument-dependent lookup when a case is printed
inline std::ostream& operator<<(std::ostream& out, const Conv2dShape& s) {
  return out << "[" << s.n << ", " << s.h << ", " << s.w << ", " << s.c << "] * [" << s.k << ", " << s.r << ", " << s.s
             << "] -> " << s.oh << " x " << s.ow << ", stride " << s.stride_h << " " << s.stride_w << ", pad "
             << s.pad_top << " " << s.pad_left << ", dilation " << s.dilation_h << " " << s.dilation_w << ", groups "
             << s.groups;
}

}  // namespace tapestry::kernels

namespace tapestry::test {

using kernels::Conv2dShape;

struct Options {
  Index stride_h = 1, stride_w = 1, pad_top = 0, pad_left = 0, pad_bottom = 0, pad_right = 0;
  Index dilation_h = 1, dilation_w = 1, groups = 1;
};

inline Options same(Index pad, Index stride = 1, Index groups = 1) {
  return {.stride_h = stride,
          .stride_w = stride,
          .pad_top = pad,
          .pad_left = pad,
          .pad_bottom = pad,
          .pad_right = pad,
          .groups = groups};
}

inline Conv2dShape shape(Index n, Index h, Index w, Index c, Index k, Index r, Index s, const Options& o) {
  const auto extent = [](Index in, Index pads, Index kernel, Index stride, Index dilation) {
    return (in + pads - dilation * (kernel - 1) - 1) / stride + 1;
  };
  return {n,
          h,
          w,
          c,
          k,
          r,
          s,
          extent(h, o.pad_top + o.pad_bottom, r, o.stride_h, o.dilation_h),
          extent(w, o.pad_left + o.pad_right, s, o.stride_w, o.dilation_w),
          o.stride_h,
          o.stride_w,
          o.pad_top,
          o.pad_left,
          o.dilation_h,
          o.dilation_w,
          o.groups};
}

inline std::size_t at(Index i) { return static_cast<std::size_t>(i); }

inline Index x_size(const Conv2dShape& s) { return s.x_size(); }
inline Index w_size(const Conv2dShape& s) { return s.w_size(); }
inline Index y_size(const Conv2dShape& s) { return s.y_size(); }

// The three passes of f32 or f64 operands as they are at the highest precision.

template <class T>
void plain_conv2d(const Conv2dShape& s, const T* x, const T* w, const T* bias, T* y) {
  kernels::conv2d(s, kernels::Precision::highest, x, w, bias, y);
}
template <class T>
void plain_input_grad(const Conv2dShape& s, const T* dy, const T* w, T* dx) {
  kernels::conv2d_input_grad(s, kernels::Precision::highest, dy, w, dx);
}
template <class T>
void plain_weight_grad(const Conv2dShape& s, const T* x, const T* dy, T* dw) {
  kernels::conv2d_weight_grad(s, kernels::Precision::highest, x, dy, dw);
}

// The three passes by the methods for bf16 operands, also of f32 ones, and whether that pays or not.

inline kernels::Conv2dMethod paired_method(kernels::Conv2dPass pass, const Conv2dShape& s) {
  return kernels::select_conv2d(pass, s, bf16, bf16, kernels::Precision::highest);
}
template <class X, class W>
void paired_conv2d(const Conv2dShape& s, const X* x, const W* w, const float* bias, X* y) {
  kernels::conv2d(s, paired_method(kernels::Conv2dPass::forward, s), x, w, bias, y);
}
template <class Y, class W>
void paired_input_grad(const Conv2dShape& s, const Y* dy, const W* w, Y* dx) {
  kernels::conv2d_input_grad(s, paired_method(kernels::Conv2dPass::input_grad, s), dy, w, dx);
}
template <class X>
void paired_weight_grad(const Conv2dShape& s, const X* x, const X* dy, float* dw) {
  kernels::conv2d_weight_grad(s, paired_method(kernels::Conv2dPass::weight_grad, s), x, dy, dw);
}

/// Integers in [-range, range]: sums of their products are exact in float, in any order, as long as they stay below
/// 2^24.
template <class T>
std::vector<T> integers(Index count, unsigned seed, int range = 4) {
  std::mt19937 random(seed);
  std::uniform_int_distribution<int> pick(-range, range);
  std::vector<T> values(at(count));
  for (T& v : values) v = static_cast<T>(pick(random));
  return values;
}

inline std::vector<float> normals(Index count, unsigned seed) {
  std::mt19937 random(seed);
  std::normal_distribution<float> pick;
  std::vector<float> values(at(count));
  for (float& v : values) v = pick(random);
  return values;
}

/// Calls f(index in x, index in w, index in y) for every product that a convolution adds up.
template <class F>
void for_each_product(const Conv2dShape& s, const F& f) {
  const Index channels = s.c / s.groups, filters = s.k / s.groups;
  for (Index n = 0; n < s.n; ++n) {
    for (Index i = 0; i < s.oh; ++i) {
      for (Index j = 0; j < s.ow; ++j) {
        for (Index r = 0; r < s.r; ++r) {
          const Index row = i * s.stride_h - s.pad_top + r * s.dilation_h;
          if (row < 0 || row >= s.h) continue;
          for (Index t = 0; t < s.s; ++t) {
            const Index column = j * s.stride_w - s.pad_left + t * s.dilation_w;
            if (column < 0 || column >= s.w) continue;
            for (Index k = 0; k < s.k; ++k) {
              for (Index c = 0; c < channels; ++c) {
                f(at(((n * s.h + row) * s.w + column) * s.c + k / filters * channels + c),
                  at(((k * s.r + r) * s.s + t) * channels + c), at(((n * s.oh + i) * s.ow + j) * s.k + k));
              }
            }
          }
        }
      }
    }
  }
}

inline const std::vector<Conv2dShape>& small_shapes() {
  static const std::vector<Conv2dShape> shapes = [] {
    std::vector<Conv2dShape> list;
    // channels and filters around the vector and tile sizes, batches around the tile height
    for (const Index c : {1, 3, 15, 16, 17, 35}) {
      for (const Index k : {1, 7, 16, 17, 33, 65}) list.push_back(shape(7, 5, 4, c, k, 3, 3, same(1)));
    }
    for (const Index n : {1, 2, 5, 6, 7, 13, 15}) list.push_back(shape(n, 6, 9, 5, 20, 3, 3, same(1)));
    // kernels, strides, dilations, paddings
    for (const Index n : {1, 9}) {
      for (const Index stride : {1, 2, 3}) {
        for (const Index kernel : {1, 2, 3, 5}) {
          list.push_back(shape(n, 8, 11, 6, 18, kernel, kernel, same(kernel / 2, stride)));
          list.push_back(shape(n, 9, 7, 6, 18, kernel, kernel, same(0, stride)));
          list.push_back(shape(n, 5, 6, 3, 9, kernel, kernel, same(kernel + 1, stride)));  // padding beyond the kernel
        }
      }
      list.push_back(shape(n, 9, 12, 4, 21, 3, 2, {.stride_h = 2, .stride_w = 3, .pad_top = 1, .pad_right = 2}));
      list.push_back(shape(n, 9, 12, 4, 21, 1, 4, {.pad_left = 3, .pad_bottom = 1, .dilation_w = 2}));
      list.push_back(shape(n, 13, 12, 4, 21, 3, 3,
                           {.stride_h = 2,
                            .pad_top = 2,
                            .pad_left = 2,
                            .pad_bottom = 2,
                            .pad_right = 2,
                            .dilation_h = 2,
                            .dilation_w = 3}));
      list.push_back(
          shape(n, 12, 12, 4, 8, 3, 3,
                {.stride_h = 4, .stride_w = 6, .pad_top = 3, .pad_left = 1, .dilation_h = 2, .dilation_w = 4}));
      // groups: with stride, one channel each, several filters per channel, single filters
      list.push_back(shape(n, 7, 8, 12, 20, 3, 3, same(1, 2, 4)));
      list.push_back(shape(n, 7, 8, 36, 36, 3, 3, same(1, 1, 2)));
      for (const Index c : {2, 16, 21, 40}) {
        list.push_back(shape(n, 7, 8, c, c, 3, 3, same(1, 1, c)));
        list.push_back(shape(n, 7, 8, c, c, 3, 3, same(1, 2, c)));
      }
      list.push_back(shape(n, 7, 8, 5, 5, 3, 2, {.stride_h = 2, .pad_top = 1, .dilation_w = 3, .groups = 5}));
      list.push_back(shape(n, 7, 8, 5, 15, 3, 3, same(1, 1, 5)));
      list.push_back(shape(n, 7, 8, 15, 5, 3, 3, same(1, 1, 5)));
      list.push_back(shape(n, 1, 1, 20, 30, 3, 3, same(1)));
      list.push_back(shape(n, 3, 3, 20, 30, 3, 3, same(0)));
    }
    return list;
  }();
  return shapes;
}

}  // namespace tapestry::test
