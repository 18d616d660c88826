#pragma once

#include <cstdint>
#include <optional>
#include <utility>
#include <vector>

#include <tapestry/autograd/base/callable.h>
#include <tapestry/autograd/memory/handle.h>
#include <tapestry/autograd/tensor.h>

/// Derivatives of functions. f is called with the tensors given - an input that requires grad as it is, so that f may
/// also be a closure over a model's parameters that ignores its arguments; any other input as an alias. `.grad()` of no
/// tensor changes. Results carry no history, except for directions of an outer derivative: every function here may be
/// called within a function given to another one. What does not depend on an input has zeros.
///
/// Derivatives by a model's parameters: see functional_call in <tapestry/nn/functional_call.h>.
namespace tapestry {

class Generator;

/// Functions of one tensor or several, with one result or several.
using UnaryFunction = Callable<Tensor(const Tensor&)>;
using ListFunction = Callable<Tensor(const std::vector<Tensor>&)>;
using MapFunction = Callable<std::vector<Tensor>(const std::vector<Tensor>&)>;

struct FunctionalOptions {
  bool create_graph = false;  ///< record the result, so that reverse mode can differentiate it
};

// --- first order

/// v^T J: the gradients of f(x) by x, for the seed v of f(x)'s shape. One sweep backwards.
[[nodiscard]] Tensor vjp(const UnaryFunction& f, const Tensor& x, const Tensor& v,
                         const FunctionalOptions& options = {}, Here here = {});
[[nodiscard]] std::vector<Tensor> vjp(const ListFunction& f, const std::vector<Tensor>& xs, const Tensor& v,
                                      const FunctionalOptions& options = {}, Here here = {});
[[nodiscard]] std::vector<Tensor> vjp(const MapFunction& f, const std::vector<Tensor>& xs,
                                      const std::vector<Tensor>& vs, const FunctionalOptions& options = {},
                                      Here here = {});

/// J u: the derivative of f(x) in the direction u, one u per x and of its shape; the result has f(x)'s shape. Forward
/// mode: computed beside f(x), in one sweep, and nothing is kept for later.
[[nodiscard]] Tensor jvp(const UnaryFunction& f, const Tensor& x, const Tensor& u,
                         const FunctionalOptions& options = {}, Here here = {});
[[nodiscard]] Tensor jvp(const ListFunction& f, const std::vector<Tensor>& xs, const std::vector<Tensor>& us,
                         const FunctionalOptions& options = {}, Here here = {});
[[nodiscard]] std::vector<Tensor> jvp(const MapFunction& f, const std::vector<Tensor>& xs,
                                      const std::vector<Tensor>& us, const FunctionalOptions& options = {},
                                      Here here = {});

/// What value_and_jvp() returns.
struct ValueAndTangent {
  Tensor value;    ///< f(x)
  Tensor tangent;  ///< J u, of the same shape
};

/// jvp() together with f(x), which it has computed anyway.
[[nodiscard]] ValueAndTangent value_and_jvp(const UnaryFunction& f, const Tensor& x, const Tensor& u,
                                            const FunctionalOptions& options = {}, Here here = {});
[[nodiscard]] ValueAndTangent value_and_jvp(const ListFunction& f, const std::vector<Tensor>& xs,
                                            const std::vector<Tensor>& us, const FunctionalOptions& options = {},
                                            Here here = {});

/// What value_and_grad() returns.
struct ValueAndGrad {
  Tensor value;               ///< f(x), one element
  std::vector<Tensor> grads;  ///< one per input
};

/// f(x), which must have one element, and its gradients.
[[nodiscard]] ValueAndGrad value_and_grad(const ListFunction& f, const std::vector<Tensor>& xs,
                                          const FunctionalOptions& options = {}, Here here = {});
[[nodiscard]] std::pair<Tensor, Tensor> value_and_grad(const UnaryFunction& f, const Tensor& x,
                                                       const FunctionalOptions& options = {}, Here here = {});

/// f at one point, and its derivative there as a linear map: u -> J u for as many directions as wanted, without calling
/// f again. Each costs about a sweep; what f kept for backward stays alive as long as this.
class Linearized {
 public:
  Linearized(const ListFunction& f, const std::vector<Tensor>& xs, Here here = {});
  Linearized(const UnaryFunction& f, const Tensor& x, Here here = {});

