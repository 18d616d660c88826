#include <tapestry/ops/softmax.h>

#include <tapestry/autograd/record.h>
#include <tapestry/ops/binary.h>
#include <tapestry/ops/detail/common.h>
#include <tapestry/ops/kernels/softmax.h>
#include <tapestry/ops/reduce.h>
#include <tapestry/ops/unary.h>

namespace tapestry {
namespace {

/// A shape as a kernel sees it, cut at one dimension; a scalar has one element there.
struct Slices {
  Index dim, outer, n, inner;

  Slices(const char* op, const Shape& shape, Index d) : dim(normalize_dim(op, d, shape.rank())) {
    const bool is_scalar = shape.rank() == 0;
    outer = is_scalar ? 1 : shape.numel(0, dim);
    n = is_scalar ? 1 : shape[dim];
    inner = is_scalar ? 1 : shape.numel(dim + 1, shape.rank());
  }
};

Tensor sum_along(const Tensor& x, Index dim) { return x.dim() == 0 ? x : sum(x, {.dim = dim, .keepdim = true}); }

}  // namespace

Tensor softmax(const Tensor& given, const SoftmaxOptions& options, Here here) {
  const CallSite site(here);
  check_any_float("softmax", given);
  const Tensor x = widened(given);
  const Slices s("softmax", x.shape(), options.dim);
  Tensor out = empty(x.shape(), x.dtype());
  visit_float(x.dtype(),
              [&]<class T>() { kernels::softmax(x.data<T>(), s.outer, s.n, s.inner, out.mutable_data<T>()); });
  return record("softmax", std::move(out), wrt(x, self_adjoint, [s](const Tensor& dy, const Tensor& y) {
                  if (is_grad_enabled()) return y * (dy - sum_along(dy * y, s.dim));
                  Tensor dx = empty(y.shape(), y.dtype());
                  visit_float(y.dtype(), [&]<class T>() {
                    kernels::softmax_gradient(y.data<T>(), dy.data<T>(), s.outer, s.n, s.inner, dx.mutable_data<T>());
                  });
                  return dx;
                }));
}

Tensor log_softmax(const Tensor& given, const SoftmaxOptions& options, Here here) {
  const CallSite site(here);
  check_any_float("log_softmax", given);
  const Tensor x = widened(given);
  const Slices s("log_softmax", x.shape(), options.dim);
  Tensor out = empty(x.shape(), x.dtype());
  visit_float(x.dtype(),
              [&]<class T>() { kernels::log_softmax(x.data<T>(), s.outer, s.n, s.inner, out.mutable_data<T>()); });
  return record("log_softmax", std::move(out),
                wrt(
                    x,
                    [s](const Tensor& dy, const Tensor& y) {
                      if (is_grad_enabled()) return dy - exp(y) * sum_along(dy, s.dim);
                      Tensor dx = empty(y.shape(), y.dtype());
                      visit_float(y.dtype(), [&]<class T>() {
                        kernels::log_softmax_gradient(y.data<T>(), dy.data<T>(), s.outer, s.n, s.inner,
                                                      dx.mutable_data<T>());
                      });
                      return dx;
                    },
                    [s](const Tensor& t, const Tensor& y) { return t - sum_along(exp(y) * t, s.dim); }));
}

}  // namespace tapestry
