#pragma once

#include <tapestry/autograd/parallel.h>
#include <tapestry/autograd/tensor.h>

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

/// To be called on results inside what is timed: whatever a library may put off is done when somebody looks.
inline const Tensor& look_at(const Tensor& x) {
  visit(x.dtype(), [&]<class T>() { keep(*x.data<T>()); });
  return x;
}

}  // namespace tapestry::bench
