#include <tapestry/datasets/detail/eigen.h>

#include <algorithm>
#include <cmath>
#include <cstddef>
#include <numeric>

namespace tapestry::datasets::detail {
namespace {

constexpr int kMostSweeps = 50;  // ten are enough for any matrix; convergence is quadratic

/// Makes a[p][q] zero: rotates rows and columns p and q of a, and rows p and q of v.
void rotate(std::vector<double>& a, std::vector<double>& v, std::size_t n, std::size_t p, std::size_t q) {
  const double off = a[p * n + q];
  if (off == 0) return;
  const double theta = (a[q * n + q] - a[p * n + p]) / (2 * off);
  const double t =
      std::copysign(1.0, theta) / (std::abs(theta) + std::sqrt(theta * theta + 1));  // of the smaller angle
  const double c = 1 / std::sqrt(t * t + 1);
  const double s = t * c;
  for (std::size_t k = 0; k < n; ++k) {
    const double kp = a[k * n + p];
    const double kq = a[k * n + q];
    a[k * n + p] = c * kp - s * kq;
    a[k * n + q] = s * kp + c * kq;
  }
  for (std::vector<double>* m : {&a, &v}) {
    for (std::size_t k = 0; k < n; ++k) {
      const double pk = (*m)[p * n + k];
      const double qk = (*m)[q * n + k];
      (*m)[p * n + k] = c * pk - s * qk;
      (*m)[q * n + k] = s * pk + c * qk;
    }
  }
}

/// Sum of the squares beside the diagonal, and on it.
std::pair<double, double> squares(const std::vector<double>& a, std::size_t n) {
  double off = 0;
  double on = 0;
  for (std::size_t i = 0; i < n; ++i) {
    for (std::size_t j = 0; j < n; ++j) (i == j ? on : off) += a[i * n + j] * a[i * n + j];
  }
  return {off, on};
}

}  // namespace

Eigen eigen_symmetric(std::span<const double> matrix, std::size_t n) {
  std::vector<double> a(matrix.begin(), matrix.end());
  std::vector<double> v(n * n);
  for (std::size_t i = 0; i < n; ++i) v[i * n + i] = 1;
  for (int sweep = 0; sweep < kMostSweeps; ++sweep) {
    const auto [off, on] = squares(a, n);
    constexpr double kRounding = 1e-32;  // a square
    if (off <= kRounding * on) break;
    for (std::size_t p = 0; p + 1 < n; ++p) {
      for (std::size_t q = p + 1; q < n; ++q) rotate(a, v, n, p, q);
    }
  }
  std::vector<std::size_t> order(n);
  std::iota(order.begin(), order.end(), std::size_t{0});
  std::ranges::stable_sort(order, [&](std::size_t i, std::size_t j) { return a[i * n + i] > a[j * n + j]; });
  Eigen found;
  for (const std::size_t i : order) {
    found.values.push_back(a[i * n + i]);
    const auto row = v.begin() + static_cast<std::ptrdiff_t>(i * n);
    found.vectors.insert(found.vectors.end(), row, row + static_cast<std::ptrdiff_t>(n));
  }
  return found;
}

}  // namespace tapestry::datasets::detail
