#pragma once

#include <concepts>
#include <cstdint>
#include <stdexcept>
#include <string>
#include <utility>
#include <vector>

#include <tapestry/autograd/base/callable.h>
#include <tapestry/autograd/tensor.h>

/// Compares the gradients of a function with finite differences, and tries what else a gradient must keep:
///
///     check_grads([](const Tensor& x) { return cube(x); }, {randn({3, 4}, {.dtype = f64})}, {.order = 2});
///
/// f takes one to six tensors, or a std::vector of them, and returns a Tensor or a std::vector of them. Gradients of
/// all f64 outputs are checked with respect to all f64 inputs; tensors of integers and bools are constants. f must give
/// the same values for the same inputs: what is random inside must be seeded inside.
namespace tapestry {

struct GradCheckOptions {
  int order = 1;                      ///< 2: the derivatives of the gradients too
  double rtol = 1e-7;                 ///< |analytic - numeric| <= atol + rtol * the larger; ten times that at order 2
  double atol = 1e-8;                 ///< to which the rounding of the differences themselves is added
  bool smooth = false;                ///< f has no kink within 0.003: six points instead of two, and rtol at most 1e-9
  std::uint64_t seed = 0;             ///< of the directions and seeds that are drawn
  std::int64_t full_limit = 1 << 16;  ///< inputs x outputs: beyond, four random projections replace the Jacobian
  bool vary_threads = true;           ///< also runs f with 1 and 4 threads, which is set for the whole program
};

struct GradReport {
  bool ok = false;
  std::string text;  ///< what was found wrong and the likely cause; how much was compared when nothing is wrong
};

/// What check_grads throws: the report is the message.
class GradientError : public std::runtime_error {
 public:
  using std::runtime_error::runtime_error;
};

namespace detail {

using TensorFunction = Callable<std::vector<Tensor>(const std::vector<Tensor>&)>;

[[nodiscard]] GradReport check_gradients(const TensorFunction& f, const std::vector<Tensor>& inputs,
                                         const GradCheckOptions& options);
[[noreturn]] void throw_wrong_count(std::size_t got);

[[nodiscard]] inline std::vector<Tensor> as_list(Tensor y) { return {std::move(y)}; }
[[nodiscard]] inline std::vector<Tensor> as_list(std::vector<Tensor> ys) { return ys; }

/// f(x[0], x[1], ...) if f can be called with as many tensors as there are.
template <std::size_t N, class F>
bool call_with(const F& f, const std::vector<Tensor>& x, std::vector<Tensor>& y) {
  return [&]<std::size_t... I>(std::index_sequence<I...>) {
    if constexpr (std::invocable<const F&, decltype(x[I])...>) {
      if (x.size() != N) return false;
      y = as_list(f(x[I]...));
      return true;
    } else {
      return false;
    }
  }
  (std::make_index_sequence<N>{});
}

/// Borrows f: the result must not outlive it.
template <class F>
[[nodiscard]] TensorFunction tensor_function(const F& f) {
  return [&f](const std::vector<Tensor>& x) -> std::vector<Tensor> {
    if constexpr (std::invocable<const F&, const std::vector<Tensor>&>) {
      return as_list(f(x));
    } else {
      std::vector<Tensor> y;
      if (!(call_with<1>(f, x, y) || call_with<2>(f, x, y) || call_with<3>(f, x, y) || call_with<4>(f, x, y) ||
            call_with<5>(f, x, y) || call_with<6>(f, x, y))) {
        throw_wrong_count(x.size());
      }
      return y;
    }
  };
}

}  // namespace detail

/// Verifies, at order 1 and, where asked for, again for the gradients as functions of inputs and seeds:
///
///   - every derivative against central differences with h = 1e-6 max(1, |x|); one that differs is tried once more with
///     six points at h = 1e-3, so that it is the gradient that fails and not the difference;
///   - f and its gradients repeat bit by bit, also on 1 and 4 threads, and change no input and no seed;
///   - gradients are linear in the seed, and 0 for the seed 0;
///   - every subset of the inputs gets the same gradients, and frozen inputs get none;
///   - f(x, x) has the sum of the gradients; a leaf's gradient is added to the one it had.
///
/// A failed check is a report, not an exception. Throws what f throws for the inputs as given, and
/// std::invalid_argument for options out of range, float inputs that are not f64, and when there is no f64 input or
/// output to check.
template <class F>
[[nodiscard]] GradReport gradient_report(const F& f, const std::vector<Tensor>& inputs,
                                         const GradCheckOptions& options = {}, Here here = {}) {
  const OuterSite site(here);
  return detail::check_gradients(detail::tensor_function(f), inputs, options);
}

/// gradient_report() for tests: throws GradientError with the report when something is wrong.
template <class F>
void check_grads(const F& f, const std::vector<Tensor>& inputs, const GradCheckOptions& options = {}, Here here = {}) {
  const OuterSite site(here);
  const GradReport report = gradient_report(f, inputs, options, here);
  if (!report.ok) throw GradientError(report.text + place_lines());
}

}  // namespace tapestry
