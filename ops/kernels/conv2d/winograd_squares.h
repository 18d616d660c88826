#pragma once

#include <tapestry/autograd/base/parallel.h>

/// Where the squares of Winograd's convolution lie in images, and their products in memory. Private to ops/kernels.
namespace tapestry::kernels {

constexpr Index kSquare = 2;     // results side by side that are computed together, in both directions
constexpr Index kPatch = 4;      // inputs side by side that they are computed from
constexpr Index kProducts = 16;  // of a square, and of each pair of channels

/// Results [images, h, w, channels] in squares from the top left corner on, that may stick out on the other sides.
struct Squares {
  Index images, h, w;

  [[nodiscard]] Index rows() const { return (h + kSquare - 1) / kSquare; }
  [[nodiscard]] Index columns() const { return (w + kSquare - 1) / kSquare; }
  [[nodiscard]] Index count() const { return images * rows() * columns(); }
};

/// Of one square, numbered through all images: its first result.
struct Corner {
  Index image, row, column;
  Corner(const Squares& squares, Index number)
      : image(number / (squares.rows() * squares.columns())),
        row(number / squares.columns() % squares.rows() * kSquare),
        column(number % squares.columns() * kSquare) {}
};

/// Pixels of images [n, h, w, channels] one by one; all that lie outside are the same one.
template <class T>
struct Pixels {
  T* images;
  Index h, w, channels;
  T* outside;

  /// The addresses of the kSide x kSide pixels from (row, column) on.
  template <Index kSide>
  void list(Index image, Index row, Index column, T** to) const {
    for (Index i = row; i < row + kSide; ++i) {
      for (Index j = column; j < column + kSide; ++j) {
        const bool inside = i >= 0 && i < h && j >= 0 && j < w;
        *to++ = inside ? images + ((image * h + i) * w + j) * channels : outside;
      }
    }
  }
};

/// Sixteen matrices [rows, columns], one per product of a square. Rows start at cache lines.
struct Planes {
  Index rows, columns;

  [[nodiscard]] Index row() const { return (columns + 15) / 16 * 16; }
  /// Elements of a matrix and some more: a transform writes to all sixteen at once, and were they a multiple of 4 KiB
  /// apart, which numbers of channels see to, they would all want the same place in the L1 cache.
  [[nodiscard]] Index plane() const { return rows * row() + 64; }
  [[nodiscard]] Index size() const { return kProducts * plane(); }

  /// The addresses of row i in all of them.
  template <class T>
  void list(T* planes, Index i, T** to) const {
    for (Index p = 0; p < kProducts; ++p) to[p] = planes + p * plane() + i * row();
  }
};

}  // namespace tapestry::kernels
