#pragma once

#include <initializer_list>
#include <vector>

#include <tapestry/autograd/tensor.h>

namespace tapestry {

/// Dimensions to reduce, from a number or a list: `.dim = -1`, `.dim = {0, 1}`. Empty means all.
class Dims {
 public:
  Dims() = default;
  Dims(Index dim) : dims_{dim} {}
  Dims(int dim) : dims_{dim} {}
  Dims(std::initializer_list<Index> dims) : dims_(dims) {}
  explicit Dims(std::vector<Index> dims) : dims_(std::move(dims)) {}
  [[nodiscard]] const std::vector<Index>& list() const noexcept { return dims_; }

 private:
  std::vector<Index> dims_;
};

struct ReduceOptions {
  Dims dim = {};         ///< which dimensions; all when empty
  bool keepdim = false;  ///< leave extents of 1 in their place
};

/// bf16 is reduced in f32, and gives f32. All reductions give the same bits on any number of threads and throw
/// std::invalid_argument for a dim out of range or named twice.

/// The sum, 0 over nothing. f32 is added up in f64. Integers and bool give i64 (no gradient). Keeps nothing.
[[nodiscard]] Tensor sum(const Tensor& x, const ReduceOptions& options = {}, Here here = {});

/// The product, 1 over nothing. Integers and bool give i64 (no gradient). Its gradient divides by nothing, so that
/// zeros do no harm. Composed of other ops.
[[nodiscard]] Tensor prod(const Tensor& x, const ReduceOptions& options = {}, Here here = {});

/// The arithmetic mean, NaN over nothing. Float only. Keeps nothing.
[[nodiscard]] Tensor mean(const Tensor& x, const ReduceOptions& options = {}, Here here = {});

struct VarOptions {
  Dims dim = {};
  bool keepdim = false;
  Index correction = 1;  ///< divides by n - correction: 1 is the unbiased estimate, 0 that of the population
};
/// sum((x - mean)^2) / (n - correction), in two passes; NaN when n <= correction and the sum is 0.
[[nodiscard]] Tensor var(const Tensor& x, const VarOptions& options = {}, Here here = {});

/// The square root of var; gradient 0 where it is 0. (`std` would hide the namespace.)
[[nodiscard]] Tensor stddev(const Tensor& x, const VarOptions& options = {}, Here here = {});

/// Whether any, or all, elements of a bool tensor are true; over nothing: false, true. Another dtype throws
/// std::invalid_argument.
[[nodiscard]] Tensor any(const Tensor& x, const ReduceOptions& options = {}, Here here = {});
[[nodiscard]] Tensor all(const Tensor& x, const ReduceOptions& options = {}, Here here = {});

/// Largest or smallest element; NaN wins. Ties share the gradient equally. Over nothing: std::invalid_argument.
[[nodiscard]] Tensor amax(const Tensor& x, const ReduceOptions& options = {}, Here here = {});
[[nodiscard]] Tensor amin(const Tensor& x, const ReduceOptions& options = {}, Here here = {});
[[nodiscard]] Tensor max(const Tensor& x, Here here = {});  ///< of all elements
[[nodiscard]] Tensor min(const Tensor& x, Here here = {});

/// Extreme values along one dimension and where they stand.
struct ValuesAndIndices {
  Tensor values;   ///< x's dtype
  Tensor indices;  ///< i64, position along the dimension
};
struct DimOptions {
  Index dim = -1;
  bool keepdim = false;
};
/// The first of equal ones; NaN wins. The gradient goes to that element alone.
[[nodiscard]] ValuesAndIndices max_dim(const Tensor& x, const DimOptions& options = {}, Here here = {});
[[nodiscard]] ValuesAndIndices min_dim(const Tensor& x, const DimOptions& options = {}, Here here = {});
/// The element in the middle of the order, of an even number the lower one; NaN wins. The gradient goes to that element
/// alone. Over nothing: std::invalid_argument. Composed of sort and gather.
[[nodiscard]] Tensor median(const Tensor& x, Here here = {});  ///< of all elements
[[nodiscard]] ValuesAndIndices median_dim(const Tensor& x, const DimOptions& options = {}, Here here = {});

/// Where the largest element along a dimension stands, the first of equal ones: i64. NaN wins.
[[nodiscard]] Tensor argmax(const Tensor& x, const DimOptions& options = {}, Here here = {});
/// Where the smallest element along a dimension stands, the first of equal ones: i64. NaN wins.
[[nodiscard]] Tensor argmin(const Tensor& x, const DimOptions& options = {}, Here here = {});

/// log(sum(exp(x))) along the dimensions, shifted by the maximum. All -inf: -inf.
[[nodiscard]] Tensor logsumexp(const Tensor& x, const ReduceOptions& options = {}, Here here = {});

struct NormOptions {
  double p = 2;  ///< infinity: the largest |x|; -infinity: the smallest; 0: how many are not 0
  Dims dim = {};
  bool keepdim = false;
};
/// (sum(|x|^p))^(1/p), the Euclidean length by default; 0 over nothing. The gradient is 0 at the zero vector, and that
/// of an element that is 0 is 0; equal largest ones share it equally. f32 is added up in f64. Keeps x and y; other p
/// than 2 are composed of other ops. Throws std::invalid_argument for a p that is NaN or, but for -infinity, negative,
/// and for an infinite p over nothing.
[[nodiscard]] Tensor norm(const Tensor& x, const NormOptions& options = {}, Here here = {});

}  // namespace tapestry
