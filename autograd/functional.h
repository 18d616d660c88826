#pragma once

#include <vector>

#include <tapestry/autograd/base/callable.h>
#include <tapestry/autograd/tensor.h>

/// Derivatives of functions, built on grad(). f is called with the tensors given - an input that requires grad as it
/// is, so that f may also be a closure over a model's parameters that ignores its arguments; any other input as an
/// alias that requires grad. `.grad()` of no tensor changes. Results carry no history. What does not depend on an input
/// has zeros.
namespace tapestry {

using UnaryFunction = Callable<Tensor(const Tensor&)>;
using ListFunction = Callable<Tensor(const std::vector<Tensor>&)>;

/// v^T J: the gradients of f(x) by x, for the seed v of f(x)'s shape. One sweep.
[[nodiscard]] Tensor vjp(const UnaryFunction& f, const Tensor& x, const Tensor& v);
[[nodiscard]] std::vector<Tensor> vjp(const ListFunction& f, const std::vector<Tensor>& xs, const Tensor& v);

/// J u: the derivative of f(x) in the direction u, one u per x and of its shape; the result has f(x)'s shape. Two
/// sweeps: v^T J is linear in v, and its gradient by v is J. The rules of f must be differentiable.
[[nodiscard]] Tensor jvp(const UnaryFunction& f, const Tensor& x, const Tensor& u);
[[nodiscard]] Tensor jvp(const ListFunction& f, const std::vector<Tensor>& xs, const std::vector<Tensor>& us);

/// H u: the Hessian of f, which returns one element, times u; one u per x and of its shape. Two sweeps, whatever the
/// number of elements.
[[nodiscard]] Tensor hvp(const UnaryFunction& f, const Tensor& x, const Tensor& u);
[[nodiscard]] std::vector<Tensor> hvp(const ListFunction& f, const std::vector<Tensor>& xs,
                                      const std::vector<Tensor>& us);

/// All derivatives of f(x) by x: shape of f(x), then shape of x - together at most kMaxRank dimensions. One sweep per
/// element of f(x).
[[nodiscard]] Tensor jacobian(const UnaryFunction& f, const Tensor& x);

/// All second derivatives of f, which returns one element: shape of x, twice. One sweep per element of x.
[[nodiscard]] Tensor hessian(const UnaryFunction& f, const Tensor& x);

}  // namespace tapestry
