#include <tapestry/ops/cast.h>

#include <tapestry/autograd/record.h>
#include <tapestry/ops/detail/kernel_operands.h>
#include <tapestry/ops/kernels/cast.h>
#include <tapestry/ops/kernels/copy.h>

namespace tapestry {

Tensor to(const Tensor& x, Dtype dtype, Here here) {
  const CallSite site(here);
  if (x.dtype() == dtype) return x;
  Tensor y = empty(x.shape(), dtype);
  kernels::cast(elements(x), dtype, result(y), x.numel());
  if (!is_float(dtype)) return y;
  return record("to", std::move(y),
                wrt(
                    x, [dtype = x.dtype()](const Tensor& dy) { return to(dy, dtype); },
                    [&](const Tensor& t) { return to(t, dtype); }));
}

Tensor clone(const Tensor& x, Here here) {
  const CallSite site(here);
  Tensor y = empty(x.shape(), x.dtype());
  kernels::copy_bytes(x.impl().bytes(), y.impl().bytes(), x.numel() * item_bytes(x.dtype()));
  return record("clone", std::move(y), wrt(x, self_adjoint, [](const Tensor& dy) { return dy; }));
}

}  // namespace tapestry
