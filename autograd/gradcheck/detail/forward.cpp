// The same derivatives the other way round, in forward mode.
#include <tapestry/autograd/gradcheck/detail/check.h>

#include <fmt/format.h>

#include <cmath>
#include <string_view>

#include <tapestry/autograd/backward.h>
#include <tapestry/autograd/functional.h>

namespace tapestry::detail {
namespace {

// Gradients of one function by two ways of differentiating twice, of which each adds up terms of its own, may differ by
// so much of the largest element.
constexpr double kTwoWays = 1e-8;

/// Runs f, and says why not where a rule cannot be differentiated, which forward mode is made of: "squared: ...".
template <class F>
std::string unless_not_differentiable(const F& f) {
  try {
    f();
    return {};
  } catch (const std::exception& e) {
    const std::string_view text = e.what();
    if (text.find("not differentiable") == std::string_view::npos) throw;
    return std::string(text.substr(0, text.find('\n')));
  }
}

}  // namespace

void Check::check_forward() {
  const std::vector<Tensor> xs = leaves();
  std::vector<Tensor> points, directions;
  double reverse = 0, terms = 0;
  for (std::size_t k = 0; k < wanted_.size(); ++k) {
    const std::size_t i = wanted_[k];
    Values u(static_cast<std::size_t>(inputs_[i].numel()));
    for (double& e : u) e = generator_.uniform(-1, 1);
    const Values gradient = part(gradient_, k), scale = part(scale_, k);
    reverse += dot(gradient, u);
    for (std::size_t e = 0; e < u.size(); ++e) terms += std::abs(u[e]) * (1 + std::abs(scale[e]));
    points.push_back(xs[i]);
    directions.push_back(tensor(std::span<const double>(u), inputs_[i].shape(), {.dtype = f64}));
  }
  const MapFunction f = [&](const std::vector<Tensor>& moved_points) {
    std::vector<Tensor> all = xs;
    for (std::size_t k = 0; k < wanted_.size(); ++k) all[wanted_[k]] = moved_points[k];
    return select(f_(all));
  };
  std::vector<Tensor> tangents;
  const std::string reason = unless_not_differentiable([&] {
    tangents = jvp(f, points, directions, {.create_graph = true});  // f may call grad() itself
  });
  if (!reason.empty()) {
    notes_ += fmt::format("  not compared with forward mode: {}\n", reason);
    return;
  }
  const double forward = dot(seed_, values_of(tangents));
  if (!(std::abs(forward - reverse) <= 10 * kExact * largest(seed_) * (1 + terms))) {
    fail(fmt::format("forward and reverse mode disagree: v . (J u) is {:.12g}, (v^T J) . u is {:.12g}", forward,
                     reverse));
  }
  if (options_.order > order_) check_tangents(f, points, directions, tangents);
}

/// v . (J u) and (v^T J) . u are the same function of x, so their gradients are equal: the one goes through the tangent
/// rules, the other through the gradient rules alone.
void Check::check_tangents(const MapFunction& f, const std::vector<Tensor>& points,
                           const std::vector<Tensor>& directions, const std::vector<Tensor>& tangents) {
  const auto gradients = [&](const std::vector<Tensor>& ys, const std::vector<Tensor>& vs) {
    std::vector<Tensor> outputs, seeds;
    for (std::size_t k = 0; k < ys.size(); ++k) {
      if (!ys[k].defined() || !ys[k].requires_grad()) continue;
      outputs.push_back(ys[k]);
      seeds.push_back(vs[k]);
    }
    std::vector<Tensor> found(points.size());
    if (!outputs.empty()) found = grad(outputs, points, {.grad_outputs = seeds, .allow_unused = true});
    Values values;
    for (std::size_t k = 0; k < points.size(); ++k) {
      if (found[k].defined())
        values.insert(values.end(), found[k].data<double>(), found[k].data<double>() + found[k].numel());
      else values.resize(values.size() + static_cast<std::size_t>(points[k].numel()));
    }
    return values;
  };
  Values through_tangents, through_gradients;
  const std::string reason = unless_not_differentiable([&] {
    through_tangents = gradients(tangents, seed_tensors(seed_));
    const std::vector<Tensor> slopes = vjp(f, points, seed_tensors(seed_), {.create_graph = true});
    through_gradients = gradients(slopes, directions);
  });
  if (!reason.empty()) {
    notes_ += fmt::format("  the derivative of the tangent was not compared: {}\n", reason);
    return;
  }
  const double apart = distance(through_tangents, through_gradients);
  if (!(apart <= kTwoWays * largest(seed_) * (1 + largest(through_gradients)))) {
    fail(
        fmt::format("the tangent and its own derivative disagree: the gradient of v . (J u) and that of (v^T J) . u "
                    "differ by {:.3g}, where the largest element is {:.3g}",
                    apart, largest(through_gradients)));
  }
}

}  // namespace tapestry::detail
