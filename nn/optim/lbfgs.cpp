#include <tapestry/nn/optim/lbfgs.h>

#include <fmt/format.h>

#include <algorithm>
#include <cmath>
#include <limits>
#include <stdexcept>

#include <tapestry/autograd/base/check.h>
#include <tapestry/autograd/grad_mode.h>
#include <tapestry/nn/optim/detail/check.h>
#include <tapestry/ops/binary.h>
#include <tapestry/ops/cast.h>
#include <tapestry/ops/optimizer_step.h>
#include <tapestry/ops/reduce.h>
#include <tapestry/ops/shape_ops.h>
#include <tapestry/ops/unary.h>

namespace tapestry::nn::optim {
namespace {

constexpr double kEnoughFall = 1e-4;     // of what the slope promises (Wolfe's first condition)
constexpr double kFlatEnough = 0.9;      // of the slope at the start (the second one)
constexpr Index kMostTrials = 25;        // of one line search
constexpr double kLeastProduct = 1e-10;  // below it, a pair of changes tells no positive curvature

double largest(const Tensor& x) { return x.numel() == 0 ? 0 : amax(abs(x)).item(); }

}  // namespace

LBFGS::LBFGS(const Parameters& parameters, const LBFGSOptions& options, Here here) : options_(options) {
  const CallSite site(here);
  detail::check_not_negative("LBFGS", "lr", options.lr);
  detail::check_not_negative("LBFGS", "tolerance_grad", options.tolerance_grad);
  detail::check_not_negative("LBFGS", "tolerance_change", options.tolerance_change);
  const auto check_positive = [](const char* what, Index value) {
    if (value < 1) throw_invalid("LBFGS: {} must be at least 1; got {}", what, value);
  };
  check_positive("max_iter", options.max_iter);
  check_positive("max_eval", options.max_eval.value_or(1));
  check_positive("history_size", options.history_size);
  add_entries("LBFGS", parameters, options.lr);
  for (const Entry& entry : entries(0)) {
    if (entry.parameter.dtype() == dtype()) continue;
    throw_invalid("LBFGS: all parameters must have the same dtype; {} is {}, {} is {}", entries(0)[0].name, dtype(),
                  entry.name, entry.parameter.dtype());
  }
}

Dtype LBFGS::dtype() const { return entries(0)[0].parameter.dtype(); }

Index LBFGS::most_evaluations() const {
  const Index iterations = options_.max_iter, more = iterations / 4;
  const bool fits = iterations <= std::numeric_limits<Index>::max() - more;
  return options_.max_eval.value_or(fits ? iterations + more : iterations);
}

Index LBFGS::size() const {
  Index size = 0;
  for (const Entry& entry : entries(0)) size += entry.parameter.numel();
  return size;
}

void LBFGS::set_momentum(double momentum, std::size_t, Here here) {
  const CallSite site(here);
  detail::check_no_momentum("LBFGS", momentum);
}

std::vector<std::pair<std::string, std::string>> LBFGS::settings(std::size_t) const {
  return {{"optimizer", "LBFGS"},
          {"max_iter", fmt::format("{}", options_.max_iter)},
          {"max_eval", options_.max_eval ? fmt::format("{}", *options_.max_eval) : "max_iter 5 / 4"},
          {"tolerance_grad", fmt::format("{}", options_.tolerance_grad)},
          {"tolerance_change", fmt::format("{}", options_.tolerance_change)},
          {"history_size", fmt::format("{}", options_.history_size)},
          {"line_search_fn", options_.line_search_fn == LineSearch::none ? "none" : "strong_wolfe"}};
}

void LBFGS::step(Here here) {
  const CallSite site(here);
  throw_logic("LBFGS: a step must be given a closure, which computes loss and gradients anew; got none");
}

// --- one step

/// Loss and gradient at a distance along a direction.
struct LBFGS::Point {
  double t = 0;
  double loss = 0;
  Tensor gradient;
  double slope = 0;  ///< gradient . direction
};

/// What a step works on. The parameters are one long vector here.
class LBFGS::Run {
 public:
  Run(LBFGS& owner, const Closure& closure) : owner_(owner), closure_(closure), start_(parameters()) {}

  /// Parameters, in one vector: a copy.
  [[nodiscard]] Tensor parameters() const {
    std::vector<Tensor> parts;
    for (const Entry& entry : owner_.entries(0)) {
      parts.push_back(reshape(tapestry::detail::without_history(entry.parameter), {-1}));
    }
    return cat(parts);
  }