  [[nodiscard]] const Tensor& value() const;
  [[nodiscard]] Tensor operator()(const std::vector<Tensor>& us, Here here = {}) const;
  [[nodiscard]] Tensor operator()(const Tensor& u, Here here = {}) const;

 private:
  struct State;
  Handle<State> state_;
};

/// f at xs, linearized: see Linearized.
[[nodiscard]] inline Linearized linearize(const ListFunction& f, const std::vector<Tensor>& xs, Here here = {}) {
  return {f, xs, here};
}
[[nodiscard]] inline Linearized linearize(const UnaryFunction& f, const Tensor& x, Here here = {}) {
  return {f, x, here};
}

/// How a Jacobian is found.
enum class JacobianMode : std::uint8_t {
  cheaper,  ///< forward when x has fewer elements than f(x), else reverse
  reverse,  ///< one sweep per element of f(x)
  forward   ///< one call of f per element of x
};

struct JacobianOptions {
  JacobianMode mode = JacobianMode::cheaper;  ///< by columns, by rows, or whichever are fewer
  /// For functions that treat every row of x (dimension 0) on its own, as a model does in eval mode: x has one row, and
  /// f is called with that row repeated up to so often, to get as many rows or columns of the Jacobian at once. Not for
  /// functions that mix rows. 1: f sees x as it is.
  Index chunk = 1;
  bool create_graph = false;  ///< record the result, so that reverse mode can differentiate it; with a chunk of 1 only
};

/// All derivatives of f(x) by x: shape of f(x), then shape of x - together at most kMaxRank dimensions. Throws
/// std::invalid_argument for a chunk below 1, and for one above it where x has not one row, or f(x) has not.
[[nodiscard]] Tensor jacobian(const UnaryFunction& f, const Tensor& x, const JacobianOptions& options = {},
                              Here here = {});

// --- second order

/// H u: the Hessian of f, which returns one element, times u; one u per x and of its shape. The gradient's derivative
/// in the direction u, forward over reverse: two sweeps' work beside f, whatever the number of elements.
[[nodiscard]] Tensor hvp(const UnaryFunction& f, const Tensor& x, const Tensor& u,
                         const FunctionalOptions& options = {}, Here here = {});
[[nodiscard]] std::vector<Tensor> hvp(const ListFunction& f, const std::vector<Tensor>& xs,
                                      const std::vector<Tensor>& us, const FunctionalOptions& options = {},
                                      Here here = {});

/// All second derivatives of f, which returns one element: shape of x, twice. One sweep per element of x.
[[nodiscard]] Tensor hessian(const UnaryFunction& f, const Tensor& x, Here here = {});

/// d^2/dt^2 f(x + t u) at t = 0, of f(x)'s shape: forward over forward. With u = 1 in one coordinate of every row, the
/// second partial derivative for all rows at once.
[[nodiscard]] Tensor second_derivative(const UnaryFunction& f, const Tensor& x, const Tensor& u,
                                       const FunctionalOptions& options = {}, Here here = {});

/// The sum of second derivatives by each coordinate. x [d] and f(x) of one element: the trace of the Hessian. x [N, d]
/// and f(x) [N] or [N, 1], where each row of x decides over its own element: one Laplacian per row, of f(x)'s shape.
/// d calls of f. Throws std::invalid_argument for other shapes.
[[nodiscard]] Tensor laplacian(const UnaryFunction& f, const Tensor& x, const FunctionalOptions& options = {},
                               Here here = {});

struct TraceOptions {
  Index samples = 16;              ///< random directions of +1 and -1
  Generator* generator = nullptr;  ///< the default generator unless given
};

/// An estimate of the trace of the Hessian of f, which returns one element: the mean of v^T H v over random v, whose
/// expectation it is (Hutchinson 1989). One element.
[[nodiscard]] Tensor hutchinson_trace(const UnaryFunction& f, const Tensor& x, const TraceOptions& options = {},
                                      Here here = {});

}  // namespace tapestry
