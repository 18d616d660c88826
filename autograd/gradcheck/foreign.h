#pragma once

#include <concepts>
#include <cstdint>
#include <span>
#include <utility>
#include <vector>

#include <tapestry/autograd/gradcheck/gradcheck.h>

/// Gradient checks for code that knows nothing of tensors: a function of plain arrays, and its gradient written by
/// hand.
///
///     double f(std::span<const double> x);
///     std::vector<double> gradient_of_f(std::span<const double> x);
///     check_grads(f, gradient_of_f, std::vector{1.0, 2.0, 3.0});
///
/// f returns a number or a std::vector<double>. The gradient function returns one number per element of x - for f of
/// several values all derivatives, value by value (row-major, [values, x]) - or takes v beside x and returns v^T J.
namespace tapestry {
namespace detail {

using Array = std::span<const double>;
using ArrayFunction = Callable<std::vector<double>(Array)>;
using ArrayGradient = Callable<std::vector<double>(Array, Array)>;

[[nodiscard]] GradReport check_foreign(const ArrayFunction& f, const ArrayGradient& gradient,
                                       const std::vector<double>& x, const GradCheckOptions& options);
/// v^T J for J as it is given; throws std::invalid_argument for another number of elements.
[[nodiscard]] std::vector<double> pulled_back(const std::vector<double>& jacobian, Array x, Array v);

template <class G>
concept GivesJacobian = requires(const G& g, Array x) {
  { g(x) } -> std::convertible_to<std::vector<double>>;
};
template <class G>
concept GivesProduct = requires(const G& g, Array x) {
  { g(x, x) } -> std::convertible_to<std::vector<double>>;
};
template <class F>
concept ArrayValued = requires(const F& f, Array x) {
  { f(x) } -> std::convertible_to<std::vector<double>>;
};
template <class F>
concept NumberValued = requires(const F& f, Array x) {
  { f(x) } -> std::convertible_to<double>;
};

}  // namespace detail

/// gradient_report() for such a pair, at order 1: everything that it verifies of a function of one input. Throws
/// std::invalid_argument for another order, and when the gradient has another number of elements.
template <class F, class G>
requires((detail::NumberValued<F> || detail::ArrayValued<F>)&&(detail::GivesJacobian<G> || detail::GivesProduct<G>))
    [[nodiscard]] GradReport
    gradient_report(const F& f, const G& gradient, const std::vector<double>& x, const GradCheckOptions& options = {}) {
  const detail::ArrayFunction values = [&f](detail::Array at) -> std::vector<double> {
    if constexpr (detail::NumberValued<F>) return {static_cast<double>(f(at))};
    else return f(at);
  };
  const detail::ArrayGradient product = [&gradient](detail::Array at, detail::Array v) -> std::vector<double> {
    if constexpr (detail::GivesProduct<G>) return gradient(at, v);
    else return detail::pulled_back(gradient(at), at, v);
  };
  return detail::check_foreign(values, product, x, options);
}

/// The same as a predicate.
template <class F, class G>
requires((detail::NumberValued<F> || detail::ArrayValued<F>)&&(detail::GivesJacobian<G> || detail::GivesProduct<G>))
    [[nodiscard]] GradReport
    gradients_match(const F& f, const G& gradient, const std::vector<double>& x, const GradCheckOptions& options = {}) {
  return gradient_report(f, gradient, x, options);
}

/// The same for tests: throws GradientError with the report when something is wrong.
template <class F, class G>
requires((detail::NumberValued<F> ||
          detail::ArrayValued<F>)&&(detail::GivesJacobian<G> ||
                                    detail::GivesProduct<G>)) void check_grads(const F& f, const G& gradient,
                                                                               const std::vector<double>& x,
                                                                               const GradCheckOptions& options = {}) {
  const GradReport report = gradient_report(f, gradient, x, options);
  if (!report.ok) throw GradientError(report.text);
}

}  // namespace tapestry
