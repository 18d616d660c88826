#pragma once

#include <cstdint>

#include <tapestry/autograd/base/parallel.h>

/// Cross entropy of rows of logits. T is float or double.
namespace tapestry::kernels {

/// What the rows are compared with, as factors t[c] of -log p[c]:
///   labels         (1 - smoothing) weight[y] [c == y] + smoothing / classes weight[c], all 0 in an ignored row
///   probabilities  weight[c] ((1 - smoothing) q[c] + smoothing / classes)
template <class T>
struct CrossEntropyTarget {
  const std::int64_t* labels;  ///< [rows], or null: then probabilities
  const T* probabilities;      ///< [rows, classes]
  const T* weight;             ///< [classes], or null: all 1
  std::int64_t ignore_index;
  double smoothing;
};

/// loss[row] = sum of t[c] (-log p[c]) with p = softmax of the row; a factor of 0 makes its term 0.
template <class T>
void cross_entropy(const T* logits, Index rows, Index classes, const CrossEntropyTarget<T>& target, double* loss);

/// dlogits = (p sum(t) - t) factor dy[row * dy_step], 0 in ignored rows; dy_step is 0 or 1.
template <class T>
void cross_entropy_gradient(const T* logits, Index rows, Index classes, const CrossEntropyTarget<T>& target,
                            double factor, const T* dy, Index dy_step, T* dlogits);

/// The factors themselves, multiplied by `scale` except in ignored rows: t [rows, classes], sum [rows].
template <class T>
void cross_entropy_factors(Index rows, Index classes, const CrossEntropyTarget<T>& target, double scale, T* t, T* sum);

}  // namespace tapestry::kernels
