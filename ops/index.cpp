#include <tapestry/ops/index.h>

#include <algorithm>
#include <cmath>
#include <cstring>
#include <numeric>
#include <type_traits>

#include <tapestry/autograd/base/check.h>
#include <tapestry/autograd/base/parallel.h>
#include <tapestry/autograd/memory/scratch.h>
#include <tapestry/autograd/record.h>
#include <tapestry/ops/cast.h>
#include <tapestry/ops/compare.h>
#include <tapestry/ops/detail/common.h>
#include <tapestry/ops/shape_ops.h>

namespace tapestry {
namespace {

constexpr Index kGrain = 16 * 1024;  // elements: random access costs more than a plain loop

/// The indices as i64, each in [0, extent).
Tensor checked(const char* op, const Tensor& index, Index extent) {
  if (index.dtype() != i64 && index.dtype() != i32) {
    throw_invalid("{}: the index must be i64 or i32; got {}", op, index.dtype());
  }
  Tensor wide = to(index, i64);
  const auto* at = wide.data<std::int64_t>();
  for (Index i = 0; i < wide.numel(); ++i) {
    if (at[i] < 0 || at[i] >= extent) {
      throw_out_of_range("{}: an index must be in [0, {}); got {} at position {}", op, extent, at[i], i);
    }
  }
  return wide;
}

/// Extents of a gather: index may be smaller than x in every dimension but dim.
struct GatherPlan {
  Index dim;
  Shape x, index;

  GatherPlan(const char* op, const Shape& x_shape, const Shape& index_shape, Index d)
      : dim(normalize_dim(op, d, x_shape.rank())), x(x_shape), index(index_shape) {
    bool fits = x.rank() == index.rank();
    for (Index i = 0; fits && i < x.rank(); ++i) fits = i == dim || index[i] <= x[i];
    if (!fits) {
      throw_invalid("{}: the index must have x's rank and no larger extents but in dim {}; x is {}, the index {}", op,
                    dim, x, index);
    }
    if (x.rank() == 0) x = index = Shape{1};
  }

  /// Calls f(position in index, offset in x without the indexed dimension) for all positions, in order.
  template <class F>
  void for_each(Index begin, Index end, const F& f) const {
    for (Index at = begin; at < end; ++at) {
      Index rest = at, offset = 0, stride = 1;
      for (Index d = x.rank() - 1; d >= 0; --d) {
        if (d != dim) offset += rest % index[d] * stride;
        rest /= index[d];
        stride *= x[d];
      }
      f(at, offset);
    }
  }

