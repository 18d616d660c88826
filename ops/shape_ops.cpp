#include <tapestry/ops/shape_ops.h>

#include <algorithm>
#include <limits>
#include <numeric>

#include <tapestry/autograd/base/check.h>
#include <tapestry/autograd/base/extent.h>
#include <tapestry/autograd/record.h>
#include <tapestry/ops/binary.h>
#include <tapestry/ops/compare.h>
#include <tapestry/ops/detail/common.h>
#include <tapestry/ops/detail/strided.h>
#include <tapestry/ops/index.h>
#include <tapestry/ops/kernels/copy.h>

namespace tapestry {
namespace {

Index clamp_position(Index at, Index extent) { return std::clamp<Index>(at < 0 ? at + extent : at, 0, extent); }

/// The transpose of a slice with gaps: zeros of `shape` with dy written at begin, begin + step, ... along d.
Tensor unslice(const Tensor& dy, const Shape& shape, Index d, Index begin, Index step) {
  Tensor dx = zeros(shape, {.dtype = dy.dtype()});
  Extents strides = strides_of(shape);
  const Index offset = begin * strides[static_cast<std::size_t>(d)];
  strides[static_cast<std::size_t>(d)] *= step;
  write_strided(dy, dx, strides, offset);
  return record("slice_grad", std::move(dx),
                wrt(
                    dy,
                    [d, begin, step, n = dy.shape()[d]](const Tensor& g) {
                      return slice(
                          g,
                          {.dim = d, .begin = begin, .end = n == 0 ? begin : begin + (n - 1) * step + 1, .step = step});
                    },
                    [&](const Tensor& t) { return unslice(t, shape, d, begin, step); }));
}

Tensor reshape_checked(const Tensor& x, const Shape& shape) {
  return record("reshape", detail::alias(x, shape),
                wrt(
                    x, [](const Tensor& dy, const Shape& before) { return reshape(dy, before); },
                    [&](const Tensor& t) { return reshape(t, shape); }));
}

}  // namespace

Tensor reshape(const Tensor& x, std::initializer_list<Index> extents, Here here) {
  const CallSite site(here);
  std::vector<Index> shape(extents);
  const auto wild = std::find(shape.begin(), shape.end(), -1);
  if (wild != shape.end()) {
    if (std::find(wild + 1, shape.end(), -1) != shape.end())
      throw_invalid("reshape: at most one extent may be -1; got {}", std::count(shape.begin(), shape.end(), -1));
    *wild = 1;
    const Index known = Shape(std::span<const Index>(shape)).numel();
    if (known == 0) throw_invalid("reshape: -1 beside an extent of 0 is ambiguous; x is {}", x.shape());
    if (x.numel() % known != 0) {
      throw_invalid("reshape: {} elements must divide into the other extents, {}; x is {}", x.numel(), known,
                    x.shape());
    }
    *wild = x.numel() / known;
  }
  return reshape(x, Shape(std::span<const Index>(shape)), here);
}

Tensor reshape(const Tensor& x, const Shape& shape, Here here) {
  const CallSite site(here);
  if (shape == x.shape()) return x;
  if (shape.numel() != x.numel()) {
    throw_invalid("reshape: the number of elements must stay {}; got {} for x of shape {}", x.numel(), shape,
                  x.shape());
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
                wrt(
                    x, [inverse](const Tensor& dy) { return permute(dy, inverse); },
                    [&](const Tensor& t) { return permute(t, order); }));
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

Tensor movedim(const Tensor& x, const std::vector<Index>& source, const std::vector<Index>& destination, Here here) {
  const CallSite site(here);
  if (source.size() != destination.size()) {
    throw_invalid("movedim: there must be a destination for each source; got {} and {}", source.size(),
                  destination.size());
  }
  const auto rank = static_cast<std::size_t>(x.dim());
  std::vector<Index> order(rank, -1);
  std::vector<bool> moved(rank);
  for (std::size_t i = 0; i < source.size(); ++i) {
    const Index from = normalize_dim("movedim", source[i], x.dim());
    const Index to = normalize_dim("movedim", destination[i], x.dim());
    if (rank == 0) continue;
    if (moved[static_cast<std::size_t>(from)] || order[static_cast<std::size_t>(to)] != -1) {
      throw_invalid("movedim: each dim must be named once on either side; got {} to {} after another", source[i],
                    destination[i]);
    }
    moved[static_cast<std::size_t>(from)] = true;
    order[static_cast<std::size_t>(to)] = from;
  }
  Index next = 0;
  for (Index& place : order) {
    if (place != -1) continue;
    while (moved[static_cast<std::size_t>(next)]) ++next;
    place = next++;
  }
  return permute(x, order);
}

Tensor movedim(const Tensor& x, Index source, Index destination, Here here) {
  return movedim(x, std::vector{source}, std::vector{destination}, here);
}

Tensor unflatten(const Tensor& x, Index dim, const std::vector<Index>& extents, Here here) {
  const CallSite site(here);
  if (x.dim() == 0) throw_invalid("unflatten: a scalar has no dim to unflatten");
  const Index d = normalize_dim("unflatten", dim, x.dim());
  const Index extent = x.shape()[d];
  std::vector<Index> parts = extents;
  Index known = 1;
  Index* wild = nullptr;
  for (Index& part : parts) {
    if (part >= 0) known = checked_product("unflatten", known, part);
    else if (part == -1 && wild == nullptr) wild = &part;
    else throw_invalid("unflatten: extents must not be negative but for one -1; got {}", part);
  }
  if (wild != nullptr && known > 0 && extent % known == 0) {
    *wild = extent / known;
    known = extent;
  } else if (wild != nullptr) {
    throw_invalid("unflatten: the extent {} of dim {} must divide into the other extents, {}", extent, d, known);
  }
  if (known != extent) {
    throw_invalid("unflatten: extents must multiply to {}, that of dim {}; got {}", extent, d, known);
  }
  std::vector<Index> shape(x.shape().begin(), x.shape().begin() + d);
  shape.insert(shape.end(), parts.begin(), parts.end());
  shape.insert(shape.end(), x.shape().begin() + d + 1, x.shape().end());
  return reshape(x, Shape(std::span<const Index>(shape)));
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
    total = checked_sum("cat", total, x.shape()[d]);
  }
  const Shape shape = first.shape().with(d, total);
  Tensor y = empty(shape, first.dtype());
  const Index outer = shape.numel(0, d), inner = shape.numel(d + 1, shape.rank()) * item_bytes(first.dtype());
  Index at = 0;
  for (const Tensor& x : tensors) {
    const Index piece = x.shape()[d] * inner;
    kernels::copy_pieces(x.impl().bytes(), y.impl().bytes() + at, piece, outer, total * inner);
    at += piece;
  }
  std::vector<Index> sizes;
  for (const Tensor& x : tensors) sizes.push_back(x.shape()[d]);
  const auto rule = [sizes, d](const Tensor& dy, const std::vector<bool>& wanted) {
    std::vector<Tensor> gradients(sizes.size());
    Index begin = 0;
    for (std::size_t i = 0; i < sizes.size(); ++i) {
      if (wanted[i]) gradients[i] = slice(dy, {.dim = d, .begin = begin, .end = begin + sizes[i]});
      begin += sizes[i];
    }
    return gradients;
  };
  const auto tangent = [&](std::vector<Tensor> ts) {
    for (std::size_t i = 0; i < ts.size(); ++i) {
      if (!ts[i].defined()) ts[i] = zeros_like(tensors[i]);
    }
    return cat(ts, {.dim = d});
  };
  return record_joint("cat", std::move(y), tensors, rule, tangent);
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
  const Index step = std::min(options.step, std::max<Index>(extent, 1));  // a longer one leads to no second element
  const Index n = divide_up(end - begin, step);
  if (n == extent && step == 1) return x;
  const Shape shape = x.shape().with(d, n);
  Extents strides = strides_of(x.shape());
  const Index stride = strides[static_cast<std::size_t>(d)];
  Tensor y;
  if (step == 1 && x.shape().numel(0, d) <= 1) {
    y = detail::alias(x, shape, n == 0 ? 0 : begin * stride * item_bytes(x.dtype()));
  } else {
    strides[static_cast<std::size_t>(d)] = stride * step;
    y = strided(x, shape, strides, begin * stride);
  }
  return record("slice", std::move(y),
                wrt(
                    x,
                    [shape = x.shape(), d, begin, end, step](const Tensor& dy) {
                      if (step > 1) return unslice(dy, shape, d, begin, step);
                      std::vector<std::pair<Index, Index>> widths(static_cast<std::size_t>(d) + 1);
                      widths.back() = {begin, shape[d] - end};
                      return pad(dy, widths);
                    },
                    [&](const Tensor& t) { return slice(t, {.dim = d, .begin = begin, .end = end, .step = step}); }));
}

Tensor select(const Tensor& x, const SelectOptions& options, Here here) {
  const CallSite site(here);
  if (x.dim() == 0) throw_invalid("select: a scalar has no dim to select from");
  const Index d = normalize_dim("select", options.dim, x.dim());
  const Index extent = x.shape()[d];
  if (options.index < -extent || options.index >= extent) {
    throw_out_of_range("select: the index must be in [{}, {}); got {} for dim {} of {}", -extent, extent, options.index,
                       d, x.shape());
  }
  const Index at = options.index < 0 ? options.index + extent : options.index;
  return reshape(slice(x, {.dim = d, .begin = at, .end = at + 1}), x.shape().without(d));
}

Tensor Tensor::operator[](const detail::Position& at) const { return select(*this, {.index = at.index}, at.here); }

Tensor narrow(const Tensor& x, const NarrowOptions& options, Here here) {
  const CallSite site(here);
  if (x.dim() == 0) throw_invalid("narrow: a scalar has no dim to narrow");
  const Index d = normalize_dim("narrow", options.dim, x.dim());
  const Index extent = x.shape()[d];
  const Index start = options.start < 0 ? options.start + extent : options.start;
  if (options.length < 0 || start < 0 || start > extent - options.length) {
    throw_out_of_range("narrow: start and start + length must lie in an extent of {}; got start {}, length {}", extent,
                       options.start, options.length);
  }
  return slice(x, {.dim = d, .begin = start, .end = start + options.length});
}

std::vector<Tensor> split(const Tensor& x, Index size, const SplitOptions& options, Here here) {
  const CallSite site(here);
  if (size < 1) throw_invalid("split: the size of a piece must be at least 1; got {}", size);
  if (x.dim() == 0) throw_invalid("split: a scalar has no dim to split");
  const Index d = normalize_dim("split", options.dim, x.dim());
  std::vector<Tensor> pieces;
  for (Index at = 0; at < x.shape()[d]; at += size)
    pieces.push_back(slice(x, {.dim = d, .begin = at, .end = at + size}));
  if (pieces.empty()) pieces.push_back(x);
  return pieces;
}

std::vector<Tensor> split(const Tensor& x, const std::vector<Index>& sizes, const SplitOptions& options, Here here) {
  const CallSite site(here);
  if (x.dim() == 0) throw_invalid("split: a scalar has no dim to split");
  const Index d = normalize_dim("split", options.dim, x.dim());
  Index total = 0;
  for (const Index size : sizes) {
    if (size < 0) throw_invalid("split: the size of a piece must not be negative; got {}", size);
    total = checked_sum("split", total, size);
  }
  if (total != x.shape()[d]) {
    throw_invalid("split: sizes must add up to {}, the extent of dim {}; got {}", x.shape()[d], d, total);
  }
  std::vector<Tensor> pieces;
  Index at = 0;
  for (const Index size : sizes) {
    pieces.push_back(slice(x, {.dim = d, .begin = at, .end = at + size}));
    at += size;
  }
  return pieces;
}

std::vector<Tensor> chunk(const Tensor& x, Index chunks, const SplitOptions& options, Here here) {
  const CallSite site(here);
  if (chunks < 1) throw_invalid("chunk: the number of chunks must be at least 1; got {}", chunks);
  if (x.dim() == 0) throw_invalid("chunk: a scalar has no dim to split");
  const Index extent = x.shape()[normalize_dim("chunk", options.dim, x.dim())];
  return split(x, std::max<Index>(1, divide_up(extent, chunks)), options);
}

std::vector<Tensor> unbind(const Tensor& x, const SplitOptions& options, Here here) {
  const CallSite site(here);
  if (x.dim() == 0) throw_invalid("unbind: a scalar has no dim to unbind");
  const Index d = normalize_dim("unbind", options.dim, x.dim());
  std::vector<Tensor> slices;
  for (Index i = 0; i < x.shape()[d]; ++i) slices.push_back(select(x, {.dim = d, .index = i}));
  return slices;
}

Tensor repeat(const Tensor& x, const std::vector<Index>& counts, Here here) {
  const CallSite site(here);
  const auto added = static_cast<Index>(counts.size()) - x.dim();
  if (added < 0) throw_invalid("repeat: there must be a count for each of {} dims; got {}", x.dim(), counts.size());
  Tensor y = x;
  for (Index i = 0; i < added; ++i) y = unsqueeze(y, 0);
  for (std::size_t i = 0; i < counts.size(); ++i) {
    const auto d = static_cast<Index>(i);
    if (counts[i] < 0) throw_invalid("repeat: a count must not be negative; got {} for dim {}", counts[i], d);
    if (counts[i] == 0) {
      y = slice(y, {.dim = d, .end = 0});
    } else if (counts[i] > 1) {
      const Shape shape = y.shape().with(d, checked_product("repeat", y.shape()[d], counts[i]));
      const Index outer = y.shape().numel(0, d), inner = y.shape().numel(d, y.dim());
      y = reshape(broadcast_to(reshape(y, Shape{outer, 1, inner}), Shape{outer, counts[i], inner}), shape);
    }
  }
  return y;
}

Tensor tile(const Tensor& x, const std::vector<Index>& counts, Here here) {
  const CallSite site(here);
  std::vector<Index> all(static_cast<std::size_t>(std::max<Index>(x.dim() - static_cast<Index>(counts.size()), 0)), 1);
  all.insert(all.end(), counts.begin(), counts.end());
  return repeat(x, all);
}

Tensor expand(const Tensor& x, const std::vector<Index>& extents, Here here) {
  const CallSite site(here);
  std::vector<Index> shape = extents;
  const auto added = static_cast<Index>(extents.size()) - x.dim();
  for (std::size_t i = 0; i < shape.size(); ++i) {
    if (shape[i] != -1) continue;
    const Index own = static_cast<Index>(i) - added;
    if (own < 0) throw_invalid("expand: -1 stands for an extent of x; got it for new dim {}", i);
    shape[i] = x.shape()[own];
  }
  return broadcast_to(x, Shape(std::span<const Index>(shape)));
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
                wrt(x, self_adjoint, [dims](const Tensor& dy) { return flip(dy, dims); }));
}

