#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include <tapestry/autograd/gradcheck/gradcheck.h>

/// The Taylor test: how fast the remainder of f(x + h u) vanishes with h, for a random direction u.
namespace tapestry {

struct TaylorOptions {
  bool hessian = true;                  ///< with the second-order term, too: the rules of f must be differentiable
  std::uint64_t seed = 0;               ///< of the direction, and of the weights that make one number of all outputs
  double step = 1.0 / 16;               ///< the largest; f must have no kink within
  double tolerance = 0.1;               ///< of the orders
  std::vector<Generator> generators{};  ///< as GradCheckOptions::generators
};

/// `if (report)`, and `std::cout << report`, which prints the table: the remainders per step, and the orders.
struct TaylorReport {
  bool ok = false;            ///< the orders are at least 2 and 3
  double gradient_order = 0;  ///< of f(x + h u) - f(x) - h g u: 2 with the right gradient, infinite where f is linear
  double hessian_order = 0;   ///< with h^2/2 u H u taken off as well: 3, infinite where f is quadratic
  std::string text;           ///< the table

  explicit operator bool() const noexcept { return ok; }  ///< ok
};
/// The text.
std::ostream& operator<<(std::ostream& out, const TaylorReport& report);

namespace detail {
[[nodiscard]] TaylorReport check_taylor(const CheckedFunction& checked, const TaylorOptions& options);
}

/// ok when the remainders fall with orders of at least 2 and 3. f and its inputs are as for gradient_report().
template <class F>
[[nodiscard]] TaylorReport taylor_test(const F& f, const std::vector<Tensor>& inputs,
                                       const TaylorOptions& options = {}) {
  return detail::check_taylor(detail::checked_function(f, inputs), options);
}

}  // namespace tapestry
