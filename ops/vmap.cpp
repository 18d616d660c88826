#include <tapestry/ops/vmap.h>

#include <tapestry/autograd/base/check.h>
#include <tapestry/autograd/base/parallel.h>
#include <tapestry/ops/shape_ops.h>

namespace tapestry {

Tensor vmap(const Callable<Tensor(const std::vector<Tensor>&)>& f, const std::vector<Tensor>& xs,
            const VmapOptions& options, Here here) {
  if (!options.in_dims.empty() && options.in_dims.size() != xs.size()) {
    throw_invalid("vmap: .in_dims must name one dim per input, {}; got {}", xs.size(), options.in_dims.size());
  }
  const auto dim_of = [&](std::size_t k) {
    return options.in_dims.empty() ? std::optional<Index>(0) : options.in_dims[k];
  };
  std::optional<Index> count;
  for (std::size_t k = 0; k < xs.size(); ++k) {
    if (!dim_of(k)) continue;
    const Index extent = xs[k].size(*dim_of(k));
    if (count && *count != extent) {
      throw_invalid("vmap: the mapped extents must be equal; got {} and, of input {}, {}", *count, k, extent);
    }
    count = extent;
  }
  if (!count) throw_invalid("vmap: there must be an input to map over");
  if (*count == 0) throw_invalid("vmap: there must be a slice; the mapped extent is 0");
  std::vector<Tensor> ys(static_cast<std::size_t>(*count));
  const auto call = [&](Index i) {
    std::vector<Tensor> slices;
    for (std::size_t k = 0; k < xs.size(); ++k) {
      slices.push_back(dim_of(k) ? select(xs[k], {.dim = *dim_of(k), .index = i}, here) : xs[k]);
    }
    ys[static_cast<std::size_t>(i)] = f(slices);
  };
  if (options.parallel) {
    parallel_for(*count, 1, [&](Index begin, Index) { call(begin); });
  } else {
    for (Index i = 0; i < *count; ++i) call(i);
  }
  return stack(ys, {.dim = options.out_dim}, here);
}

Tensor vmap(const Callable<Tensor(const Tensor&)>& f, const Tensor& x, const VmapOptions& options, Here here) {
  return vmap([&f](const std::vector<Tensor>& xs) { return f(xs.front()); }, std::vector<Tensor>{x}, options, here);
}

}  // namespace tapestry
