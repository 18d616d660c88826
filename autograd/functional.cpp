#include <tapestry/autograd/functional.h>

#include <algorithm>
#include <type_traits>

#include <tapestry/autograd/backward.h>
#include <tapestry/autograd/base/check.h>
#include <tapestry/autograd/detail/dual.h>
#include <tapestry/autograd/detail/rows.h>
#include <tapestry/autograd/grad_mode.h>
#include <tapestry/autograd/random.h>
#include <tapestry/autograd/record.h>

namespace tapestry {
namespace {

using detail::RecordScope;
using detail::TangentScope;

// --- arguments

std::vector<Tensor> as_leaves(const std::vector<Tensor>& xs) {
  std::vector<Tensor> leaves;
  for (const Tensor& x : xs) leaves.push_back(detail::as_leaf(x));
  return leaves;
}

ListFunction on_list(const UnaryFunction& f) {
  return [&f](const std::vector<Tensor>& xs) { return f(xs.front()); };
}

MapFunction to_list(const ListFunction& f) {
  return [&f](const std::vector<Tensor>& xs) { return std::vector<Tensor>{f(xs)}; };
}

void check_directions(const char* op, const char* what, const std::vector<Tensor>& xs, const std::vector<Tensor>& us) {
  if (xs.size() != us.size()) {
    throw_invalid("{}: there must be one direction per {}; got {} and {}", op, what, us.size(), xs.size());
  }
  for (std::size_t i = 0; i < xs.size(); ++i) {
    if (us[i].shape() == xs[i].shape() && us[i].dtype() == xs[i].dtype()) continue;
    throw_invalid("{}: direction {} must have the {}'s shape and dtype, {} {}; got {} {}", op, i, what, xs[i].dtype(),
                  xs[i].shape(), us[i].dtype(), us[i].shape());
  }
}

void check_single(const char* op, const Tensor& y) {
  if (y.numel() != 1) throw_invalid("{}: the function must return one element; got shape {}", op, y.shape());
}

// --- reverse mode

/// Gradients of sum_k <seeds[k], ys[k]>, zeros where nothing is reached; outputs without history add nothing.
std::vector<Tensor> grad_or_zeros(const std::vector<Tensor>& ys, const std::vector<Tensor>& xs,
                                  const std::vector<Tensor>& seeds, const GradOptions& options = {}) {
  std::vector<Tensor> outputs;
  GradOptions with_seeds = options;
  with_seeds.allow_unused = true;
  for (std::size_t k = 0; k < ys.size(); ++k) {
    if (!detail::has_reverse_node(ys[k])) continue;
    outputs.push_back(ys[k]);
    with_seeds.grad_outputs.push_back(seeds[k]);
  }
  std::vector<Tensor> gradients(xs.size());
  if (!outputs.empty()) gradients = grad(outputs, xs, with_seeds, detail::outer_site);
  for (std::size_t i = 0; i < xs.size(); ++i) {
    if (!gradients[i].defined()) gradients[i] = zeros_like(xs[i]);
  }
  return gradients;
}

// --- forward mode

/// J u and, where `values` is given, f(xs).
std::vector<Tensor> push(const char* op, const MapFunction& f, const std::vector<Tensor>& xs,
                         const std::vector<Tensor>& us, bool create_graph, std::vector<Tensor>* values = nullptr) {
  check_directions(op, "input", xs, us);
  TangentScope scope(create_graph);
  std::vector<Tensor> duals;
  for (std::size_t i = 0; i < xs.size(); ++i) duals.push_back(scope.dual(xs[i], us[i]));
  std::vector<Tensor> tangents;
  for (const Tensor& y : f(duals)) {
    Tensor t = scope.tangent(y);
    tangents.push_back(t.defined() ? std::move(t) : zeros_like(y));
    if (values) values->push_back(scope.value(y));
  }
  return tangents;
}

// --- directions

/// All zeros but for a 1 at element i.
Tensor unit_like(const Tensor& x, Index i) {
  Tensor e = zeros_like(x);
  visit_any_float(x.dtype(), [&]<class T>() { e.mutable_data<T>()[i] = static_cast<T>(1.0F); });
  return e;
}

/// `count` rows like the one of x, the r-th of them with a 1 at element first + r.
Tensor unit_rows(const Tensor& x, Index first, Index count) {
  Tensor e = zeros(x.shape().with(0, count), {.dtype = x.dtype()});
  visit_any_float(x.dtype(), [&]<class T>() {
    for (Index r = 0; r < count; ++r) e.mutable_data<T>()[r * x.numel() + first + r] = static_cast<T>(1.0F);
  });
  return e;
}

Shape joined(const Shape& a, const Shape& b) {
  std::vector<Index> extents(a.begin(), a.end());
  extents.insert(extents.end(), b.begin(), b.end());
  return Shape(std::span<const Index>(extents));
}

/// Row r is the gradient of y's element r.
Tensor rows_of(const Tensor& y, const Tensor& x, const Shape& shape, bool create_graph) {
  std::vector<Tensor> rows;
  for (Index r = 0; r < y.numel(); ++r) {
    rows.push_back(
        grad_or_zeros({y}, {x}, {unit_like(y, r)}, {.retain_graph = true, .create_graph = create_graph}).front());
  }
  return detail::stack_rows(rows, shape, x.dtype());
}

}  // namespace

// --- first order

std::vector<Tensor> vjp(const MapFunction& f, const std::vector<Tensor>& xs, const std::vector<Tensor>& vs,
                        const FunctionalOptions& options, Here here) {
  const OuterSite site(here);
  const RecordScope scope;
  const std::vector<Tensor> leaves = as_leaves(xs);
  const std::vector<Tensor> ys = f(leaves);
  check_directions("vjp", "output", ys, vs);
  return grad_or_zeros(ys, leaves, vs, {.create_graph = options.create_graph});
}

std::vector<Tensor> vjp(const ListFunction& f, const std::vector<Tensor>& xs, const Tensor& v,
                        const FunctionalOptions& options, Here here) {
  const OuterSite site(here);
  return vjp(to_list(f), xs, std::vector<Tensor>{v}, options);
}

Tensor vjp(const UnaryFunction& f, const Tensor& x, const Tensor& v, const FunctionalOptions& options, Here here) {
  const OuterSite site(here);
  return vjp(on_list(f), std::vector<Tensor>{x}, v, options).front();
}

std::vector<Tensor> jvp(const MapFunction& f, const std::vector<Tensor>& xs, const std::vector<Tensor>& us,
                        const FunctionalOptions& options, Here here) {
  const OuterSite site(here);
  return push("jvp", f, xs, us, options.create_graph);
}

Tensor jvp(const ListFunction& f, const std::vector<Tensor>& xs, const std::vector<Tensor>& us,
           const FunctionalOptions& options, Here here) {
  const OuterSite site(here);
  return push("jvp", to_list(f), xs, us, options.create_graph).front();
}

Tensor jvp(const UnaryFunction& f, const Tensor& x, const Tensor& u, const FunctionalOptions& options, Here here) {
  const OuterSite site(here);
  return jvp(on_list(f), std::vector<Tensor>{x}, std::vector<Tensor>{u}, options);
}

ValueAndTangent value_and_jvp(const ListFunction& f, const std::vector<Tensor>& xs, const std::vector<Tensor>& us,
                              const FunctionalOptions& options, Here here) {
  const OuterSite site(here);
  std::vector<Tensor> values;
  const std::vector<Tensor> tangents = push("value_and_jvp", to_list(f), xs, us, options.create_graph, &values);
  return {values.front(), tangents.front()};
}

ValueAndTangent value_and_jvp(const UnaryFunction& f, const Tensor& x, const Tensor& u,
                              const FunctionalOptions& options, Here here) {
  const OuterSite site(here);
  return value_and_jvp(on_list(f), std::vector<Tensor>{x}, std::vector<Tensor>{u}, options);
}

ValueAndGrad value_and_grad(const ListFunction& f, const std::vector<Tensor>& xs, const FunctionalOptions& options,
                            Here here) {
  const OuterSite site(here);
  const RecordScope scope;
  const std::vector<Tensor> leaves = as_leaves(xs);
  const Tensor y = f(leaves);
  check_single("value_and_grad", y);
  std::vector<Tensor> grads = grad_or_zeros({y}, leaves, {ones_like(y)}, {.create_graph = options.create_graph});
  return {options.create_graph ? y : detail::without_reverse(y), std::move(grads)};
}

std::pair<Tensor, Tensor> value_and_grad(const UnaryFunction& f, const Tensor& x, const FunctionalOptions& options,
                                         Here here) {
  const OuterSite site(here);
  const ValueAndGrad all = value_and_grad(on_list(f), std::vector<Tensor>{x}, options);
  return {all.value, all.grads.front()};
}

struct Linearized::State {
  std::vector<Tensor> xs;
  Tensor y;
  Tensor v;                       // what v^T J is linear in; its value does not matter
  std::vector<Tensor> gradients;  // v^T J, as functions of v
};

Linearized::Linearized(const ListFunction& f, const std::vector<Tensor>& xs, Here here) : state_(make_handle<State>()) {
  const OuterSite site(here);
  const RecordScope scope;
  state_->xs = as_leaves(xs);
  state_->y = f(state_->xs);
  state_->v = zeros_like(state_->y).requires_grad(true);
  state_->gradients = grad_or_zeros({state_->y}, state_->xs, {state_->v}, {.create_graph = true});
  state_->y = detail::without_reverse(state_->y);
}

Linearized::Linearized(const UnaryFunction& f, const Tensor& x, Here here)
    : Linearized(on_list(f), std::vector<Tensor>{x}, here) {}

const Tensor& Linearized::value() const { return state_->y; }

Tensor Linearized::operator()(const std::vector<Tensor>& us, Here here) const {
  const OuterSite site(here);
  check_directions("linearize", "input", state_->xs, us);
  return grad_or_zeros(state_->gradients, {state_->v}, us, {.retain_graph = true}).front();
}

Tensor Linearized::operator()(const Tensor& u, Here here) const { return (*this)(std::vector<Tensor>{u}, here); }

// --- Jacobians

namespace {

Tensor repeated(const Tensor& x, Index count) {
  return detail::stack_rows(std::vector<Tensor>(static_cast<std::size_t>(count), x), x.shape().with(0, count),
                            x.dtype());
}

void check_row(const char* what, const Shape& shape, Index rows) {
  if (shape.rank() == 0 || shape[0] != rows) {
    throw_invalid("jacobian: with a chunk of rows, {} must have {} rows; got shape {}", what, rows, shape);
  }
}

/// All rows (reverse) of the Jacobian of f at x [1, ...], `chunk` of them at once; or all columns (forward).
std::vector<Tensor> in_chunks(const UnaryFunction& f, const Tensor& x, const Tensor& y, bool forward,
                              const JacobianOptions& options) {
  check_row("x", x.shape(), 1);
  check_row("f(x)", y.shape(), 1);
  std::vector<Tensor> parts;
  const Index total = forward ? x.numel() : y.numel();
  for (Index first = 0; first < total; first += options.chunk) {
    const Index count = std::min(options.chunk, total - first);
    const Tensor xs = repeated(x, count);
    const UnaryFunction checked = [&](const Tensor& given) {
      Tensor out = f(given);
      check_row("f of as many rows", out.shape(), count);
      return out;
    };
    parts.push_back(forward ? jvp(checked, xs, unit_rows(x, first, count))
                            : vjp(checked, xs, unit_rows(y, first, count)));
  }
  return parts;
}

}  // namespace

Tensor jacobian(const UnaryFunction& f, const Tensor& x, const JacobianOptions& options, Here here) {
  const OuterSite site(here);
  if (options.chunk < 1) throw_invalid("jacobian: .chunk must be at least 1; got {}", options.chunk);
  const RecordScope scope;
  const Tensor leaf = detail::as_leaf(x);
  Tensor y = f(leaf);
  const Shape shape = joined(y.shape(), x.shape());
  const bool forward =
      options.mode == JacobianMode::forward || (options.mode == JacobianMode::cheaper && x.numel() < y.numel());
  if (!forward && options.chunk == 1) return rows_of(y, leaf, shape, options.create_graph);
  y = detail::without_reverse(y);
  std::vector<Tensor> parts;
  if (options.chunk > 1) {
    if (options.create_graph) throw_invalid("jacobian: .create_graph = true needs a .chunk of 1");
    parts = in_chunks(f, x, y, forward, options);
  } else {
    for (Index i = 0; i < x.numel(); ++i) {
      parts.push_back(jvp(f, x, unit_like(x, i), {.create_graph = options.create_graph}));
    }
  }
  if (!forward) return detail::stack_rows(parts, shape, x.dtype());
  return detail::swap_parts(detail::stack_rows(parts, joined(x.shape(), y.shape()), y.dtype()), x.numel(), shape);
}

// --- second order

std::vector<Tensor> hvp(const ListFunction& f, const std::vector<Tensor>& xs, const std::vector<Tensor>& us,
                        const FunctionalOptions& options, Here here) {
  const OuterSite site(here);
  const MapFunction gradient = [&](const std::vector<Tensor>& at) {
    const RecordScope scope;
    const std::vector<Tensor> leaves = as_leaves(at);
    const Tensor y = f(leaves);
    check_single("hvp", y);
    return grad_or_zeros({y}, leaves, {ones_like(y)}, {.create_graph = options.create_graph});
  };
  return push("hvp", gradient, xs, us, options.create_graph);
}

Tensor hvp(const UnaryFunction& f, const Tensor& x, const Tensor& u, const FunctionalOptions& options, Here here) {
  const OuterSite site(here);
  return hvp(on_list(f), std::vector<Tensor>{x}, std::vector<Tensor>{u}, options).front();
}

Tensor hessian(const UnaryFunction& f, const Tensor& x, Here here) {
  const OuterSite site(here);
  const RecordScope scope;
  const Tensor leaf = detail::as_leaf(x);
  const Tensor y = f(leaf);
  check_single("hessian", y);
  const Tensor gradient = grad_or_zeros({y}, {leaf}, {ones_like(y)}, {.create_graph = true}).front();
  return rows_of(gradient, leaf, joined(x.shape(), x.shape()), false);
}

Tensor second_derivative(const UnaryFunction& f, const Tensor& x, const Tensor& u, const FunctionalOptions& options,
                         Here here) {
  const OuterSite site(here);
  return jvp([&](const Tensor& at) { return jvp(f, at, u, options); }, x, u, options);
}

Tensor laplacian(const UnaryFunction& f, const Tensor& x, const FunctionalOptions& options, Here here) {
  const OuterSite site(here);
  const bool by_rows = x.dim() == 2;
  if (x.dim() != 1 && !by_rows) throw_invalid("laplacian: x must be [d] or [N, d]; got {}", x.shape());
  const Index d = x.shape()[x.dim() - 1], rows = by_rows ? x.shape()[0] : 1;
  Tensor sum;
  for (Index i = 0; i < d; ++i) {
    Tensor u = zeros_like(x);
    visit_any_float(x.dtype(), [&]<class T>() {
      for (Index r = 0; r < rows; ++r) u.mutable_data<T>()[r * d + i] = static_cast<T>(1.0F);
    });
    const Tensor part = second_derivative(f, x, u, options);
    const bool fits = by_rows ? part.numel() == rows && part.dim() > 0 && part.shape()[0] == rows : part.numel() == 1;
    if (!fits) {
      throw_invalid("laplacian: f must return one element{}; got shape {} for x of shape {}",
                    by_rows ? " per row of x" : "", part.shape(), x.shape());
    }
    detail::add_tangent(sum, part);
  }
  if (!sum.defined()) throw_invalid("laplacian: x must have a coordinate; got {}", x.shape());
  return sum;
}

Tensor hutchinson_trace(const UnaryFunction& f, const Tensor& x, const TraceOptions& options, Here here) {
  const OuterSite site(here);
  if (options.samples < 1) throw_invalid("hutchinson_trace: .samples must be at least 1; got {}", options.samples);
  double sum = 0;
  for (Index s = 0; s < options.samples; ++s) {
    const Tensor signs = bernoulli(x.shape(), 0.5, {.generator = options.generator});
    Tensor v = empty_like(x);
    visit_any_float(x.dtype(), [&]<class T>() {
      const bool* const positive = signs.data<bool>();
      T* const out = v.mutable_data<T>();
      for (Index i = 0; i < v.numel(); ++i) out[i] = static_cast<T>(positive[i] ? 1.0F : -1.0F);
    });
    const Tensor hv = hvp(f, x, v);
    visit_any_float(x.dtype(), [&]<class T>() {
      const T* const a = v.data<T>();
      const T* const b = hv.data<T>();
      using Wide = std::conditional_t<std::is_same_v<T, double>, double, float>;
      for (Index i = 0; i < v.numel(); ++i) sum += static_cast<double>(Wide(a[i]) * Wide(b[i]));
    });
  }
  return scalar(sum / static_cast<double>(options.samples), {.dtype = x.dtype()});
}

}  // namespace tapestry
