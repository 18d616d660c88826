#pragma once

#include <tapestry/autograd/base/parallel.h>
#include <tapestry/autograd/tensor.h>
#include <tapestry/ops/precision.h>

#include "peaks.h"
#include "report.h"

/// What our benchmark programs share.
namespace tapestry::bench {

/// Reads the common flags and sets the number of threads.
inline Options parse_options(int argc, char** argv, double budget = 0.3) {
  const Options options = parse_common(argc, argv, budget);
  set_num_threads(options.threads);
  return options;
}

/// What numbers a case is computed with: the first of these, and with --bf16 the others, too.
struct Numbers {
  const char* name;
  MatmulPrecision products;
  Dtype dtype;  ///< of the tensors of a convolution; what a model is cast to
};
inline constexpr Numbers kF32{"f32", MatmulPrecision::highest, f32};
inline constexpr Numbers kLowerNumbers[] = {{"f32 high", MatmulPrecision::high, f32},
                                            {"f32 medium", MatmulPrecision::medium, f32},
                                            {"bf16", MatmulPrecision::highest, bf16}};

/// To be called on results inside what is timed: nobody may leave out what somebody looks at.
inline const Tensor& look_at(const Tensor& x) {
  visit(x.dtype(), [&]<class T>() { keep(*x.data<T>()); });
  return x;
}

}  // namespace tapestry::bench
