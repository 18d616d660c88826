// Gradients against differences of f, element by element.
#include <tapestry/autograd/gradcheck/detail/differences.h>

#include <algorithm>
#include <cmath>
#include <map>
#include <optional>
#include <utility>

namespace tapestry::detail {

Values Check::moved(std::size_t input, Index e, double t) {
  if (probe_.empty()) probe_ = arguments();
  /// The element gets its value back, also when f throws.
  struct Moved {
    double* at;
    double x;
    ~Moved() { *at = x; }
  };
  double* const at = reinterpret_cast<double*>(probe_[input].impl().bytes()) + e;
  const Moved restore{at, *at};
  *at += t;
  return evaluate(probe_);
}

Check::Sides Check::sides(std::size_t input, Index e, double h) {
  const double x = inputs_[input].data<double>()[e];
  return {moved(input, e, h), moved(input, e, -h), (x + h) - x, x - (x - h)};
}

Values Check::difference(std::size_t input, Index e, double h) {
  Sides s = sides(input, e, h);
  for (std::size_t r = 0; r < s.above.size(); ++r) s.above[r] = (s.above[r] - s.below[r]) / (s.up + s.down);
  return s.above;
}

Values Check::smooth_difference(std::size_t input, Index e, double h) {
  const Values one = difference(input, e, h);
  const Values two = difference(input, e, 2 * h);
  Values slope = difference(input, e, 3 * h);
  for (std::size_t r = 0; r < slope.size(); ++r) slope[r] = 1.5 * one[r] - 0.6 * two[r] + 0.1 * slope[r];
  return slope;
}

double Check::allowed(double a, double n, double h, double magnitude) const {
  const double rtol = options_.smooth ? std::min(rtol_, 1e-9) : rtol_;
  const double atol = options_.smooth ? std::min(options_.atol, 1e-10) : options_.atol;
  return atol + 20 * kUnit * magnitude / h + rtol * std::max(std::abs(a), std::abs(n));
}

}  // namespace tapestry::detail