Tensor roll(const Tensor& x, const std::vector<Index>& shifts, const std::vector<Index>& dims, Here here) {
  const CallSite site(here);
  if (dims.empty() && shifts.size() == 1) return reshape(roll(reshape(x, {-1}), shifts, {0}), x.shape());
  if (dims.size() != shifts.size()) {
    throw_invalid("roll: there must be a shift for each dim, or one shift and no dim; got {} and {}", shifts.size(),
                  dims.size());
  }
  Tensor y = x;
  for (std::size_t i = 0; i < dims.size(); ++i) {
    const Index d = normalize_dim("roll", dims[i], x.dim());
    const Index extent = x.dim() == 0 ? 0 : x.shape()[d];
    if (extent == 0) continue;
    const Index shift = (shifts[i] % extent + extent) % extent;  // in [0, extent)
    if (shift == 0) continue;
    y = cat({slice(y, {.dim = d, .begin = extent - shift}), slice(y, {.dim = d, .end = extent - shift})}, {.dim = d});
  }
  return y;
}

namespace {
/// Which elements of a matrix stand at or below a diagonal: column - row <= diagonal.
Tensor below(const char* op, const Shape& shape, Index diagonal) {
  if (shape.rank() < 2) throw_invalid("{}: x must be [..., M, N]; got {}", op, shape);
  const Index rows = shape[shape.rank() - 2], columns = shape[shape.rank() - 1];
  const Index last = std::clamp(diagonal, -rows, columns);  // further out changes nothing
  return le(reshape(arange(columns), {1, columns}), reshape(arange(rows) + last, {rows, 1}));
}
}  // namespace

Tensor tril(const Tensor& x, const TriangleOptions& options, Here here) {
  const CallSite site(here);
  return where(below("tril", x.shape(), options.diagonal), x, 0);
}

Tensor triu(const Tensor& x, const TriangleOptions& options, Here here) {
  const CallSite site(here);
  if (options.diagonal == std::numeric_limits<Index>::min()) return x;  // which has no predecessor
  return where(below("triu", x.shape(), options.diagonal - 1), 0, x);
}

}  // namespace tapestry
