#pragma once

#include <tapestry/autograd/tensor.h>

/// Products of matrices and vectors by their shapes, where matmul (<tapestry/ops/matmul.h>) finds out by itself, and
/// the eigenvectors of symmetric matrices. Differentiable any number of times. Tensors are f32, f64 or bf16 unless
/// said otherwise; all of these throw std::invalid_argument for other shapes than those named and for dtypes that
/// differ, and are subject to autocast and precision as matmul is.
namespace tapestry {

/// a [M, K], b [K, N] -> a b [M, N]. Keeps each if the other needs a gradient.
[[nodiscard]] Tensor mm(const Tensor& a, const Tensor& b, Here here = {});

/// A batch of products: a [B, M, K], b [B, K, N] -> [B, M, N]. Nothing broadcasts. Keeps as mm does.
[[nodiscard]] Tensor bmm(const Tensor& a, const Tensor& b, Here here = {});

/// a [M, K], v [K] -> a v [M]. Keeps as mm does.
[[nodiscard]] Tensor mv(const Tensor& a, const Tensor& v, Here here = {});

/// a [K], b [K] -> the sum of a_i b_i, a scalar. Keeps as mm does.
[[nodiscard]] Tensor dot(const Tensor& a, const Tensor& b, Here here = {});

/// a [M], b [N] -> y [M, N], y_ij = a_i b_j. Of integers too. Keeps as mul does.
[[nodiscard]] Tensor outer(const Tensor& a, const Tensor& b, Here here = {});

struct AddmmOptions {
  double beta = 1;   ///< of c; with 0, c is not read
  double alpha = 1;  ///< of the product
};

/// y = beta c + alpha a b.
///
///   c  what broadcasts to [M, N]
///   a  [M, K]
///   b  [K, N]
///   y  [M, N]
///
/// With beta 0 the elements of c do not matter, NaN neither; c then is no input of y, has no gradient, and may be
/// undefined. Keeps a and b as mm does. bf16 is rounded after each step. Composed of other ops.
[[nodiscard]] Tensor addmm(const Tensor& c, const Tensor& a, const Tensor& b, const AddmmOptions& options = {},
                           Here here = {});

/// Eigenvalues and eigenvectors: a v_k = values[k] v_k.
struct Eigh {
  Tensor values;   ///< [..., n], ascending
  Tensor vectors;  ///< [..., n, n], one per column, orthonormal
};

/// The eigenvalues and eigenvectors of symmetric matrices a [..., n, n], f32 or f64, by Jacobi's rotations in double
/// precision (Golub and Van Loan, Matrix Computations, 8.5): for small matrices, at some 10 n^3 multiply-adds per
/// sweep and about eight sweeps. What is decomposed is the symmetric part (a + a^T) / 2, whose gradient goes to both
/// triangles alike. An eigenvector and its negative are equally right: the one whose component of largest magnitude -
/// the first of equal ones - is positive is given. A matrix with a NaN or an infinity gives NaN.
///
/// With W = V^T dV, where dV is the gradient by the vectors, the gradient of a is the symmetric part of
///
///     V (diag(dvalues) + F o W) V^T,   F_ij = 1 / (values[j] - values[i]) for i != j, and 0 on the diagonal.
///
/// Eigenvalues nearer to each other than n eps max|values|, with eps of the dtype, count as equal, and F_ij = 0 there:
/// vectors of one eigenvalue may be turned among each other, so that derivatives of single ones do not exist, and their
/// share is left out. Right then are derivatives of functions that treat the equal values alike and do not depend on
/// the choice of vectors within that eigenvalue's space to first order, such as the sum of the values.
///
/// Keeps its result. Throws std::invalid_argument unless the last two extents are equal.
[[nodiscard]] Eigh eigh(const Tensor& a, Here here = {});

}  // namespace tapestry
