#include <tapestry/ops/kernels/strided_copy.h>

#include <algorithm>
#include <array>
#include <cstdint>
#include <cstring>

namespace tapestry::kernels {
namespace {

constexpr Index kGrain = 32 * 1024;  // elements: below this one core is done before a second wakes
constexpr Index kMaxRank = 6;

/// The walk: rows of `length` elements with a step, and the dimensions outside them.
struct Walk {
  Index length = 1, step = 1, rows = 1, outer = 0;
  std::array<Index, kMaxRank> extents{}, strides{};

  Walk(const Index* extent, const Index* stride, Index rank) {
    // Neighbours that are walked as one dimension are merged: rows become as long as they can.
    std::array<Index, kMaxRank> e{}, s{};
    Index n = 0;
    for (Index d = 0; d < rank; ++d) {
      if (extent[d] == 1) continue;
      const auto last = static_cast<std::size_t>(n - 1);
      if (n > 0 && s[last] == stride[d] * extent[d]) {
        e[last] *= extent[d];
        s[last] = stride[d];
      } else {
        e[static_cast<std::size_t>(n)] = extent[d];
        s[static_cast<std::size_t>(n++)] = stride[d];
      }
    }
    if (n == 0) return;
    outer = n - 1;
    length = e[static_cast<std::size_t>(outer)];
    step = s[static_cast<std::size_t>(outer)];
    for (Index d = 0; d < outer; ++d) {
      extents[static_cast<std::size_t>(d)] = e[static_cast<std::size_t>(d)];
      strides[static_cast<std::size_t>(d)] = s[static_cast<std::size_t>(d)];
      rows *= e[static_cast<std::size_t>(d)];
    }
  }

  /// f(strided offset, contiguous offset) per row, in parallel.
  template <class F>
  void for_rows(const F& f) const {
    if (rows * length == 0) return;
    parallel_for(rows, std::max<Index>(1, kGrain / length), [&](Index begin, Index end) {
      for (Index row = begin; row < end; ++row) {
        Index rest = row, offset = 0;
        for (Index d = outer - 1; d >= 0; --d) {
          const auto i = static_cast<std::size_t>(d);
          offset += rest % extents[i] * strides[i];
          rest /= extents[i];
        }
        f(offset, row * length);
      }
    });
  }
};

/// Calls f.operator()<U>() with the unsigned type of `bytes` bytes.
template <class F>
void visit_size(Index bytes, const F& f) {
  switch (bytes) {
    case 8: return f.template operator()<std::uint64_t>();
    case 4: return f.template operator()<std::uint32_t>();
    case 2: return f.template operator()<std::uint16_t>();
    default: return f.template operator()<std::uint8_t>();
  }
}

}  // namespace

void strided_read(const std::byte* in, std::byte* out, const Index* extents, const Index* strides, Index rank,
                  Index bytes) {
  const Walk walk(extents, strides, rank);
  visit_size(bytes, [&]<class T>() {
    const T* from = reinterpret_cast<const T*>(in);
    T* to = reinterpret_cast<T*>(out);
    walk.for_rows([&](Index strided, Index contiguous) {
      if (walk.step == 1) {
        std::memcpy(to + contiguous, from + strided, static_cast<std::size_t>(walk.length) * sizeof(T));
        return;
      }
      for (Index i = 0; i < walk.length; ++i) to[contiguous + i] = from[strided + i * walk.step];
    });
  });
}

void strided_write(const std::byte* in, std::byte* out, const Index* extents, const Index* strides, Index rank,
                   Index bytes) {
  const Walk walk(extents, strides, rank);
  visit_size(bytes, [&]<class T>() {
    const T* from = reinterpret_cast<const T*>(in);
    T* to = reinterpret_cast<T*>(out);
    walk.for_rows([&](Index strided, Index contiguous) {
      if (walk.step == 1) {
        std::memcpy(to + strided, from + contiguous, static_cast<std::size_t>(walk.length) * sizeof(T));
        return;
      }
      for (Index i = 0; i < walk.length; ++i) to[strided + i * walk.step] = from[contiguous + i];
    });
  });
}

}  // namespace tapestry::kernels
