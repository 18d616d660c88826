#pragma once

#include <string>

#include <tapestry/autograd/tensor.h>

namespace tapestry::detail {

/// What is to be known of the elements of a float tensor at a glance.
struct Statistics {
  double low = 0, high = 0;  ///< of the finite elements; 0 where there are none
  Index finite = 0, nan = 0, infinite = 0;
};

/// One pass over memory. Nothing but zeros for a tensor that is undefined or no float.
[[nodiscard]] Statistics statistics_of(const Tensor& x);

/// "min -1, max 3, all finite" or "min -1, max 3, 2 NaN, 1 Inf"; "no elements".
[[nodiscard]] std::string to_string(const Statistics& statistics);

/// "2 NaN and 1 Inf".
[[nodiscard]] std::string faults_of(const Statistics& statistics);

}  // namespace tapestry::detail
