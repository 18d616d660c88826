#pragma once

#include <algorithm>
#include <cmath>
#include <map>
#include <optional>
#include <utility>

#include <tapestry/autograd/gradcheck/detail/check.h>

/// How one column of a Jacobian is compared. Private to the gradient checks.
namespace tapestry::detail {

inline constexpr double kStep = 1e-6;        // of central differences, times max(1, |x|)
inline constexpr double kSmoothStep = 1e-3;  // of the six-point stencil
/// Where central differences disagree: six points, with shorter and shorter steps for functions that bend more.
inline constexpr double kRetries[] = {1e-3, 1e-4, 1e-5, 1e-6, 1e-7};

[[nodiscard]] inline double step_at(double x) { return kStep * std::max(1.0, std::abs(x)); }

/// One-sided slopes that stay apart when the step is halved.
struct Bend {
  double left, right, left_half, right_half;

  /// `noise` is what rounding makes of a slope.
  [[nodiscard]] bool is_kink(double noise) const {
    const double bend = std::abs(right - left), half = std::abs(right_half - left_half);
    return half > 0.7 * bend && half > 100 * noise + 1e-4 * std::max(std::abs(left_half), std::abs(right_half));
  }
};

template <class Rows>
void Check::compare_column(JacobianBlock& block, Index column, double magnitude, const Rows& rows) {
  const std::size_t input = block.input;
  const double x = inputs_[input].data<double>()[column];
  const double unit = std::max(1.0, std::abs(x)), h = step_at(x);
  const Sides near = sides(input, column, h);
  const Values y = rows(y_), above = rows(near.above), below = rows(near.below);
  const Values smooth = options_.smooth ? rows(smooth_difference(input, column, kSmoothStep)) : Values();
  std::map<double, Values> refined;
  std::optional<Sides> halved;
  Values above_half, below_half;
  const auto bend_at = [&](std::size_t r) {
    if (!halved) {
      halved = sides(input, column, h / 2);
      above_half = rows(halved->above);
      below_half = rows(halved->below);
    }
    return Bend{(y[r] - below[r]) / near.down, (above[r] - y[r]) / near.up, (y[r] - below_half[r]) / halved->down,
                (above_half[r] - y[r]) / halved->up};
  };
  const double noise = 20 * kUnit * magnitude / h;
  for (Index row = 0; row < block.rows; ++row) {
    const std::size_t at = block.at(row, column);
    const auto r = static_cast<std::size_t>(row);
    const double a = block.analytic[at];
    const double n = block.numeric[at] = options_.smooth ? smooth[r] : (above[r] - below[r]) / (near.up + near.down);
    const double tolerance = allowed(a, n, options_.smooth ? kSmoothStep : h, magnitude);
    ++compared_;
    if (std::abs(a - n) <= tolerance) {
      worst_ = std::max(worst_, std::abs(a - n) / tolerance);
      const bool bends = std::abs(above[r] - 2 * y[r] + below[r]) / h > 100 * noise + 1e-3 * std::max(1.0, std::abs(n));
      if (bends && bend_at(r).is_kink(noise)) ++at_kinks_;
      continue;
    }
    const bool agrees = std::any_of(std::begin(kRetries), std::end(kRetries), [&](double step) {
      const double t = step * unit;
      const auto [entry, is_new] = refined.try_emplace(step);
      if (is_new) entry->second = rows(smooth_difference(input, column, t));
      const double better = entry->second[r];
      if (!(std::abs(a - better) <= allowed(a, better, std::min(h, t), magnitude))) return false;
      block.numeric[at] = better;
      return true;
    });
    if (agrees) continue;
    const Bend bend = bend_at(r);
    block.bad.push_back({row, column, (above_half[r] - below_half[r]) / (halved->up + halved->down), tolerance,
                         bend.is_kink(noise), bend.left_half, bend.right_half, x});
  }
}

}  // namespace tapestry::detail
