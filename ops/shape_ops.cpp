#include <tapestry/ops/shape_ops.h>

#include <algorithm>
#include <cstring>
#include <numeric>

#include <tapestry/autograd/check.h>
#include <tapestry/autograd/parallel.h>
#include <tapestry/autograd/record.h>
#include <tapestry/ops/binary.h>
#include <tapestry/ops/common.h>
#include <tapestry/ops/index.h>
#include <tapestry/ops/kernels/strided_copy.h>

namespace tapestry {
namespace {

using Extents = std::array<Index, kMaxRank>;

Extents strides_of(const Shape& shape) {
  Extents strides{};
  Index stride = 1;
  for (Index d = shape.rank() - 1; d >= 0; --d) {
    strides[static_cast<std::size_t>(d)] = stride;
    stride *= shape[d];
  }
  return strides;
}

/// y [shape] gathered from x: element (i0, i1, ...) from offset + sum of i_d strides[d], in elements.
Tensor strided(const Tensor& x, const Shape& shape, const Extents& strides, Index offset) {
  Tensor y = empty(shape, x.dtype());
  const Index bytes = item_bytes(x.dtype());
  kernels::strided_read(x.impl().data + offset * bytes, y.impl().data, shape.begin(), strides.data(), shape.rank(), bytes);
  return y;
}

Tensor filled(const Shape& shape, Dtype dtype, double value) { return full(shape, value, {.dtype = dtype}); }

Index clamp_position(Index at, Index extent) { return std::clamp<Index>(at < 0 ? at + extent : at, 0, extent); }

/// The transpose of slice: zeros of `shape` with dy written at begin, begin + step, ... along d.
Tensor unslice(const Tensor& dy, const Shape& shape, Index d, Index begin, Index step) {
  Tensor dx = filled(shape, dy.dtype(), 0);
  Extents strides = strides_of(shape);
  const Index bytes = item_bytes(dy.dtype());
  const Index offset = begin * strides[static_cast<std::size_t>(d)];
  strides[static_cast<std::size_t>(d)] *= step;
  if (dy.numel() > 0) {
    kernels::strided_write(dy.impl().data, dx.impl().data + offset * bytes, dy.shape().begin(), strides.data(), dy.dim(), bytes);
  }
  return record("unslice", std::move(dx), wrt(dy, [d, begin, step, n = dy.shape()[d]](const Tensor& g) {
                  return slice(g, {.dim = d, .begin = begin, .end = n == 0 ? begin : begin + (n - 1) * step + 1, .step = step});
                }));
}

Tensor reshape_checked(const Tensor& x, const Shape& shape) {
  return record("reshape", detail::alias(x, shape),
                wrt(x, [shape = x.shape()](const Tensor& dy) { return reshape(dy, shape); }));
}

/// Positions of the source of each element along a reflected dimension.
Tensor reflect_index(Index extent, Index before, Index after) {
  Tensor index = empty({before + extent + after}, i64);
  auto* out = index.mutable_data<std::int64_t>();
  for (Index i = 0; i < index.numel(); ++i) {
    const Index at = i - before;
    out[i] = at < 0 ? -at : at >= extent ? 2 * (extent - 1) - at : at;
  }
  return index;
}

}  // namespace

Tensor reshape(const Tensor& x, std::initializer_list<Index> extents, Here here) {
  const CallSite site(here);
  std::vector<Index> shape(extents);
  const auto wild = std::find(shape.begin(), shape.end(), -1);
  if (wild != shape.end()) {
    if (std::find(wild + 1, shape.end(), -1) != shape.end()) throw_invalid("reshape: at most one extent may be -1");
    Index known = 1;
    for (const Index extent : shape) known *= extent == -1 ? 1 : extent;
    if (known == 0) throw_invalid("reshape: -1 beside an extent of 0 is ambiguous; x is {}", x.shape());
    if (known < 0 || x.numel() % known != 0) {
      throw_invalid("reshape: {} elements must divide into the other extents, {}; x is {}", x.numel(), known, x.shape());
    }
    *wild = x.numel() / known;
  }
  return reshape(x, Shape(std::span<const Index>(shape)), here);
}

Tensor reshape(const Tensor& x, const Shape& shape, Here here) {
  const CallSite site(here);
  if (shape == x.shape()) return x;
  if (shape.numel() != x.numel()) {
    throw_invalid("reshape: the number of elements must stay {}; got {} for x of shape {}", x.numel(), shape, x.shape());
  }
  return reshape_checked(x, shape);
}

Tensor flatten(const Tensor& x, const FlattenOptions& options, Here here) {
  const CallSite site(here);
  if (x.dim() == 0) return reshape(x, Shape{1});
  if (x.dim() == 1 && options.start_dim == 1) return x;
  const Index begin = normalize_dim("flatten", options.start_dim, x.dim());
  const Index end = normalize_dim("flatten", options.end_dim, x.dim());
  if (begin > end) throw_invalid("flatten: start_dim must not lie behind end_dim; got {} and {}", begin, end);
  std::vector<Index> shape(x.shape().begin(), x.shape().begin() + begin);
  shape.push_back(x.shape().numel(begin, end + 1));
  shape.insert(shape.end(), x.shape().begin() + end + 1, x.shape().end());
  return reshape(x, Shape(std::span<const Index>(shape)));
}

Tensor squeeze(const Tensor& x, Index dim, Here here) {
  const CallSite site(here);
  const Index d = normalize_dim("squeeze", dim, x.dim());
  return x.dim() == 0 || x.shape()[d] != 1 ? x : reshape(x, x.shape().without(d));
}

Tensor unsqueeze(const Tensor& x, Index dim, Here here) {
  const CallSite site(here);
  return reshape(x, x.shape().inserted(normalize_dim("unsqueeze", dim, x.dim() + 1), 1));
}

Tensor permute(const Tensor& x, const std::vector<Index>& order, Here here) {
  const CallSite site(here);
  const auto rank = static_cast<std::size_t>(x.dim());
  if (order.size() != rank) throw_invalid("permute: the order must name all {} dims; got {}", rank, order.size());
  const Extents from = strides_of(x.shape());
  std::vector<Index> extents(rank), inverse(rank, -1);
  Extents strides{};
  for (std::size_t i = 0; i < rank; ++i) {
    const auto d = static_cast<std::size_t>(normalize_dim("permute", order[i], x.dim()));
    if (inverse[d] != -1) throw_invalid("permute: each dim must be named once; got {} twice", d);
    inverse[d] = static_cast<Index>(i);
    extents[i] = x.shape()[static_cast<Index>(d)];
    strides[i] = from[d];
  }
  return record("permute", strided(x, Shape(std::span<const Index>(extents)), strides, 0),
                wrt(x, [inverse](const Tensor& dy) { return permute(dy, inverse); }));
}

Tensor transpose(const Tensor& x, Index dim0, Index dim1, Here here) {
  const CallSite site(here);
  std::vector<Index> order(static_cast<std::size_t>(x.dim()));
  std::iota(order.begin(), order.end(), 0);
  const Index a = normalize_dim("transpose", dim0, x.dim()), b = normalize_dim("transpose", dim1, x.dim());
  if (a == b) return x;
  std::swap(order[static_cast<std::size_t>(a)], order[static_cast<std::size_t>(b)]);
  return permute(x, order);
}

Tensor cat(const std::vector<Tensor>& tensors, const CatOptions& options, Here here) {
  const CallSite site(here);
  if (tensors.empty()) throw_invalid("cat: there must be a tensor; got an empty list");
  const Tensor& first = tensors.front();
  if (first.dim() == 0) throw_invalid("cat: scalars cannot be joined; use stack");
  const Index d = normalize_dim("cat", options.dim, first.dim());
  Index total = 0;
  for (std::size_t i = 0; i < tensors.size(); ++i) {
    const Tensor& x = tensors[i];
    check_same_dtype("cat", first, x);
    if (x.dim() != first.dim() || x.shape().with(d, 1) != first.shape().with(d, 1)) {
      throw_invalid("cat: extents other than that of dim {} must be equal; tensor 0 is {}, tensor {} is {}", d,
                    first.shape(), i, x.shape());
    }
    total += x.shape()[d];
  }
  const Shape shape = first.shape().with(d, total);
  Tensor y = empty(shape, first.dtype());
  const Index outer = shape.numel(0, d), inner = shape.numel(d + 1, shape.rank()) * item_bytes(first.dtype());
  Index at = 0;
  for (const Tensor& x : tensors) {
    const Index piece = x.shape()[d] * inner;
    for (Index o = 0; o < outer && piece > 0; ++o) {
      std::memcpy(y.impl().data + o * total * inner + at, x.impl().data + o * piece, static_cast<std::size_t>(piece));
    }
    at += piece;
  }
  std::vector<Index> sizes;
  for (const Tensor& x : tensors) sizes.push_back(x.shape()[d]);
  return record_joint("cat", std::move(y), tensors, [sizes, d](const Tensor& dy, const std::vector<bool>& wanted) {
    std::vector<Tensor> gradients(sizes.size());
    Index begin = 0;
    for (std::size_t i = 0; i < sizes.size(); ++i) {
      if (wanted[i]) gradients[i] = slice(dy, {.dim = d, .begin = begin, .end = begin + sizes[i]});
      begin += sizes[i];
    }
    return gradients;
  });
}

Tensor stack(const std::vector<Tensor>& tensors, const CatOptions& options, Here here) {
  const CallSite site(here);
  if (tensors.empty()) throw_invalid("stack: there must be a tensor; got an empty list");
  const Index d = normalize_dim("stack", options.dim, tensors.front().dim() + 1);
  std::vector<Tensor> expanded;
  for (std::size_t i = 0; i < tensors.size(); ++i) {
    if (tensors[i].shape() != tensors.front().shape()) {
      throw_invalid("stack: shapes must be equal; tensor 0 is {}, tensor {} is {}", tensors.front().shape(), i,
                    tensors[i].shape());
    }
    expanded.push_back(unsqueeze(tensors[i], d));
  }
  return cat(expanded, {.dim = d});
}

Tensor slice(const Tensor& x, const SliceOptions& options, Here here) {
  const CallSite site(here);
  if (x.dim() == 0) throw_invalid("slice: a scalar has no dim to slice");
  if (options.step < 1) throw_invalid("slice: step must be at least 1; got {}", options.step);
  const Index d = normalize_dim("slice", options.dim, x.dim());
  const Index extent = x.shape()[d];
  const Index begin = clamp_position(options.begin, extent);
  const Index end = std::max(begin, clamp_position(options.end.value_or(extent), extent));
  const Index n = (end - begin + options.step - 1) / options.step;
  if (n == extent && options.step == 1) return x;
  const Shape shape = x.shape().with(d, n);
  Extents strides = strides_of(x.shape());
  const Index stride = strides[static_cast<std::size_t>(d)];
  Tensor y;
  if (options.step == 1 && x.shape().numel(0, d) <= 1) {
    y = detail::alias(x, shape, n == 0 ? 0 : begin * stride * item_bytes(x.dtype()));
  } else {
    strides[static_cast<std::size_t>(d)] = stride * options.step;
    y = strided(x, shape, strides, begin * stride);
  }
  return record("slice", std::move(y), wrt(x, [shape = x.shape(), d, begin, step = options.step](const Tensor& dy) {
                  return unslice(dy, shape, d, begin, step);
                }));
}

Tensor select(const Tensor& x, const SelectOptions& options, Here here) {
  const CallSite site(here);
  if (x.dim() == 0) throw_invalid("select: a scalar has no dim to select from");
  const Index d = normalize_dim("select", options.dim, x.dim());
  const Index extent = x.shape()[d];
  if (options.index < -extent || options.index >= extent) {
    throw_out_of_range("select: the index must be in [{}, {}); got {} for dim {} of {}", -extent, extent, options.index, d,
                       x.shape());
  }
  const Index at = options.index < 0 ? options.index + extent : options.index;
  return reshape(slice(x, {.dim = d, .begin = at, .end = at + 1}), x.shape().without(d));
}

std::vector<Tensor> split(const Tensor& x, Index size, const SplitOptions& options, Here here) {
  const CallSite site(here);
  if (size < 1) throw_invalid("split: the size of a piece must be at least 1; got {}", size);
  if (x.dim() == 0) throw_invalid("split: a scalar has no dim to split");
  const Index d = normalize_dim("split", options.dim, x.dim());
  std::vector<Tensor> pieces;
  for (Index at = 0; at < x.shape()[d]; at += size) pieces.push_back(slice(x, {.dim = d, .begin = at, .end = at + size}));
  if (pieces.empty()) pieces.push_back(x);
  return pieces;
}

Tensor pad(const Tensor& x, const std::vector<std::pair<Index, Index>>& widths, const PadOptions& options, Here here) {
  const CallSite site(here);
  if (static_cast<Index>(widths.size()) > x.dim()) {
    throw_invalid("pad: there must be at most {} pairs, one per dim; got {}", x.dim(), widths.size());
  }
  Tensor y = x;
  for (std::size_t i = 0; i < widths.size(); ++i) {
    auto [before, after] = widths[i];
    const auto d = static_cast<Index>(i);
    const Index extent = x.shape()[d];
    if (extent + before + after < 0 || extent + std::min<Index>(before, 0) + std::min<Index>(after, 0) < 0) {
      throw_invalid("pad: what is left must not be negative; got {} with ({}, {}) in dim {}", extent, before, after, d);
    }
    if (before < 0 || after < 0) {
      y = slice(y, {.dim = d, .begin = std::max<Index>(0, -before), .end = extent - std::max<Index>(0, -after)});
      before = std::max<Index>(0, before);
      after = std::max<Index>(0, after);
    }
    if (before == 0 && after == 0) continue;
    const Index kept = y.shape()[d];
    if (options.mode == PadMode::reflect) {
      if (before >= kept || after >= kept) {
        throw_invalid("pad: a reflected width must be below the extent, {}; got ({}, {}) in dim {}", kept, before, after, d);
      }
      y = index_select(y, reflect_index(kept, before, after), {.dim = d});
    } else {
      const Shape edge = y.shape();
      std::vector<Tensor> parts;
      if (before > 0) parts.push_back(filled(edge.with(d, before), x.dtype(), options.value));
      parts.push_back(y);
      if (after > 0) parts.push_back(filled(edge.with(d, after), x.dtype(), options.value));
      y = cat(parts, {.dim = d});
    }
  }
  return y;
}

Tensor flip(const Tensor& x, const std::vector<Index>& dims, Here here) {
  const CallSite site(here);
  Extents strides = strides_of(x.shape());
  Index offset = 0;
  std::vector<bool> seen(static_cast<std::size_t>(kMaxRank));
  for (const Index dim : dims) {
    const Index d = normalize_dim("flip", dim, x.dim());
    const auto i = static_cast<std::size_t>(d);
    if (seen[i]) throw_invalid("flip: each dim must be named once; got {} twice", dim);
    seen[i] = true;
    if (x.dim() == 0 || x.numel() == 0) continue;
    offset += (x.shape()[d] - 1) * strides[i];
    strides[i] = -strides[i];
  }
  return record("flip", strided(x, x.shape(), strides, offset),
                wrt(x, [dims](const Tensor& dy) { return flip(dy, dims); }));
}

}  // namespace tapestry
