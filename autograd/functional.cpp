#include <tapestry/autograd/functional.h>

#include <algorithm>
#include <cstring>

#include <tapestry/autograd/backward.h>
#include <tapestry/autograd/base/check.h>
#include <tapestry/autograd/grad_mode.h>

namespace tapestry {
namespace {

std::vector<Tensor> as_leaves(const std::vector<Tensor>& xs) {
  std::vector<Tensor> leaves;
  for (const Tensor& x : xs) leaves.push_back(x.requires_grad() ? x : x.detach().requires_grad(true));
  return leaves;
}

ListFunction on_list(const UnaryFunction& f) {
  return [&f](const std::vector<Tensor>& xs) { return f(xs.front()); };
}

void check_directions(const char* op, const std::vector<Tensor>& xs, const std::vector<Tensor>& us) {
  if (xs.size() != us.size()) {
    throw_invalid("{}: there must be one direction per input; got {} and {}", op, us.size(), xs.size());
  }
  for (std::size_t i = 0; i < xs.size(); ++i) {
    if (us[i].shape() == xs[i].shape() && us[i].dtype() == xs[i].dtype()) continue;
    throw_invalid("{}: direction {} must have the input's shape and dtype, {} {}; got {} {}", op, i, xs[i].dtype(),
                  xs[i].shape(), us[i].dtype(), us[i].shape());
  }
}

/// Gradients of sum_k <seeds[k], ys[k]>, zeros where nothing is reached; outputs without history add nothing.
std::vector<Tensor> grad_or_zeros(const std::vector<Tensor>& ys, const std::vector<Tensor>& xs,
                                  const std::vector<Tensor>& seeds, const GradOptions& options = {}) {
  std::vector<Tensor> outputs;
  GradOptions with_seeds = options;
  with_seeds.allow_unused = true;
  for (std::size_t k = 0; k < ys.size(); ++k) {
    if (!ys[k].defined() || !ys[k].requires_grad()) continue;
    outputs.push_back(ys[k]);
    with_seeds.grad_outputs.push_back(seeds[k]);
  }
  std::vector<Tensor> gradients(xs.size());
  if (!outputs.empty()) gradients = grad(outputs, xs, with_seeds);
  for (std::size_t i = 0; i < xs.size(); ++i) {
    if (!gradients[i].defined()) gradients[i] = zeros_like(xs[i]);
  }
  return gradients;
}

void check_single(const char* op, const Tensor& y) {
  if (y.numel() != 1) throw_invalid("{}: the function must return one element; got shape {}", op, y.shape());
}

/// Row r of `rows` is the gradient of y's element r.
Tensor rows_of(const Tensor& y, const Tensor& x, const Shape& shape) {
  Tensor rows = empty(shape, x.dtype());
  const Index row_bytes = x.numel() * item_bytes(x.dtype());
  for (Index r = 0; r < y.numel(); ++r) {
    Tensor seed = zeros_like(y);
    if (y.dtype() == f64) seed.mutable_data<double>()[r] = 1;
    else if (y.dtype() == f32) seed.mutable_data<float>()[r] = 1;
    else seed.mutable_data<BFloat16>()[r] = BFloat16(1.0F);
    const Tensor row = grad_or_zeros({y}, {x}, {seed}, {.retain_graph = true}).front();
    if (row_bytes > 0)
      std::memcpy(rows.impl().bytes() + r * row_bytes, row.impl().bytes(), static_cast<std::size_t>(row_bytes));
  }
  return rows;
}

Shape joined(const Shape& a, const Shape& b) {
  std::vector<Index> extents(a.begin(), a.end());
  extents.insert(extents.end(), b.begin(), b.end());
  return Shape(std::span<const Index>(extents));
}

}  // namespace

std::vector<Tensor> vjp(const ListFunction& f, const std::vector<Tensor>& xs, const Tensor& v) {
  const EnableGradGuard guard;
  const std::vector<Tensor> leaves = as_leaves(xs);
  const Tensor y = f(leaves);
  check_directions("vjp", {y}, {v});
  return grad_or_zeros({y}, leaves, {v});
}

Tensor vjp(const UnaryFunction& f, const Tensor& x, const Tensor& v) {
  return vjp(on_list(f), std::vector<Tensor>{x}, v).front();
}

Tensor jvp(const ListFunction& f, const std::vector<Tensor>& xs, const std::vector<Tensor>& us) {
  check_directions("jvp", xs, us);
  const EnableGradGuard guard;
  const std::vector<Tensor> leaves = as_leaves(xs);
  const Tensor y = f(leaves);
  const Tensor v = zeros_like(y).requires_grad(true);  // any value will do: v^T J is linear in v
  const std::vector<Tensor> gradients = grad_or_zeros({y}, leaves, {v}, {.create_graph = true});
  return grad_or_zeros(gradients, {v}, us).front();
}

Tensor jvp(const UnaryFunction& f, const Tensor& x, const Tensor& u) {
  return jvp(on_list(f), std::vector<Tensor>{x}, std::vector<Tensor>{u});
}

std::vector<Tensor> hvp(const ListFunction& f, const std::vector<Tensor>& xs, const std::vector<Tensor>& us) {
  check_directions("hvp", xs, us);
  const EnableGradGuard guard;
  const std::vector<Tensor> leaves = as_leaves(xs);
  const Tensor y = f(leaves);
  check_single("hvp", y);
  return grad_or_zeros(grad_or_zeros({y}, leaves, {ones_like(y)}, {.create_graph = true}), leaves, us);
}

Tensor hvp(const UnaryFunction& f, const Tensor& x, const Tensor& u) {
  return hvp(on_list(f), std::vector<Tensor>{x}, std::vector<Tensor>{u}).front();
}

Tensor jacobian(const UnaryFunction& f, const Tensor& x) {
  const EnableGradGuard guard;
  const Tensor leaf = as_leaves({x}).front();
  const Tensor y = f(leaf);
  return rows_of(y, leaf, joined(y.shape(), x.shape()));
}

Tensor hessian(const UnaryFunction& f, const Tensor& x) {
  const EnableGradGuard guard;
  const Tensor leaf = as_leaves({x}).front();
  const Tensor y = f(leaf);
  check_single("hessian", y);
  const Tensor gradient = grad_or_zeros({y}, {leaf}, {ones_like(y)}, {.create_graph = true}).front();
  return rows_of(gradient, leaf, joined(x.shape(), x.shape()));
}

}  // namespace tapestry