  void set_parameters(const Tensor& all) const {
    Index begin = 0;
    for (Entry& entry : owner_.entries(0)) {
      visit_float(all.dtype(), [&]<class T>() {
        std::copy_n(all.data<T>() + begin, entry.parameter.numel(), entry.parameter.mutable_data<T>());
      });
      begin += entry.parameter.numel();
    }
  }

  void back_to_start() const { set_parameters(start_); }

  /// Loss and gradient where the parameters are.
  Point evaluate() {
    ++evaluations_;
    Tensor loss;
    {
      const EnableGradGuard recording;
      loss = closure_();
    }
    if (!loss.defined() || loss.numel() != 1) {
      throw_invalid("LBFGS: the closure must return the loss, one number; got {}",
                    loss.defined() ? to_string(loss.shape()) : "an undefined tensor");
    }
    if (!first_loss_.defined()) first_loss_ = loss;
    std::vector<Tensor> parts;
    bool any = false;
    for (const Entry& entry : owner_.entries(0)) {
      const Tensor g = entry.parameter.grad();
      any = any || g.defined();
      parts.push_back(g.defined() ? reshape(tapestry::detail::without_history(g), {-1})
                                  : zeros({entry.parameter.numel()}, {.dtype = entry.parameter.dtype()}));
    }
    if (!any) throw_logic("LBFGS: the closure must call backward(); no parameter has a gradient");
    return {.t = 0, .loss = loss.item(), .gradient = cat(parts)};
  }

  static void check_finite(const Point& at) {
    const double most = largest(at.gradient);
    if (std::isfinite(at.loss) && std::isfinite(most)) return;
    throw std::runtime_error(
        format_message("LBFGS: the loss and its gradient must be finite; got a loss of {} and a largest element of {}",
                       at.loss, most) +
        place_lines());
  }

  /// At x + t d. What is no number counts as infinite: the search steps back from it.
  Point evaluate_at(const Tensor& x, double t, const Tensor& d) {
    set_parameters(x + t * d);
    Point at = evaluate();
    at.t = t;
    at.slope = sum_of_products(at.gradient, d);
    if (std::isnan(at.loss)) at.loss = std::numeric_limits<double>::infinity();
    return at;
  }

  /// A point along d that fulfils Wolfe's strong conditions, or the best one that was met (Nocedal and Wright, chapter
  /// 3): first an interval that holds one, then smaller and smaller ones.
  Point search(const Tensor& x, const Tensor& d, const Point& origin, double t) {
    const auto falls_enough = [&](const Point& p) { return p.loss <= origin.loss + kEnoughFall * p.t * origin.slope; };
    const auto is_flat = [&](const Point& p) { return std::abs(p.slope) <= -kFlatEnough * origin.slope; };

    Point before = origin, at = evaluate_at(x, t, d);
    Index trials = 0;
    for (; trials < kMostTrials; ++trials) {
      if (!falls_enough(at) || (trials > 1 && at.loss >= before.loss)) break;
      if (is_flat(at)) return at;
      if (at.slope >= 0) break;
      const double next = minimum_of_cubic(before, at, at.t + 0.01 * (at.t - before.t), 10 * at.t);
      before = at;
      at = evaluate_at(x, next, d);
    }
    if (trials == kMostTrials) return origin.loss <= at.loss ? origin : at;

    Point ends[] = {before, at};
    int low = ends[0].loss <= ends[1].loss ? 0 : 1;
    const double widest = largest(d);
    bool near_an_end = false;
    for (; trials < kMostTrials; ++trials) {
      const double first = std::min(ends[0].t, ends[1].t), last = std::max(ends[0].t, ends[1].t);
      if ((last - first) * widest < owner_.options_.tolerance_change) break;
      double next = minimum_of_cubic(ends[0], ends[1], first, last);
      const double margin = 0.1 * (last - first);
      const bool is_near = std::min(last - next, next - first) < margin;
      if (is_near && (near_an_end || next >= last || next <= first)) {
        next = std::abs(next - last) < std::abs(next - first) ? last - margin : first + margin;
        near_an_end = false;
      } else {
        near_an_end = is_near;
      }
      const Point found = evaluate_at(x, next, d);
      if (!falls_enough(found) || found.loss >= ends[low].loss) {
        ends[1 - low] = found;
        low = ends[0].loss <= ends[1].loss ? 0 : 1;
        continue;
      }
      if (is_flat(found)) return found;
      if (found.slope * (ends[1 - low].t - ends[low].t) >= 0) ends[1 - low] = ends[low];
      ends[low] = found;
    }
    return ends[low];
  }

  [[nodiscard]] Index evaluations() const { return evaluations_; }
  [[nodiscard]] const Tensor& first_loss() const { return first_loss_; }

