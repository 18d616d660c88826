#pragma once

#include <cstddef>
#include <cstdint>

#include <tapestry/autograd/base/parallel.h>
#include <tapestry/autograd/base/shape.h>

/// Reads and writes at places that an index names; every entry of one is a place that exists. What meets at a place is
/// added up in the order of the positions, for any number of threads. `bytes` is the size of an element: 1, 2, 4 or 8.
namespace tapestry::kernels {

/// Extents of a gather: those of the index are no larger than those of x but in `dim`.
struct GatherShape {
  Shape x, index;
  Index dim;
};

/// y[i][j][k] = x[i][at[i][j][k]][k] for dim 1; y has the index's shape.
void gather(const GatherShape& shape, const std::int64_t* at, const std::byte* x, std::byte* y, Index bytes);

/// y[i][at[i][j][k]][k] += x[i][j][k] for dim 1; x has the index's shape. T is float or double.
template <class T>
void scatter_add(const GatherShape& shape, const std::int64_t* at, const T* x, T* y);

/// writer[i][at[i][j][k]][k] = position of [i][j][k] in the index, for dim 1, the last of those that name a place.
/// writer has x's shape.
void last_writer(const GatherShape& shape, const std::int64_t* at, std::int64_t* writer);

/// The positions of the n elements that are true, in order; returns their number. `positions` has room for it, or is
/// null: then they are only counted.
Index true_positions(const bool* mask, Index n, std::int64_t* positions);

/// y [outer, m, run] = x [outer, n, run][:, at]; `run` counts bytes.
void index_select(const std::byte* x, Index outer, Index n, Index run, const std::int64_t* at, Index m, std::byte* y);

/// y [outer, n, run][:, at] += x [outer, m, run]. T is float or double.
template <class T>
void index_add(const T* x, Index outer, Index m, Index run, const std::int64_t* at, Index n, T* y);

/// y [n, classes][i, label[i]] = the element at `one`.
void mark(const std::int64_t* label, Index n, Index classes, const std::byte* one, std::byte* y, Index bytes);

}  // namespace tapestry::kernels
