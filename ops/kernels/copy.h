#pragma once

#include <cstddef>

#include <tapestry/autograd/base/parallel.h>
#include <tapestry/ops/kernels/broadcast.h>

/// Copies that move elements of any type: between a contiguous array and one walked with strides, into a frame, in
/// pieces, and repeated. Extents and strides have `rank` entries, strides count elements and may be negative; `bytes`
/// is the size of an element: 1, 2, 4 or 8.
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

/// out = in, as many bytes.
void copy_bytes(const std::byte* in, std::byte* out, Index bytes);

/// `count` pieces of `piece` bytes, one behind the other, to places `stride` bytes apart.
void copy_pieces(const std::byte* in, std::byte* out, Index piece, Index count, Index stride);

/// out = the first operand of the broadcast in the shape of its result; the result has an element.
void broadcast_copy(const Broadcast& plan, const std::byte* in, std::byte* out, Index bytes);

}  // namespace tapestry::kernels