 private:
  /// Where the cubic through both points, with their slopes, is least, within [least, most]; the middle if nowhere.
  static double minimum_of_cubic(const Point& a, const Point& b, double least, double most) {
    const Point& left = a.t <= b.t ? a : b;
    const Point& right = a.t <= b.t ? b : a;
    const double d1 = left.slope + right.slope - 3 * (left.loss - right.loss) / (left.t - right.t);
    const double square = d1 * d1 - left.slope * right.slope;
    if (!(square >= 0)) return (least + most) / 2;
    const double d2 = std::sqrt(square);
    const double at = right.t - (right.t - left.t) * ((right.slope + d2 - d1) / (right.slope - left.slope + 2 * d2));
    return std::isnan(at) ? (least + most) / 2 : std::clamp(at, least, most);
  }

  LBFGS& owner_;
  const Closure& closure_;
  Tensor start_;
  Tensor first_loss_;
  Index evaluations_ = 0;
};

namespace {

/// -H g by the pairs' two loops.
template <class Memory>
Tensor quasi_newton_direction(const Memory& m, const Tensor& gradient) {
  Tensor d = -gradient;
  std::vector<double> part(m.steps.size());
  for (std::size_t i = part.size(); i-- > 0;) {
    part[i] = sum_of_products(m.steps[i], d) * m.inverse_products[i];
    scale_and_add_in_place(d, 1, m.gradient_changes[i], -part[i]);
  }
  scale_in_place(d, m.diagonal);
  for (std::size_t i = 0; i < part.size(); ++i) {
    const double back = sum_of_products(m.gradient_changes[i], d) * m.inverse_products[i];
    scale_and_add_in_place(d, 1, m.steps[i], part[i] - back);
  }
  return d;
}

}  // namespace

Tensor LBFGS::step(const Closure& closure, Here here) {
  const CallSite site(here);
  const NoGradGuard guard;
  Run run(*this, closure);
  Memory m = memory_;
  try {
    Point at = run.evaluate();
    warn_of_gaps("LBFGS");
    Run::check_finite(at);
    bool is_done = largest(at.gradient) <= options_.tolerance_grad;
    for (Index iteration = 1; !is_done && iteration <= options_.max_iter; ++iteration) {
      if (m.iterations++ == 0) {
        m.direction = -at.gradient;
      } else {
        Tensor change = at.gradient - m.gradient;
        Tensor moved = m.direction * m.length;
        const double product = sum_of_products(change, moved);
        if (product > kLeastProduct) {
          if (static_cast<Index>(m.steps.size()) == options_.history_size) {
            m.gradient_changes.erase(m.gradient_changes.begin());
            m.steps.erase(m.steps.begin());
            m.inverse_products.erase(m.inverse_products.begin());
          }
          m.diagonal = product / sum_of_squares(change);
          m.gradient_changes.push_back(std::move(change));
          m.steps.push_back(std::move(moved));
          m.inverse_products.push_back(1 / product);
        }
        m.direction = quasi_newton_direction(m, at.gradient);
      }
      const double loss_before = at.loss;
      m.gradient = at.gradient;
      m.length = options_.lr;
      if (m.iterations == 1) m.length *= std::min(1.0, 1 / sum(abs(at.gradient)).item());
      at.t = 0;
      at.slope = sum_of_products(at.gradient, m.direction);
      if (at.slope > -options_.tolerance_change) break;

      const bool searches = options_.line_search_fn == LineSearch::strong_wolfe;
      const Tensor x = run.parameters();
      if (searches) {
        at = run.search(x, m.direction, at, m.length);
        m.length = at.t;
      }
      run.set_parameters(m.length == 0 ? x : x + m.length * m.direction);
      // Without a search, where the last direction leads is looked at when the next step begins.
      if (!searches && iteration != options_.max_iter) at = run.evaluate();
      Run::check_finite(at);
      is_done = run.evaluations() >= most_evaluations() || largest(at.gradient) <= options_.tolerance_grad ||
                largest(m.direction) * m.length <= options_.tolerance_change ||
                std::abs(at.loss - loss_before) < options_.tolerance_change;
    }
    m.evaluations += run.evaluations();
  } catch (...) {
    run.back_to_start();
    throw;
  }
  memory_ = std::move(m);
  return run.first_loss();
}

// --- state

std::map<std::string, Tensor> LBFGS::state(Here here) const {
  const CallSite site(here);
  const NoGradGuard guard;
  if (memory_.iterations == 0) return {};
  const std::string prefix = entries(0)[0].name + '.';
  std::map<std::string, Tensor> out;
  out[prefix + "n_iter"] = full({}, static_cast<double>(memory_.iterations), {.dtype = i64});
  out[prefix + "func_evals"] = full({}, static_cast<double>(memory_.evaluations), {.dtype = i64});
  out[prefix + "t"] = scalar(memory_.length, {.dtype = f64});
  out[prefix + "H_diag"] = scalar(memory_.diagonal, {.dtype = f64});
  out[prefix + "d"] = clone(memory_.direction);
  out[prefix + "prev_flat_grad"] = clone(memory_.gradient);
  if (memory_.steps.empty()) return out;
  out[prefix + "old_dirs"] = stack(memory_.gradient_changes);
  out[prefix + "old_stps"] = stack(memory_.steps);
  out[prefix + "ro"] = tensor(memory_.inverse_products, {static_cast<Index>(memory_.steps.size())}, {.dtype = f64});
  return out;
}

LBFGS::Memory LBFGS::memory_from(const std::map<std::string, Tensor>& state, std::string& problems) const {
  const NoGradGuard guard;
  Memory m;
  if (state.empty()) return m;
  const std::string prefix = entries(0)[0].name + '.';
  std::size_t used = 0;
  const auto find = [&](const char* name, const Shape& shape, Dtype wanted) -> const Tensor* {
    const auto found = state.find(prefix + name);
    if (found == state.end()) {
      problems += fmt::format("\n  missing: {}{}", prefix, name);
      return nullptr;
    }
    ++used;
    const Tensor& x = found->second;
    if (x.shape() == shape && x.dtype() == wanted) return &x;
    problems += fmt::format("\n  {}{}: must be {} {}; got {} {}", prefix, name, name_of(wanted), to_string(shape),
                            name_of(x.dtype()), to_string(x.shape()));
    return nullptr;
  };
  const auto number = [&](const char* name, auto& value, Dtype wanted) {
    using T = std::remove_reference_t<decltype(value)>;
    if (const Tensor* x = find(name, {}, wanted)) value = x->item<T>();
  };
  number("n_iter", m.iterations, i64);
  if (m.iterations < 0) problems += fmt::format("\n  {}n_iter: must be at least 0; got {}", prefix, m.iterations);
  number("func_evals", m.evaluations, i64);
  number("t", m.length, f64);
  number("H_diag", m.diagonal, f64);
  if (const Tensor* x = find("d", {size()}, dtype())) m.direction = clone(*x);
  if (const Tensor* x = find("prev_flat_grad", {size()}, dtype())) m.gradient = clone(*x);

  Index pairs = 0;
  for (const char* name : {"old_dirs", "old_stps", "ro"}) {
    const auto found = state.find(prefix + name);
    if (found != state.end() && found->second.dim() > 0) pairs = std::max(pairs, found->second.size(0));
  }
  if (pairs > options_.history_size) {
    problems += fmt::format("\n  {}old_dirs: must be at most history_size = {} changes; got {}", prefix,
                            options_.history_size, pairs);
  }
  if (pairs > 0) {
    const Tensor* const changes = find("old_dirs", {pairs, size()}, dtype());
    const Tensor* const steps = find("old_stps", {pairs, size()}, dtype());
    const Tensor* const products = find("ro", {pairs}, f64);
    if (changes && steps && products) {
      for (Index i = 0; i < pairs; ++i) {
        m.gradient_changes.push_back(clone(select(*changes, {.index = i})));
        m.steps.push_back(clone(select(*steps, {.index = i})));
        m.inverse_products.push_back(products->data<double>()[i]);
      }
    }
  }
  if (used != state.size()) {
    for (const auto& [key, value] : state) {
      const std::string name = key.starts_with(prefix) ? key.substr(prefix.size()) : "";
      const auto known = {"n_iter", "func_evals", "t", "H_diag", "d", "prev_flat_grad", "old_dirs", "old_stps", "ro"};
      if (std::find(known.begin(), known.end(), name) == known.end()) {
        problems += fmt::format("\n  unexpected: {}", key);
      }
    }
  }
  return m;
}

void LBFGS::load_state(const std::map<std::string, Tensor>& state, Here here) {
  const CallSite site(here);
  std::string problems;
  Memory loaded = memory_from(state, problems);
  if (!problems.empty()) throw_invalid("load_state: the state must be this optimizer's{}", problems);
  memory_ = std::move(loaded);
}

std::string LBFGS::state_differences(const std::map<std::string, Tensor>& state) const {
  std::string problems;
  (void)memory_from(state, problems);
  return problems;
}

}  // namespace tapestry::nn::optim
