#pragma once

#include <tapestry/autograd/tensor.h>

/// Running sums and products along a dimension. x is f32, f64, bf16, which gives f32, or, where it says so, an integer
/// type or bool, which give i64, wrap around and have no gradient; else std::invalid_argument, as for a dim out of
/// range. y has the shape of x. A scalar counts as one element.
namespace tapestry {

struct ScanOptions {
  Index dim = -1;
};

/// y[k] = x[0] + ... + x[k]; f32 is added up in f64. Integers too. Keeps nothing.
[[nodiscard]] Tensor cumsum(const Tensor& x, const ScanOptions& options = {}, Here here = {});

/// y[k] = x[0] x[1] ... x[k]; integers too. Its gradients divide by nothing, so that zeros do no harm. Keeps x and y.
[[nodiscard]] Tensor cumprod(const Tensor& x, const ScanOptions& options = {}, Here here = {});

struct LinearRecurrenceOptions {
  Index dim = -1;
  bool reverse = false;  ///< from the end: h[k] = a[k] h[k + 1] + b[k]
};

/// h[k] = a[k] h[k - 1] + b[k], where what stands before the first element is 0: a filter, a linear state space, an
/// exponential average with weights of its own in every step (Martin and Cundy, 2018). a and b of one shape and dtype,
/// f32 or f64; a[0] counts for nothing. Keeps a, and h if a needs a gradient.
[[nodiscard]] Tensor linear_recurrence(const Tensor& a, const Tensor& b, const LinearRecurrenceOptions& options = {},
                                       Here here = {});

}  // namespace tapestry
