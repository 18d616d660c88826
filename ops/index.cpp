#include <tapestry/ops/index.h>

#include <algorithm>
#include <cstdint>

#include <tapestry/autograd/base/check.h>
#include <tapestry/autograd/record.h>
#include <tapestry/ops/binary.h>
#include <tapestry/ops/broadcast.h>
#include <tapestry/ops/cast.h>
#include <tapestry/ops/compare.h>
#include <tapestry/ops/detail/common.h>
#include <tapestry/ops/detail/kernel_operands.h>
#include <tapestry/ops/kernels/find.h>
#include <tapestry/ops/kernels/index.h>
#include <tapestry/ops/kernels/sort.h>
#include <tapestry/ops/shape_ops.h>

namespace tapestry {
namespace {

/// The indices as i64, each in [0, extent).
Tensor checked(const char* op, const Tensor& index, Index extent) {
  if (index.dtype() != i64 && index.dtype() != i32) {
    throw_invalid("{}: the index must be i64 or i32; got {}", op, index.dtype());
  }
  Tensor wide = to(index, i64);
  const auto* at = wide.data<std::int64_t>();
  const Index i = kernels::first_outside(at, wide.numel(), std::int64_t{0}, extent - 1);
  if (i < wide.numel()) {
    throw_out_of_range("{}: an index must be in [0, {}); got {} at position {}", op, extent, at[i], i);
  }
  return wide;
}

/// Extents of a gather: the index may be smaller than x in every dimension but dim.
kernels::GatherShape plan(const char* op, const Shape& x, const Shape& index, Index given_dim) {
  const Index dim = normalize_dim(op, given_dim, x.rank());
  bool fits = x.rank() == index.rank();
  for (Index i = 0; fits && i < x.rank(); ++i) fits = i == dim || index[i] <= x[i];
  if (!fits) {
    throw_invalid("{}: the index must have x's rank and no larger extents but in dim {}; x is {}, the index {}", op,
                  dim, x, index);
  }
  if (x.rank() == 0) return {Shape{1}, Shape{1}, dim};
  return {x, index, dim};
}

/// y = x, but where writer names an element of src [n, ...] by its number along the first dimension: -1 names none.
/// writer has the dimensions of x, or fewer where an element of src is a row of x.
Tensor overwritten(const Tensor& x, const Tensor& writer, const Tensor& src) {
  const Tensor chosen = index_select(src, reshape(maximum(writer, 0), {-1}));
  Shape mask = writer.shape();
  while (mask.rank() < x.dim()) mask = mask.inserted(mask.rank(), 1);
  return where(reshape(ge(writer, 0), mask), reshape(chosen, x.shape()), x);
}

/// The writer of each place, -1 where there is none.
Tensor writers(const kernels::GatherShape& extents, const Tensor& at, const Shape& shape) {
  Tensor writer = full(shape, -1, {.dtype = i64});
  kernels::last_writer(extents, at.data<std::int64_t>(), writer.mutable_data<std::int64_t>());
  return writer;
}

/// Positions of what is true, [n].
Tensor positions_of(const Tensor& mask) {
  Tensor at = empty({kernels::true_positions(mask.data<bool>(), mask.numel(), nullptr)}, i64);
  kernels::true_positions(mask.data<bool>(), mask.numel(), at.mutable_data<std::int64_t>());
  return at;
}

/// Positions along a dimension in the order of the elements, stable; the first k where k is given.
Tensor order_along(const char* op, const Tensor& x, Index dim, bool descending, std::optional<Index> k) {
  const Index d = normalize_dim(op, dim, x.dim());
  const Index extent = x.dim() == 0 ? 1 : x.shape()[d];
  const Index count = k.value_or(extent);
  if (count < 0 || count > extent)
    throw_invalid("{}: k must be in [0, {}], the extent of dim {}; got {}", op, extent, d, count);
  if (x.dim() == 0 && count == 0) throw_invalid("{}: a scalar has no dim to take 0 elements of", op);
  if (x.dim() == 0) return zeros({}, {.dtype = i64});
  Tensor order = empty(x.shape().with(d, count), i64);
  if (order.numel() == 0) return order;
  kernels::sort_order(elements(x), x.shape().numel(0, d), extent, x.shape().numel(d + 1, x.dim()), descending, count,
                      order.mutable_data<std::int64_t>());
  return order;
}

Sorted sorted(const char* op, const Tensor& x, Index dim, bool descending, std::optional<Index> k) {
  Tensor order = order_along(op, x, dim, descending, k);
  Tensor values = gather(x, order, {.dim = dim});
  return {std::move(values), std::move(order)};
}

}  // namespace

Tensor gather(const Tensor& x, const Tensor& index, const GatherOptions& options, Here here) {
  const CallSite site(here);
  const kernels::GatherShape extents = plan("gather", x.shape(), index.shape(), options.dim);
  const Tensor at = checked("gather", index, extents.x[extents.dim]);
  Tensor y = empty(index.shape(), x.dtype());
  kernels::gather(extents, at.data<std::int64_t>(), x.impl().bytes(), y.impl().bytes(), item_bytes(x.dtype()));
  return record("gather", std::move(y),
                wrt(
                    x,
                    [at = saved(at), shape = x.shape(), options](const Tensor& dy) {
                      return scatter_add(dy, at(), shape, options);
                    },
                    [&](const Tensor& t) { return gather(t, at, options); }));
}

Tensor scatter_add(const Tensor& x, const Tensor& index, const Shape& shape, const GatherOptions& options, Here here) {
  const CallSite site(here);
  if (x.dtype() == bf16) return to(scatter_add(to(x, f32), index, shape, options), bf16);  // rounded once
  check_any_float("scatter_add", x);
  check_shape("scatter_add", "x", x, index.shape());
  const kernels::GatherShape extents = plan("scatter_add", shape, index.shape(), options.dim);
  const Tensor at = checked("scatter_add", index, extents.x[extents.dim]);
  Tensor y = zeros(shape, {.dtype = x.dtype()});
  visit_float(x.dtype(), [&]<class T>() {
    kernels::scatter_add(extents, at.data<std::int64_t>(), x.data<T>(), y.mutable_data<T>());
  });
  return record("scatter_add", std::move(y),
                wrt(
                    x, [at = saved(at), options](const Tensor& dy) { return gather(dy, at(), options); },
                    [&](const Tensor& t) { return scatter_add(t, at, shape, options); }));
}

Tensor take_along_dim(const Tensor& x, const Tensor& index, const GatherOptions& options, Here here) {
  const CallSite site(here);
  if (x.dim() != index.dim()) {
    throw_invalid("take_along_dim: the index must have x's rank; x is {}, the index {}", x.shape(), index.shape());
  }
  const Index d = normalize_dim("take_along_dim", options.dim, x.dim());
  const Tensor at = checked("take_along_dim", index, x.dim() == 0 ? 1 : x.shape()[d]);
  if (x.dim() == 0) return gather(x, at, {.dim = d});
  const Shape common = broadcast_shape("take_along_dim", x.shape().with(d, 1), at.shape().with(d, 1));
  return gather(broadcast_to(x, common.with(d, x.shape()[d])), broadcast_to(at, common.with(d, at.shape()[d])),
                {.dim = d});
}

Tensor scatter(const Tensor& x, const Tensor& index, const Operand& src, const GatherOptions& options, Here here) {
  const CallSite site(here);
  check_defined("scatter", "x", x);
  const kernels::GatherShape extents = plan("scatter", x.shape(), index.shape(), options.dim);
  const Tensor at = checked("scatter", index, extents.x[extents.dim]);
  Tensor from;
  if (src.is_tensor()) {
    check_defined("scatter", "src", src.tensor());
    check_same_dtype("scatter", x, src.tensor());
    check_shape("scatter", "src", src.tensor(), index.shape());
    from = src.tensor();
  } else {
    visit(x.dtype(), [&]<class T>() { static_cast<void>(number_as<T>("scatter", src)); });
    from = full(index.shape(), src.exact_number(), {.dtype = x.dtype()});
  }
  if (at.numel() == 0) return clone(x);
  return overwritten(x, writers(extents, at, x.shape()), reshape(from, {-1}));
}

Tensor index_select(const Tensor& x, const Tensor& index, const IndexOptions& options, Here here) {
  const CallSite site(here);
  if (index.dim() != 1) throw_invalid("index_select: the index must have one dimension; got {}", index.shape());
  if (x.dim() == 0) throw_invalid("index_select: a scalar has no dim to select from");
  const Index d = normalize_dim("index_select", options.dim, x.dim());
  const Tensor at = checked("index_select", index, x.shape()[d]);
  const Index m = at.numel(), n = x.shape()[d], outer = x.shape().numel(0, d);
  const Index run = x.shape().numel(d + 1, x.dim()) * item_bytes(x.dtype());
  Tensor y = empty(x.shape().with(d, m), x.dtype());
  kernels::index_select(x.impl().bytes(), outer, n, run, at.data<std::int64_t>(), m, y.impl().bytes());
  return record("index_select", std::move(y),
                wrt(
                    x, [at = saved(at), n, d](const Tensor& dy) { return index_add(dy, at(), n, {.dim = d}); },
                    [&](const Tensor& t) { return index_select(t, at, {.dim = d}); }));
}

Tensor index_add(const Tensor& x, const Tensor& index, Index size, const IndexOptions& options, Here here) {
  const CallSite site(here);
  if (x.dtype() == bf16) return to(index_add(to(x, f32), index, size, options), bf16);  // rounded once
  check_any_float("index_add", x);
  if (x.dim() == 0) throw_invalid("index_add: a scalar has no dim to add along");
  const Index d = normalize_dim("index_add", options.dim, x.dim());
  check_shape("index_add", "the index", index, {x.shape()[d]});
  const Tensor at = checked("index_add", index, size);
  const Index m = x.shape()[d], outer = x.shape().numel(0, d), run = x.shape().numel(d + 1, x.dim());
  Tensor y = zeros(x.shape().with(d, size), {.dtype = x.dtype()});
  visit_float(x.dtype(), [&]<class T>() {
    kernels::index_add(x.data<T>(), outer, m, run, at.data<std::int64_t>(), size, y.mutable_data<T>());
  });
  return record("index_add", std::move(y),
                wrt(
                    x, [at = saved(at), d](const Tensor& dy) { return index_select(dy, at(), {.dim = d}); },
                    [&](const Tensor& t) { return index_add(t, at, size, {.dim = d}); }));
}

Tensor take(const Tensor& x, const Tensor& index, Here here) {
  const CallSite site(here);
  check_defined("take", "x", x);
  const Tensor at = checked("take", index, x.numel());
  return reshape(index_select(reshape(x, {-1}), reshape(at, {-1})), at.shape());
}

Tensor index_put(const Tensor& x, const std::vector<Tensor>& indices, const Tensor& values,
                 const IndexPutOptions& options, Here here) {
  const CallSite site(here);
  check_defined("index_put", "x", x);
  check_defined("index_put", "values", values);
  check_same_dtype("index_put", x, values);
  if (options.accumulate) check_any_float("index_put", x);
  const auto named = static_cast<Index>(indices.size());
  if (named == 0 || named > x.dim()) {
    throw_invalid("index_put: there must be an index for one to {} dims; got {}", x.dim(), named);
  }
  Shape places = indices.front().shape();
  for (const Tensor& index : indices) places = broadcast_shape("index_put", places, index.shape());
  Tensor row = zeros(places, {.dtype = i64});  // in x as [rows, elements of a row]
  for (Index d = 0; d < named; ++d) {
    const Tensor at = checked("index_put", indices[static_cast<std::size_t>(d)], x.shape()[d]);
    row = row * x.shape()[d] + at;
  }
  const Index rows = x.shape().numel(0, named), length = x.shape().numel(named, x.dim()), n = places.numel();
  Shape wanted = places;
  for (Index d = named; d < x.dim(); ++d) wanted = wanted.inserted(wanted.rank(), x.shape()[d]);
  if (broadcast_shape("index_put", values.shape(), wanted) != wanted) {
    throw_invalid("index_put: values must broadcast to {}; got {}", wanted, values.shape());
  }
  const Tensor from = reshape(broadcast_to(values, wanted), Shape{n, length}), at = reshape(row, {-1});
  if (n == 0) return clone(x);
  if (options.accumulate) return x + reshape(index_add(from, at, rows), x.shape());
  const Tensor table = reshape(x, Shape{rows, length});
  return reshape(overwritten(table, writers({Shape{rows}, Shape{n}, 0}, at, Shape{rows}), from), x.shape());
}

Tensor masked_select(const Tensor& x, const Tensor& mask, Here here) {
  const CallSite site(here);
  check_defined("masked_select", "x", x);
  if (mask.dtype() != boolean) throw_invalid("masked_select: the mask must be bool; got {}", mask.dtype());
  const Shape common = broadcast_shape("masked_select", x.shape(), mask.shape());
  return index_select(reshape(broadcast_to(x, common), {-1}), positions_of(broadcast_to(mask, common)));
}

Tensor nonzero(const Tensor& x, Here here) {
  const CallSite site(here);
  check_defined("nonzero", "x", x);
  Tensor rest = positions_of(x.dtype() == boolean ? x : ne(x, 0));
  std::vector<Tensor> places(static_cast<std::size_t>(x.dim()));
  for (Index d = x.dim() - 1; d >= 0; --d) {
    const Index extent = std::max<Index>(x.shape()[d], 1);
    places[static_cast<std::size_t>(d)] = remainder(rest, extent);
    rest = floor_divide(rest, extent);
  }
  return places.empty() ? zeros({rest.numel(), 0}, {.dtype = i64}) : stack(places, {.dim = 1});
}

Tensor embedding(const Tensor& weight, const Tensor& index, const EmbeddingOptions& options, Here here) {
  const CallSite site(here);
  if (weight.dim() != 2) throw_invalid("embedding: the weight must be [V, D]; got {}", weight.shape());
  const Index v = weight.shape()[0], width = weight.shape()[1];
  const Tensor at = checked("embedding", index, v);
  const Tensor flat = reshape(at, Shape{at.numel()});
  Tensor rows = index_select(weight, flat);
  if (options.padding_idx) {
    const Index padding = *options.padding_idx;
    if (padding < 0 || padding >= v)
      throw_out_of_range("embedding: padding_idx must be in [0, {}); got {}", v, padding);
    rows = where(reshape(eq(flat, padding), Shape{flat.numel(), 1}), detail::without_history(rows), rows);
  }
  return reshape(rows, index.shape().inserted(index.dim(), width));
}

Tensor one_hot(const Tensor& index, Index num_classes, const OneHotOptions& options, Here here) {
  const CallSite site(here);
  if (num_classes < 1) throw_invalid("one_hot: num_classes must be at least 1; got {}", num_classes);
  const Tensor at = checked("one_hot", index, num_classes);
  Tensor y = zeros(index.shape().inserted(index.dim(), num_classes), {.dtype = options.dtype});
  const Tensor one = ones({}, {.dtype = options.dtype});
  kernels::mark(at.data<std::int64_t>(), at.numel(), num_classes, one.impl().bytes(), y.impl().bytes(),
                item_bytes(options.dtype));
  return y;
}

Sorted sort(const Tensor& x, const SortOptions& options, Here here) {
  const CallSite site(here);
  return sorted("sort", x, options.dim, options.descending, {});
}

Tensor argsort(const Tensor& x, const SortOptions& options, Here here) {
  const CallSite site(here);
  return order_along("argsort", x, options.dim, options.descending, {});
}

Sorted topk(const Tensor& x, Index k, const TopkOptions& options, Here here) {
  const CallSite site(here);
  return sorted("topk", x, options.dim, options.largest, k);
}

}  // namespace tapestry