  [[nodiscard]] Index stride() const { return x.numel(dim + 1, x.rank()); }
};

/// a stands before b: NaN is the largest.
template <class T>
bool is_less(T a, T b) {
  if constexpr (std::is_same_v<T, BFloat16>) return is_less(static_cast<float>(a), static_cast<float>(b));
  else if constexpr (std::is_floating_point_v<T>) return a < b || (std::isnan(b) && !std::isnan(a));
  else return a < b;
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
  const Index inner = x.shape().numel(d + 1, x.dim());
  auto* out = order.mutable_data<std::int64_t>();
  visit(x.dtype(), [&]<class T>() {
    const T* in = x.data<T>();
    parallel_for(x.numel() / extent, std::max<Index>(1, kGrain / extent), [&](Index begin, Index end) {
      const Scratch<Index> order_of_line(extent);
      Index* const position = order_of_line.data();
      for (Index line = begin; line < end; ++line) {
        const T* from = in + line / inner * extent * inner + line % inner;
        const auto before = [&](Index a, Index b) {
          const T u = from[a * inner], v = from[b * inner];
          if (descending ? is_less(v, u) : is_less(u, v)) return true;
          return !(descending ? is_less(u, v) : is_less(v, u)) && a < b;
        };
        std::iota(position, position + extent, Index{0});
        if (count == extent) std::sort(position, position + extent, before);
        else std::partial_sort(position, position + count, position + extent, before);
        for (Index i = 0; i < count; ++i) {
          out[(line / inner * count + i) * inner + line % inner] = position[i];
        }
      }
    });
  });
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
  const GatherPlan plan("gather", x.shape(), index.shape(), options.dim);
  const Tensor at = checked("gather", index, plan.x[plan.dim]);
  Tensor y = empty(index.shape(), x.dtype());
  const Index bytes = item_bytes(x.dtype()), stride = plan.stride();
  const auto* from = at.data<std::int64_t>();
  parallel_for(y.numel(), kGrain, [&](Index begin, Index end) {
    plan.for_each(begin, end, [&](Index i, Index offset) {
      std::memcpy(y.impl().bytes() + i * bytes, x.impl().bytes() + (offset + from[i] * stride) * bytes,
                  static_cast<std::size_t>(bytes));
    });
  });
  return record("gather", std::move(y), wrt(x, [at = saved(at), shape = x.shape(), options](const Tensor& dy) {
                  return scatter_add(dy, at(), shape, options);
                }));
}

Tensor scatter_add(const Tensor& x, const Tensor& index, const Shape& shape, const GatherOptions& options, Here here) {
  const CallSite site(here);
  check_float("scatter_add", x);
  check_shape("scatter_add", "x", x, index.shape());
  const GatherPlan plan("scatter_add", shape, index.shape(), options.dim);
  const Tensor at = checked("scatter_add", index, plan.x[plan.dim]);
  Tensor y = zeros(shape, {.dtype = x.dtype()});
  visit_float(x.dtype(), [&]<class T>() {
    const T* in = x.data<T>();
    T* out = y.mutable_data<T>();
    const auto* to_index = at.data<std::int64_t>();
    const Index stride = plan.stride();
    plan.for_each(0, x.numel(), [&](Index i, Index offset) { out[offset + to_index[i] * stride] += in[i]; });
  });
  return record("scatter_add", std::move(y),
                wrt(x, [at = saved(at), options](const Tensor& dy) { return gather(dy, at(), options); }));
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
  const auto* from = at.data<std::int64_t>();
  if (y.numel() > 0) {
    parallel_for(outer * m, std::max<Index>(1, 4 * kGrain / run), [&](Index begin, Index end) {
      for (Index row = begin; row < end; ++row) {
        std::memcpy(y.impl().bytes() + row * run, x.impl().bytes() + (row / m * n + from[row % m]) * run,
                    static_cast<std::size_t>(run));
      }
    });
  }
  return record("index_select", std::move(y),
                wrt(x, [at = saved(at), n, d](const Tensor& dy) { return index_add(dy, at(), n, {.dim = d}); }));
}

Tensor index_add(const Tensor& x, const Tensor& index, Index size, const IndexOptions& options, Here here) {
  const CallSite site(here);
  check_float("index_add", x);
  if (x.dim() == 0) throw_invalid("index_add: a scalar has no dim to add along");
  const Index d = normalize_dim("index_add", options.dim, x.dim());
  check_shape("index_add", "the index", index, {x.shape()[d]});
  const Tensor at = checked("index_add", index, size);
  const Index m = x.shape()[d], outer = x.shape().numel(0, d), run = x.shape().numel(d + 1, x.dim());
  Tensor y = zeros(x.shape().with(d, size), {.dtype = x.dtype()});
  visit_float(x.dtype(), [&]<class T>() {
    const T* in = x.data<T>();
    T* out = y.mutable_data<T>();
    const auto* to_index = at.data<std::int64_t>();
    // Shared out over the outer dimension only: within one, rows may meet at the same place.
    parallel_for(outer, std::max<Index>(1, kGrain / std::max<Index>(1, m * run)), [=](Index begin, Index end) {
      for (Index row = begin * m; row < end * m; ++row) {
        T* sum = out + (row / m * size + to_index[row % m]) * run;
        for (Index j = 0; j < run; ++j) sum[j] += in[row * run + j];
      }
    });
  });
  return record("index_add", std::move(y),
                wrt(x, [at = saved(at), d](const Tensor& dy) { return index_select(dy, at(), {.dim = d}); }));
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
    rows = where(reshape(eq(flat, padding), Shape{flat.numel(), 1}), rows.detach(), rows);
  }
  return reshape(rows, index.shape().inserted(index.dim(), width));
}

Tensor one_hot(const Tensor& index, Index num_classes, const OneHotOptions& options, Here here) {
  const CallSite site(here);
  if (num_classes < 1) throw_invalid("one_hot: num_classes must be at least 1; got {}", num_classes);
  const Tensor at = checked("one_hot", index, num_classes);
  Tensor y = zeros(index.shape().inserted(index.dim(), num_classes), {.dtype = options.dtype});
  const auto* label = at.data<std::int64_t>();
  visit(options.dtype, [&]<class T>() {
    T* out = y.mutable_data<T>();
    for (Index i = 0; i < at.numel(); ++i) {
      if constexpr (std::is_same_v<T, BFloat16>) out[i * num_classes + label[i]] = BFloat16(1.0F);
      else out[i * num_classes + label[i]] = T{1};
    }
  });
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
