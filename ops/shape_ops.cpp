#include <tapestry/ops/shape_ops.h>

#include <algorithm>
#include <numeric>

#include <tapestry/autograd/base/check.h>
#include <tapestry/autograd/base/extent.h>
#include <tapestry/autograd/record.h>
#include <tapestry/ops/binary.h>
#include <tapestry/ops/detail/common.h>
#include <tapestry/ops/index.h>
#include <tapestry/ops/kernels/copy.h>

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
  kernels::strided_read(x.impl().bytes() + offset * bytes, y.impl().bytes(), shape.begin(), strides.data(),
                        shape.rank(), bytes);
  return y;
}

/// x written into y: element (i0, i1, ...) to offset + sum of i_d strides[d], in elements.
void write_strided(const Tensor& x, Tensor& y, const Extents& strides, Index offset) {
  const Index bytes = item_bytes(x.dtype());
  if (x.numel() == 0) return;
  kernels::strided_write(x.impl().bytes(), y.impl().bytes() + offset * bytes, x.shape().begin(), strides.data(),
                         x.dim(), bytes);
}

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

using Widths = std::vector<std::pair<Index, Index>>;

/// pad with a constant, checked: crops where widths are negative, then adds. Its transpose is itself, widths negated.
Tensor pad_constant(const Tensor& x, const Widths& widths, double value) {
  std::vector<Index> kept(x.shape().begin(), x.shape().end()), extents;
  Extents before{}, after{};
  const Extents strides = strides_of(x.shape());
  Index skipped = 0;
  for (std::size_t i = 0; i < widths.size(); ++i) {
    skipped -= std::min<Index>(widths[i].first, 0) * strides[i];
    kept[i] += std::min<Index>(widths[i].first, 0) + std::min<Index>(widths[i].second, 0);
    before[i] = std::max<Index>(widths[i].first, 0);
    after[i] = std::max<Index>(widths[i].second, 0);
  }
  for (std::size_t i = 0; i < kept.size(); ++i) {
    extents.push_back(checked_sum("pad", checked_sum("pad", before[i], after[i]), kept[i]));
  }
  const Shape kept_shape{std::span<const Index>(kept)}, shape{std::span<const Index>(extents)};
  Tensor y = kept_shape == x.shape() ? x : strided(x, kept_shape, strides, skipped);
  if (shape != kept_shape) {
    const Tensor fill = full({}, value, {.dtype = x.dtype()});
    Tensor wide = empty(shape, x.dtype());
    kernels::pad_copy(y.impl().bytes(), wide.impl().bytes(), kept_shape.begin(), before.data(), after.data(), x.dim(),
                      item_bytes(x.dtype()), fill.impl().bytes());
    y = std::move(wide);
  }
  return record("pad", std::move(y),
                wrt(
                    x,
                    [widths](const Tensor& dy) {
                      Widths back = widths;
                      for (auto& [first, second] : back) first = -first, second = -second;
                      return pad_constant(dy, back, 0);
                    },
                    [&](const Tensor& t) { return pad_constant(t, widths, 0); }));
}

Tensor reshape_checked(const Tensor& x, const Shape& shape) {
  return record("reshape", detail::alias(x, shape),
                wrt(
                    x, [](const Tensor& dy, const Shape& before) { return reshape(dy, before); },
                    [&](const Tensor& t) { return reshape(t, shape); }));
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
                      Widths widths(static_cast<std::size_t>(d) + 1);
                      widths.back() = {begin, shape[d] - end};
                      return pad_constant(dy, widths, 0);
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

Tensor pad(const Tensor& x, const std::vector<std::pair<Index, Index>>& widths, const PadOptions& options, Here here) {
  const CallSite site(here);
  if (static_cast<Index>(widths.size()) > x.dim()) {
    throw_invalid("pad: there must be at most {} pairs, one per dim; got {}", x.dim(), widths.size());
  }
  bool changes = false;
  for (std::size_t i = 0; i < widths.size(); ++i) {
    const auto [before, after] = widths[i];
    const auto d = static_cast<Index>(i);
    const Index extent = x.shape()[d];
    const Index cut = checked_sum("pad", std::min<Index>(before, 0), std::min<Index>(after, 0));
    const Index kept = extent + cut;
    if (kept < 0) {
      throw_invalid("pad: what is left must not be negative; got {} with ({}, {}) in dim {}", extent, before, after, d);
    }
    if (options.mode == PadMode::reflect && std::max(before, after) > 0 && std::max(before, after) >= kept) {
      throw_invalid("pad: a reflected width must be below the extent, {}; got ({}, {}) in dim {}", kept, before, after,
                    d);
    }
    changes = changes || before != 0 || after != 0;
  }
  if (options.mode == PadMode::constant) {
    visit(x.dtype(), [&]<class T>() { (void)number_as<T>("pad", options.value); });
    return changes ? pad_constant(x, widths, options.value) : x;
  }
  Tensor y = x;
  for (std::size_t i = 0; i < widths.size(); ++i) {
    if (widths[i].first == 0 && widths[i].second == 0) continue;
    const auto d = static_cast<Index>(i);
    y = index_select(y, reflect_index(y.shape()[d], widths[i].first, widths[i].second), {.dim = d});
  }
  return y;
}

Tensor pad2d(const Tensor& x, const Pad2dOptions& options, Here here) {
  const CallSite site(here);
  check_image("pad2d", x.shape());
  return pad(x, {{0, 0}, {options.top, options.bottom}, {options.left, options.right}},
             {.mode = options.mode, .value = options.value});
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

}  // namespace tapestry
