#include <tapestry/ops/broadcast.h>

#include <tapestry/autograd/base/check.h>
#include <tapestry/autograd/record.h>
#include <tapestry/ops/cast.h>
#include <tapestry/ops/detail/common.h>
#include <tapestry/ops/kernels/copy.h>
#include <tapestry/ops/kernels/reduce.h>

namespace tapestry {
namespace {

bool broadcasts_to(const Shape& from, const Shape& to) {
  if (from.rank() > to.rank()) return false;
  for (Index d = 0; d < from.rank(); ++d) {
    const Index target = to[d + to.rank() - from.rank()];
    if (from[d] != target && from[d] != 1) return false;
  }
  return true;
}

/// x with one dimension summed away, its extent left as 1.
Tensor sum_dims(const Tensor& x, Index begin, Index end) {
  Shape shape = x.shape();
  for (Index d = begin; d < end; ++d) shape = shape.with(d, 1);
  Tensor y = empty(shape, x.dtype());
  visit_float(x.dtype(), [&]<class T>() {
    kernels::reduce_sum(x.data<T>(), x.shape().numel(0, begin), x.shape().numel(begin, end),
                        x.shape().numel(end, x.dim()), 1.0, y.mutable_data<T>());
  });
  return y;
}

}  // namespace

Tensor broadcast_to(const Tensor& x, const Shape& shape, Here here) {
  if (x.shape() == shape) return x;
  const CallSite site(here);
  if (!broadcasts_to(x.shape(), shape)) {
    throw_invalid("broadcast_to: extents must be equal or 1, aligned at the last dimension; got {} for {}", x.shape(),
                  shape);
  }
  Tensor y = empty(shape, x.dtype());
  if (y.numel() > 0) {
    const kernels::Broadcast plan(shape.begin(), shape.rank(), x.shape().begin(), x.dim(), x.shape().begin(), x.dim());
    kernels::broadcast_copy(plan, x.impl().bytes(), y.impl().bytes(), item_bytes(x.dtype()));
  }
  return record("broadcast_to", std::move(y),
                wrt(
                    x, [](const Tensor& dy, const Shape& before) { return sum_to(dy, before); },
                    [&](const Tensor& t) { return broadcast_to(t, shape); }));
}

Tensor sum_to(Tensor x, const Shape& shape, Here here) {
  if (x.shape() == shape) return x;
  const CallSite site(here);
  if (x.dtype() == bf16) return to(sum_to(to(x, f32), shape), bf16);  // rounded once
  check_any_float("sum_to", x);
  if (!broadcasts_to(shape, x.shape())) {
    throw_invalid("sum_to: the shape must be one that broadcasts to {}; got {}", x.shape(), shape);
  }
  // Dimensions to sum, in groups of neighbours, from the last on: each pass makes the next one smaller.
  Tensor y = detail::without_history(x);
  const Index lead = x.dim() - shape.rank();
  const auto summed = [&](Index d) { return d < lead || shape[d - lead] != x.shape()[d]; };
  for (Index end = x.dim(); end > 0;) {
    if (!summed(end - 1)) {
      --end;
      continue;
    }
    Index begin = end - 1;
    while (begin > 0 && summed(begin - 1)) --begin;
    y = sum_dims(y, begin, end);
    end = begin;
  }
  y = detail::alias(y, shape);
  return record("sum_to", std::move(y),
                wrt(
                    x, [](const Tensor& dy, const Shape& before) { return broadcast_to(dy, before); },
                    [&](const Tensor& t) { return sum_to(t, shape); }));
}

}  // namespace tapestry
