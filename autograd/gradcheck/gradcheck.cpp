#include <tapestry/autograd/gradcheck/gradcheck.h>

#include <fmt/format.h>

#include <algorithm>
#include <cmath>
#include <cstring>

#include <tapestry/autograd/backward.h>
#include <tapestry/autograd/base/check.h>
#include <tapestry/autograd/base/parallel.h>
#include <tapestry/autograd/grad_mode.h>
#include <tapestry/autograd/gradcheck/detail/check.h>
#include <tapestry/autograd/node.h>
#include <tapestry/autograd/record.h>

namespace tapestry::detail {

Tensor copy_of(const Tensor& x) {
  Tensor y = empty_like(x);
  std::memcpy(y.impl().bytes(), x.impl().bytes(), static_cast<std::size_t>(x.numel() * item_bytes(x.dtype())));
  return y;
}

bool same_bytes(const Tensor& a, const Tensor& b) {
  return std::memcmp(a.impl().bytes(), b.impl().bytes(), static_cast<std::size_t>(a.numel() * item_bytes(a.dtype()))) ==
         0;
}

bool same_bits(const Values& a, const Values& b) {
  return a.size() == b.size() && (a.empty() || std::memcmp(a.data(), b.data(), a.size() * sizeof(double)) == 0);
}

double largest(const Values& v) {
  double m = 0;
  for (const double x : v) m = std::max(m, std::abs(x));
  return m;
}

double distance(const Values& a, const Values& b) {
  if (a.size() != b.size()) return INFINITY;
  double d = 0;
  for (std::size_t i = 0; i < a.size(); ++i) {
    if (a[i] != b[i] && !(std::isnan(a[i]) && std::isnan(b[i])))
      d = std::isfinite(a[i] - b[i]) ? std::max(d, std::abs(a[i] - b[i])) : INFINITY;
  }
  return d;
}

namespace {

const char* order_name(int order) { return order == 1 ? "first order" : "second order"; }

}  // namespace

void Check::prepare() {
  const std::vector<Tensor> xs = copies();
  const std::vector<Tensor> ys = no_grad([&] { return f_(xs); });
  for (const Tensor& y : ys) {
    if (y.defined() && y.dtype() == f64) shapes_.push_back(y.shape());
  }
  y_ = values_of(select(ys));
  if (shapes_.empty()) throw_invalid("check_grads: the function must have an f64 output; it has none");
  check_unchanged(xs, "calling it");
}

void Check::verify() {
  if (!std::all_of(y_.begin(), y_.end(), [](double v) { return std::isfinite(v); })) {
    fail("the output is not finite: this sample lies outside the domain");
    return;
  }
  try {
    check_repeats();
    check_seeds();
    check_subsets();
    check_aliased();
    check_accumulation();
    if (static_cast<Index>(y_.size()) * columns() <= options_.full_limit) compare_jacobian();
    else compare_projections();
    if (options_.smooth) check_taylor();
  } catch (const std::exception& e) {
    fail(fmt::format("an exception was thrown: {}", e.what()));
  }
}

std::string Check::summary() const {
  return fmt::format("{}: {} {} agree, {} outputs by {} inputs, the largest error is {:.2g} of what is allowed\n",
                     order_name(order_), compared_, projected_ ? "projections" : "derivatives", y_.size(), columns(),
                     worst_);
}

std::vector<Tensor> Check::copies() const {
  std::vector<Tensor> xs;
  for (const Tensor& x : inputs_) xs.push_back(copy_of(x));
  return xs;
}

std::vector<Tensor> Check::leaves(std::uint64_t mask) const {
  std::vector<Tensor> xs = copies();
  for (std::size_t k = 0; k < wanted_.size(); ++k) {
    if ((mask >> std::min<std::size_t>(k, 63)) & 1) xs[wanted_[k]].requires_grad(true);
  }
  return xs;
}

std::vector<Tensor> Check::select(const std::vector<Tensor>& ys) const {
  std::vector<Tensor> chosen;
  for (const Tensor& y : ys) {
    if (y.defined() && y.dtype() == f64) chosen.push_back(y);
  }
  bool same = chosen.size() == shapes_.size();
  for (std::size_t k = 0; same && k < chosen.size(); ++k) same = chosen[k].shape() == shapes_[k];
  if (!same) throw std::runtime_error("the number or the shapes of the outputs change from call to call");
  return chosen;
}

Values Check::values_of(const std::vector<Tensor>& ys) {
  Values v;
  for (const Tensor& y : ys) v.insert(v.end(), y.data<double>(), y.data<double>() + y.numel());
  return v;
}

Values Check::evaluate(const std::vector<Tensor>& xs) const {
  return values_of(select(no_grad([&] { return f_(xs); })));
}

std::vector<Tensor> Check::run_recorded(const std::vector<Tensor>& xs) {
  const EnableGradGuard guard;
  std::vector<Tensor> ys = select(f_(xs));
  for (const Tensor& y : ys) {
    if (op_.empty() && y.requires_grad()) {
      const Node& node = *y.impl().node;
      op_ = node.name;
      if (const std::string where = to_string(node.where()); !where.empty()) op_ += " at " + where;
    }
  }
  return ys;
}

std::vector<Tensor> Check::seed_tensors(const Values& seed) const {
  std::vector<Tensor> tensors;
  std::size_t at = 0;
  for (const Shape& shape : shapes_) {
    const auto n = static_cast<std::size_t>(shape.numel());
    tensors.push_back(tensor(std::span<const double>(seed).subspan(at, n), shape, {.dtype = f64}));
    at += n;
  }
  return tensors;
}

Values Check::sweep(const std::vector<Tensor>& ys, const std::vector<Tensor>& xs, const Values& seed) {
  std::vector<Tensor> outputs, seeds, targets;
  const std::vector<Tensor> all_seeds = seed_tensors(seed);
  for (std::size_t k = 0; k < ys.size(); ++k) {
    if (!ys[k].requires_grad()) continue;
    outputs.push_back(ys[k]);
    seeds.push_back(copy_of(all_seeds[k]));
  }
  for (const std::size_t i : wanted_) {
    if (xs[i].requires_grad()) targets.push_back(xs[i]);
  }
  std::vector<Tensor> gradients(targets.size());
  if (!outputs.empty() && !targets.empty()) {
    gradients = grad(outputs, targets, {.grad_outputs = seeds, .retain_graph = true, .allow_unused = true});
  }
  std::size_t at = 0;
  for (std::size_t k = 0; k < ys.size(); ++k) {
    if (ys[k].requires_grad() && !same_bytes(seeds[at++], all_seeds[k])) fail_once("a rule writes into its dy");
  }
  Values v;
  at = 0;
  for (const std::size_t i : wanted_) {
    const Tensor& g = xs[i].requires_grad() ? gradients[at++] : Tensor();
    if (g.defined()) v.insert(v.end(), g.data<double>(), g.data<double>() + g.numel());
    else v.resize(v.size() + static_cast<std::size_t>(inputs_[i].numel()));
  }
  return v;
}

Values Check::random_seed() {
  Values seed(y_.size());
  for (double& s : seed) s = generator_.uniform(0.5, 1.5) * (generator_.uniform() < 0.5 ? -1 : 1);
  return seed;
}

Index Check::columns() const {
  Index n = 0;
  for (const std::size_t i : wanted_) n += inputs_[i].numel();
  return n;
}

Values Check::part(const Values& gradient, std::size_t k) const {
  std::ptrdiff_t begin = 0;
  for (std::size_t j = 0; j < k; ++j) begin += inputs_[wanted_[j]].numel();
  return {gradient.begin() + begin, gradient.begin() + begin + inputs_[wanted_[k]].numel()};
}

namespace {

/// F(x, v) = v^T J(x): the gradients of f by its f64 inputs, as a function of all inputs and then the seeds.
TensorFunction gradient_function(const TensorFunction& f, std::size_t inputs) {
  return [&f, inputs](const std::vector<Tensor>& xv) {
    const bool create_graph = is_grad_enabled();
    const EnableGradGuard guard;
    std::vector<Tensor> x(xv.begin(), xv.begin() + static_cast<std::ptrdiff_t>(inputs)), targets;
    for (Tensor& t : x) {
      if (t.dtype() != f64) continue;
      // A tensor of its own for every input, so that f(x, x) has two gradients and not twice their sum.
      if (t.requires_grad())
        t = record("input", detail::without_history(t), wrt(t, [](const Tensor& dy) { return dy; }));
      else t = t.detach().requires_grad(true);
      targets.push_back(t);
    }
    std::vector<Tensor> outputs, seeds;
    auto seed = xv.begin() + static_cast<std::ptrdiff_t>(inputs);
    for (const Tensor& y : f(x)) {
      if (!y.defined() || y.dtype() != f64) continue;
      if (y.requires_grad()) {
        outputs.push_back(y);
        seeds.push_back(*seed);
      }
      ++seed;
    }
    std::vector<Tensor> gradients(targets.size());
    if (!outputs.empty()) {
      gradients = grad(outputs, targets, {.grad_outputs = seeds, .create_graph = create_graph, .allow_unused = true});
    }
    for (std::size_t k = 0; k < gradients.size(); ++k) {
      if (!gradients[k].defined()) gradients[k] = zeros_like(targets[k]);
    }
    return gradients;
  };
}

void check_arguments(const std::vector<Tensor>& inputs, const GradCheckOptions& options) {
  if (options.order != 1 && options.order != 2) {
    throw_invalid("check_grads: .order must be 1 or 2; got {}", options.order);
  }
  if (!(options.rtol > 0 && options.atol >= 0)) {
    throw_invalid("check_grads: .rtol must be positive and .atol not negative; got {} and {}", options.rtol,
                  options.atol);
  }
  bool any = false;
  for (std::size_t i = 0; i < inputs.size(); ++i) {
    if (!inputs[i].defined()) throw_invalid("check_grads: every input must be defined; input {} is not", i);
    const Dtype dtype = inputs[i].dtype();
    if (is_float(dtype) && dtype != f64) {
      throw_invalid("check_grads: float inputs must be f64, since differences lose half the digits; input {} is {}", i,
                    dtype);
    }
    any |= dtype == f64;
  }
  if (!any) throw_invalid("check_grads: there must be an f64 input to differentiate by; got none");
}

std::string heading(const std::string& op, int order, const GradCheckOptions& options) {
  return fmt::format("gradient check failed: {}, {} (f64, seed {}, {} threads)\n", op.empty() ? "the function" : op,
                     order_name(order), options.seed, num_threads());
}

}  // namespace

GradReport check_gradients(const TensorFunction& f, const std::vector<Tensor>& inputs,
                           const GradCheckOptions& options) {
  check_arguments(inputs, options);
  Check first(f, inputs, options, 1);
  first.prepare();
  first.verify();
  if (!first.failures().empty()) return {false, heading(first.op(), 1, options) + first.failures()};
  if (options.order == 1) return {true, first.summary()};

  const TensorFunction gradients = gradient_function(f, inputs.size());
  std::vector<Tensor> point = inputs;
  Generator generator(options.seed, 2);
  for (const Shape& shape : first.output_shapes()) {
    point.push_back(uniform(shape, 0.5, 1.5, {.dtype = f64, .generator = &generator}));
  }
  Check second(gradients, point, options, 2);
  second.prepare();
  second.verify();
  if (second.failures().empty()) return {true, first.summary() + second.summary()};
  return {false, heading(first.op(), 2, options) +
                     "  (of the gradients, with respect to the inputs and then the seeds)\n" + second.failures()};
}

void throw_wrong_count(std::size_t got) {
  throw_invalid("check_grads: the function must take as many tensors as there are inputs; it cannot take {}", got);
}

}  // namespace tapestry::detail
