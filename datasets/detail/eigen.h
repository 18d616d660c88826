#pragma once

#include <span>
#include <vector>

namespace tapestry::datasets::detail {

/// Eigenvalues, the largest first, and the eigenvector of each as a row of a matrix n x n.
struct Eigen {
  std::vector<double> values;
  std::vector<double> vectors;
};

/// Of a symmetric matrix n x n, by Jacobi's rotations in fixed order.
[[nodiscard]] Eigen eigen_symmetric(std::span<const double> matrix, std::size_t n);

}  // namespace tapestry::datasets::detail
