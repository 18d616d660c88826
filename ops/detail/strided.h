#pragma once

#include <array>

#include <tapestry/autograd/tensor.h>

/// Elements of a tensor in another order, for ops that only move them.
namespace tapestry {

using Extents = std::array<Index, kMaxRank>;

/// Elements between neighbours in each dimension.
[[nodiscard]] Extents strides_of(const Shape& shape);

/// y [shape] gathered from x: element (i0, i1, ...) from offset + sum of i_d strides[d], in elements.
[[nodiscard]] Tensor strided(const Tensor& x, const Shape& shape, const Extents& strides, Index offset);

/// x written into y: element (i0, i1, ...) to offset + sum of i_d strides[d], in elements.
void write_strided(const Tensor& x, Tensor& y, const Extents& strides, Index offset);

}  // namespace tapestry
