#include <tapestry/autograd/gradcheck/taylor.h>

#include <fmt/format.h>

#include <cmath>
#include <limits>
#include <ostream>

#include <tapestry/autograd/backward.h>
#include <tapestry/autograd/base/check.h>
#include <tapestry/autograd/grad_mode.h>
#include <tapestry/autograd/gradcheck/detail/check.h>

namespace tapestry {

std::ostream& operator<<(std::ostream& out, const TaylorReport& report) { return out << report.text; }

namespace detail {
namespace {

constexpr int kHalvings = 14;
constexpr std::size_t kFitted = 4;  // the last remainders above rounding: there the order shows

/// Slope of log2(rest) against log2(h), by least squares over what is above rounding; infinite where nothing is.
double order_of(const Values& rest, double rounding) {
  Values logs;
  for (const double r : rest) {
    if (!std::isfinite(r)) return std::numeric_limits<double>::quiet_NaN();
    if (r <= rounding) break;
    logs.push_back(std::log2(r));
  }
  if (logs.size() < 3) return INFINITY;
  if (logs.size() > kFitted) logs.erase(logs.begin(), logs.end() - static_cast<std::ptrdiff_t>(kFitted));
  const double middle = static_cast<double>(logs.size() - 1) / 2;
  double above = 0, below = 0;
  for (std::size_t i = 0; i < logs.size(); ++i) {
    const double t = static_cast<double>(i) - middle;
    above += t * logs[i];
    below += t * t;
  }
  return -above / below;  // each step is half of the one before
}

std::string order_text(double order) {
  return std::isinf(order) ? "exact: the remainder is rounding" : fmt::format("{:.3f}", order);
}

}  // namespace

TaylorReport Check::taylor(const TaylorOptions& options) {
  Generator generator(options.seed, 3);
  std::vector<Values> direction;
  std::vector<Tensor> targets, directions;
  if (seed_.empty()) seed_ = random_seed();
  const std::vector<Tensor> xs = leaves();
  for (const std::size_t i : wanted_) {
    Values u(static_cast<std::size_t>(inputs_[i].numel()));
    for (double& e : u) e = generator.uniform(0.5, 1) * (generator.uniform() < 0.5 ? -1 : 1);
    targets.push_back(xs[i]);
    directions.push_back(tensor(std::span<const double>(u), inputs_[i].shape(), {.dtype = f64}));
    direction.push_back(std::move(u));
  }
  double slope = 0, bend = 0;
  std::vector<Tensor> outputs, seeds;
  const std::vector<Tensor> ys = run_recorded(xs);
  const std::vector<Tensor> all_seeds = seed_tensors(seed_);
  for (std::size_t o = 0; o < ys.size(); ++o) {
    if (!ys[o].requires_grad()) continue;
    outputs.push_back(ys[o]);
    seeds.push_back(all_seeds[o]);
  }
  if (!outputs.empty()) {
    const std::vector<Tensor> first =
        grad(outputs, targets, {.grad_outputs = seeds, .create_graph = options.hessian, .allow_unused = true});
    std::vector<Tensor> reached, along;
    for (std::size_t k = 0; k < first.size(); ++k) {
      if (!first[k].defined()) continue;
      slope += dot(values_of({first[k]}), direction[k]);
      if (!first[k].requires_grad()) continue;
      reached.push_back(first[k]);
      along.push_back(directions[k]);
    }
    if (options.hessian && !reached.empty()) {
      const std::vector<Tensor> second = grad(reached, targets, {.grad_outputs = along, .allow_unused = true});
      for (std::size_t k = 0; k < second.size(); ++k) {
        if (second[k].defined()) bend += dot(values_of({second[k]}), direction[k]);
      }
    }
  }
  const double f0 = dot(seed_, y_);
  double terms = std::abs(slope) * options.step + std::abs(bend) * options.step * options.step;
  for (std::size_t r = 0; r < y_.size(); ++r) terms += std::abs(seed_[r] * y_[r]);
  const double rounding = 100 * kUnit * (1 + terms);
  TaylorReport report;
  report.text =
      fmt::format("  {:>10}  {:>12}  {:>12}{}\n", "h", "|df|", "- h g u", options.hessian ? "  - h^2/2 u H u" : "");
  Values with_gradient, with_hessian;
  double h = options.step;
  for (int e = 0; e < kHalvings; ++e, h /= 2) {
    const double change = dot(seed_, evaluate_at([&](std::size_t k, double* x) {
                                for (std::size_t i = 0; i < direction[k].size(); ++i) x[i] += h * direction[k][i];
                              })) -
                          f0;
    with_gradient.push_back(std::abs(change - h * slope));
    with_hessian.push_back(std::abs(change - h * slope - h * h / 2 * bend));
    report.text += fmt::format("  {:>10.4g}  {:>12.4g}  {:>12.4g}", h, std::abs(change), with_gradient.back());
    report.text += options.hessian ? fmt::format("  {:>15.4g}\n", with_hessian.back()) : "\n";
  }
  report.gradient_order = order_of(with_gradient, rounding);
  report.ok = report.gradient_order >= 2 - options.tolerance;
  report.text += fmt::format("  order with the gradient, 2 if it is right: {}\n", order_text(report.gradient_order));
  if (options.hessian) {
    report.hessian_order = order_of(with_hessian, rounding);
    report.ok = report.ok && report.hessian_order >= 3 - options.tolerance;
    report.text +=
        fmt::format("  order with the Hessian, 3 if it is right, too: {}\n", order_text(report.hessian_order));
  }
  if (!report.ok) report.text = "  Taylor test: the remainder does not vanish as fast as it must\n" + report.text;
  return report;
}

TaylorReport check_taylor(const CheckedFunction& checked, const TaylorOptions& options) {
  if (!(options.step > 0 && options.tolerance > 0)) {
    throw_invalid("taylor_test: .step and .tolerance must be positive; got {} and {}", options.step, options.tolerance);
  }
  bool any = false;
  for (std::size_t i = 0; i < checked.inputs.size(); ++i) {
    const Tensor& x = checked.inputs[i];
    if (!x.defined()) throw_invalid("taylor_test: every input must be defined; input {} is not", i);
    if (is_float(x.dtype()) && x.dtype() != f64) {
      throw_invalid("taylor_test: float inputs must be f64; input {} is {}", i, x.dtype());
    }
    any |= x.dtype() == f64;
  }
  if (!any) throw_invalid("taylor_test: there must be an f64 input to differentiate by; got none");
  const Borrowed borrowed(checked, options.generators);
  const OwnLeaves& leaves = borrowed.leaves();
  const TensorFunction f = borrowed.function();
  const GradCheckOptions check_options{.seed = options.seed};
  Check check(f, checked.inputs, leaves.tensors(), checked.names, check_options, 1);
  check.prepare();
  return check.taylor(options);
}

}  // namespace detail
}  // namespace tapestry
