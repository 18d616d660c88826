// Running the function: at the sample, elsewhere, recorded, and backwards.
#include <tapestry/autograd/gradcheck/detail/check.h>

#include <fmt/format.h>

#include <algorithm>
#include <cmath>
#include <cstring>

#include <tapestry/autograd/backward.h>
#include <tapestry/autograd/base/check.h>
#include <tapestry/autograd/grad_mode.h>
#include <tapestry/autograd/node.h>

namespace tapestry::detail {

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

double dot(const Values& a, const Values& b) {
  double sum = 0;
  for (std::size_t i = 0; i < a.size(); ++i) sum += a[i] * b[i];
  return sum;
}

namespace {

constexpr const char* kOrders[] = {"", "first order", "second order", "third order"};

}  // namespace

Check::Check(const TensorFunction& f, const std::vector<Tensor>& point, const std::vector<Tensor>& own,
             const std::vector<std::string>& names, const GradCheckOptions& options, int order)
    : f_(f),
      options_(options),
      names_(names),
      rtol_(options.rtol * std::pow(10, order - 1)),
      order_(order),
      generator_(options.seed, 1),
      own_(own) {
  for (const Tensor& x : point) {
    if (x.dtype() == f64) wanted_.push_back(inputs_.size());
    inputs_.push_back(copy_of(x));
  }
  reached_.resize(wanted_.size());
}

void Check::prepare() {
  std::vector<Tensor> xs = copies(), ys;
  try {
    ys = no_grad([&] { return f_(xs); });
  } catch (const std::exception&) {  // perhaps it calls grad() and needs what is recorded for that
    const EnableGradGuard guard;
    needs_graph_ = true;
    xs = leaves();
    ys = f_(xs);
  }
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
    if (unsteady_) return;  // differences of what changes by itself say nothing
    const bool full = static_cast<Index>(y_.size()) * columns() <= options_.full_limit;
    const std::vector<Values> rows = full ? jacobian_rows() : std::vector<Values>();
    check_seeds();
    check_subsets();
    check_aliased();
    check_accumulation();
    if (full) compare_jacobian(rows);
    else compare_projections();
    if (options_.forward_mode) check_forward();
    if (options_.smooth) {
      if (const TaylorReport report = taylor({.hessian = false}); !report.ok) failures_ += report.text;
    }
  } catch (const std::exception& e) {
    fail(fmt::format("an exception was thrown: {}", e.what()));
  }
}

std::string Check::summary() const {
  std::string text = fmt::format(
      "{}: {} {} agree, {} outputs by {} inputs, the largest error is {:.2g} of what is "
      "allowed\n",
      kOrders[order_], compared_, projected_ ? "projections" : "derivatives", y_.size(), columns(), worst_);
  if (at_kinks_ > 0) {
    text += fmt::format(
        "  {} of them where the slopes to the left and to the right differ, and the gradient is their "
        "mean\n",
        at_kinks_);
  }
  return text + notes_;
}

std::vector<Tensor> Check::copies() const {
  std::vector<Tensor> xs;
  for (std::size_t i = 0; i < inputs_.size(); ++i) xs.push_back(own_[i].defined() ? own_[i] : copy_of(inputs_[i]));
  return xs;
}

std::vector<Tensor> Check::leaves(std::uint64_t mask) const {
  std::vector<Tensor> xs = copies();
  for (std::size_t k = 0; k < wanted_.size(); ++k) {
    Tensor& x = xs[wanted_[k]];
    const char* const module = x.requires_grad() ? x.impl().node->where().module : nullptr;
    set_recorded(x, (mask >> std::min<std::size_t>(k, 63)) & 1, module);
    if (x.requires_grad()) x.zero_grad();
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
  const GradModeGuard guard(needs_graph_);
  return values_of(select(f_(xs)));
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
  for (std::size_t k = 0; k < wanted_.size(); ++k) {
    const std::size_t i = wanted_[k];
    const Tensor& g = xs[i].requires_grad() ? gradients[at++] : Tensor();
    if (g.defined()) {
      v.insert(v.end(), g.data<double>(), g.data<double>() + g.numel());
      reached_[k] = 1;
    } else {
      v.resize(v.size() + static_cast<std::size_t>(inputs_[i].numel()));
    }
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

Values Check::output_part(const Values& values, std::size_t o) const {
  std::ptrdiff_t begin = 0;
  for (std::size_t j = 0; j < o; ++j) begin += shapes_[j].numel();
  return {values.begin() + begin, values.begin() + begin + shapes_[o].numel()};
}

std::string Check::input_name(std::size_t i) const {
  if (i < names_.size() && !names_[i].empty()) return fmt::format("{} '{}'", i, names_[i]);
  return std::to_string(i);
}

}  // namespace tapestry::detail
