// Whether there is anything that could fail: what no output depends on, neither by gradient nor by value, and outputs
// that depend on nothing. And the gradient the other way round, in forward mode.
#include <tapestry/autograd/gradcheck/detail/check.h>

#include <fmt/format.h>

#include <algorithm>
#include <cmath>
#include <string_view>

#include <tapestry/autograd/base/check.h>
#include <tapestry/autograd/functional.h>

namespace tapestry::detail {
namespace {

constexpr std::size_t kAll = static_cast<std::size_t>(-1);
// A step of a function that is constant in pieces must be seen, too.
constexpr double kMoves[] = {1e-6, 1e-3, 0.3, 0.3, 2, 2, 2, 2};

constexpr const char* kPermit = ".allow_independent = true permits it";

}  // namespace

bool Check::reacts(std::size_t k, std::size_t o) {
  for (const double move : kMoves) {
    Values y;
    try {
      y = evaluate_at([&](std::size_t input, double* x) {
        if (k != kAll && input != k) return;
        for (Index e = 0; e < inputs_[wanted_[input]].numel(); ++e) {
          x[e] +=
              generator_.uniform(0.5, 1) * (generator_.uniform() < 0.5 ? -move : move) * std::max(1.0, std::abs(x[e]));
        }
      });
    } catch (const std::exception&) {
      return true;  // it looks at the values
    }
    if (o == kAll ? !same_bits(y, y_) : !same_bits(output_part(y, o), output_part(y_, o))) return true;
  }
  return false;
}

void Check::check_dependence(const std::vector<Tensor>& ys) {
  std::vector<std::size_t> idle;
  for (std::size_t k = 0; k < wanted_.size(); ++k) {
    if (!reached_[k] && !reacts(k, kAll)) idle.push_back(k);
  }
  if (idle.size() == wanted_.size()) {
    fail(
        fmt::format("there is nothing to check: no output depends on any input, neither by gradient nor by value. f "
                    "must use what it is called with, or read leaves that require grad; {}",
                    kPermit));
    return;
  }
  for (const std::size_t k : idle) {
    const std::size_t i = wanted_[k];
    fail(
        fmt::format("no output depends on input {} {}, neither by gradient nor by value: nothing could fail for it; {}",
                    input_name(i), to_string(inputs_[i].shape()), kPermit));
  }
  for (std::size_t o = 0; o < ys.size(); ++o) {
    if (ys[o].requires_grad() || reacts(kAll, o)) continue;
    fail(
        fmt::format("output {} {} depends on no input, neither by gradient nor by value: nothing could fail for it; {}",
                    o, to_string(shapes_[o]), kPermit));
  }
}

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
  double forward = 0;
  try {
    for (std::size_t o = 0; o < shapes_.size(); ++o) {
      const Tensor ju = jvp(
          [&](const std::vector<Tensor>& moved_points) {
            std::vector<Tensor> all = xs;
            for (std::size_t k = 0; k < wanted_.size(); ++k) all[wanted_[k]] = moved_points[k];
            return select(f_(all))[o];
          },
          points, directions, {.create_graph = true});  // f may call grad() itself
      forward += dot(output_part(seed_, o), values_of({ju}));
    }
  } catch (const std::exception& e) {
    const std::string_view text = e.what();
    if (text.find("not differentiable") == std::string_view::npos) throw;
    notes_ += fmt::format("  not compared with forward mode: {}\n", text.substr(0, text.find('\n')));
    return;
  }
  if (!(std::abs(forward - reverse) <= 10 * kExact * largest(seed_) * (1 + terms))) {
    fail(fmt::format("forward and reverse mode disagree: v . (J u) is {:.12g}, (v^T J) . u is {:.12g}", forward,
                     reverse));
  }
}

}  // namespace tapestry::detail
