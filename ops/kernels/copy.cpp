#include <tapestry/ops/kernels/copy.h>

#include <algorithm>
#include <array>
#include <cstring>

#include <tapestry/autograd/base/shape.h>
#include <tapestry/ops/kernels/base/tuning.h>
#include <tapestry/ops/kernels/visit_size.h>

namespace tapestry::kernels {
namespace {

using tuning::kTransposeTile;

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
    parallel_for(rows, tuning::rows_per_task(length), [&](Index begin, Index end) {
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

/// out [width, height] = in [height, width] transposed, rows of either `step` elements apart. Goes through a buffer:
/// steps are often powers of two, whose lines would drive each other out of the cache.
template <class T>
void transpose_tile(const T* in, Index in_step, T* out, Index out_step, Index height, Index width) {
  T tile[kTransposeTile][kTransposeTile + 1];
  for (Index i = 0; i < height; ++i)
    std::memcpy(tile[i], in + i * in_step, static_cast<std::size_t>(width) * sizeof(T));
  for (Index j = 0; j < width; ++j) {
    for (Index i = 0; i < height; ++i) out[j * out_step + i] = tile[i][j];
  }
}

/// Where rows are read with a step but another dimension lies next to each other in memory - a transpose - the two are
/// walked in square tiles, so that every cache line is used whole. False when there is no such dimension.
template <class T>
bool read_tiled(const Walk& walk, const T* in, T* out) {
  Index unit = -1;
  for (Index d = 0; d < walk.outer; ++d) {
    if (walk.strides[static_cast<std::size_t>(d)] == 1) unit = d;
  }
  if (unit < 0 || walk.rows * walk.length == 0) return false;
  const Index width = walk.extents[static_cast<std::size_t>(unit)];
  const Index tiles = (width + kTransposeTile - 1) / kTransposeTile;
  Index out_step = walk.length;  // from one position of the unit dimension to the next
  for (Index d = unit + 1; d < walk.outer; ++d) out_step *= walk.extents[static_cast<std::size_t>(d)];
  parallel_for(walk.rows / width * tiles, tuning::rows_per_task(kTransposeTile * walk.length),
               [&](Index begin, Index end) {
                 for (Index task = begin; task < end; ++task) {
                   const Index first = task % tiles * kTransposeTile, last = std::min(width, first + kTransposeTile);
                   Index rest = task / tiles, from = 0, to = 0, stride = walk.length;
                   for (Index d = walk.outer - 1; d >= 0; --d) {
                     const auto i = static_cast<std::size_t>(d);
                     if (d != unit) {
                       from += rest % walk.extents[i] * walk.strides[i];
                       to += rest % walk.extents[i] * stride;
                       rest /= walk.extents[i];
                     }
                     stride *= walk.extents[i];
                   }
                   for (Index row = 0; row < walk.length; row += kTransposeTile) {
                     transpose_tile(in + from + row * walk.step + first, walk.step, out + to + first * out_step + row,
                                    out_step, std::min(kTransposeTile, walk.length - row), last - first);
                   }
                 }
               });
  return true;
}

}  // namespace

void strided_read(const std::byte* in, std::byte* out, const Index* extents, const Index* strides, Index rank,
                  Index bytes) {
  const Walk walk(extents, strides, rank);
  visit_size(bytes, [&]<class T>() {
    const T* from = reinterpret_cast<const T*>(in);
    T* to = reinterpret_cast<T*>(out);
    if (walk.step != 1 && read_tiled(walk, from, to)) return;
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

void pad_copy(const std::byte* in, std::byte* out, const Index* extents, const Index* before, const Index* after,
              Index rank, Index bytes, const std::byte* value) {
  // Dimensions behind the last padded one belong to its elements: rows become as long as they can.
  Index inner = 1;
  Index last = rank - 1;
  for (; last > 0 && before[last] == 0 && after[last] == 0; --last) inner *= extents[last];
  const Index length = extents[last] * inner, left = before[last] * inner, right = after[last] * inner;
  Index rows = 1;
  for (Index d = 0; d < last; ++d) rows *= before[d] + extents[d] + after[d];
  const Index total = left + length + right;
  if (total == 0) return;
  visit_size(bytes, [&]<class T>() {
    T fill;
    std::memcpy(&fill, value, sizeof(T));
    parallel_for(rows, tuning::rows_per_task(total), [&](Index begin, Index end) {
      for (Index row = begin; row < end; ++row) {
        Index rest = row, source = 0, stride = 1;
        bool inside = true;
        for (Index d = last - 1; d >= 0; --d) {
          const Index extent = before[d] + extents[d] + after[d];
          const Index at = rest % extent - before[d];
          rest /= extent;
          inside = inside && at >= 0 && at < extents[d];
          source += at * stride;
          stride *= extents[d];
        }
        T* to = reinterpret_cast<T*>(out) + row * total;
        if (!inside) {
          std::fill_n(to, total, fill);
          continue;
        }
        std::fill_n(to, left, fill);
        std::memcpy(to + left, reinterpret_cast<const T*>(in) + source * length,
                    static_cast<std::size_t>(length) * sizeof(T));
        std::fill_n(to + left + length, right, fill);
      }
    });
  });
}

void copy_bytes(const std::byte* in, std::byte* out, Index bytes) {
  parallel_for(bytes, tuning::kCopyBytes, [=](Index begin, Index end) {
    std::memcpy(out + begin, in + begin, static_cast<std::size_t>(end - begin));
  });
}

void copy_pieces(const std::byte* in, std::byte* out, Index piece, Index count, Index stride) {
  parallel_for(piece * count, tuning::kCopyBytes, [=](Index begin, Index end) {
    while (begin < end) {
      const Index within = begin % piece, n = std::min(piece - within, end - begin);
      std::memcpy(out + begin / piece * stride + within, in + begin, static_cast<std::size_t>(n));
      begin += n;
    }
  });
}

void broadcast_copy(const Broadcast& plan, const std::byte* in, std::byte* out, Index bytes) {
  visit_size(bytes, [&]<class T>() {
    const T* const from = reinterpret_cast<const T*>(in);
    T* const to = reinterpret_cast<T*>(out);
    const auto fill = [&](const T* row, Index n, T* y) {
      if (plan.a_step == 1) std::memcpy(y, row, static_cast<std::size_t>(n) * sizeof(T));
      else std::fill_n(y, n, *row);
    };
    if (plan.rows == 1) {
      parallel_for(plan.length, tuning::kGrain,
                   [&](Index begin, Index end) { fill(from + begin * plan.a_step, end - begin, to + begin); });
      return;
    }
    parallel_for(plan.rows, tuning::rows_per_task(plan.length), [&](Index begin, Index end) {
      plan.for_rows(begin, end, [&](Index a, Index, Index y) { fill(from + a, plan.length, to + y); });
    });
  });
}

}  // namespace tapestry::kernels
