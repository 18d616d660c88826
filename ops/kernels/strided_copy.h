#pragma once

#include <cstddef>

#include <tapestry/autograd/base/parallel.h>

/// Copies between a contiguous array and one walked with strides. Extents and strides have `rank` entries, strides
/// count elements and may be negative; `bytes` is the size of an element: 1, 2, 4 or 8.
namespace tapestry::kernels {

/// out [extents] contiguous; element (i0, i1, ...) is in[sum of i_d strides[d]].
void strided_read(const std::byte* in, std::byte* out, const Index* extents, const Index* strides, Index rank,
                  Index bytes);

/// in [extents] contiguous; element (i0, i1, ...) goes to out[sum of i_d strides[d]].
void strided_write(const std::byte* in, std::byte* out, const Index* extents, const Index* strides, Index rank,
                   Index bytes);

/// in [extents] between `before` and `after` copies of the element at `value`, per dimension (>= 0; rank >= 1).
void pad_copy(const std::byte* in, std::byte* out, const Index* extents, const Index* before, const Index* after,
              Index rank, Index bytes, const std::byte* value);

}  // namespace tapestry::kernels
