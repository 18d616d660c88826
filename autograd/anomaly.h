#pragma once

#include <stdexcept>

#include <tapestry/autograd/memory/handle.h>

namespace tapestry {

struct AnomalyOptions {
  bool allow_infinity = false;  ///< only NaN is an anomaly: for masks of -infinity and the like
};

/// Finds the first NaN or infinity. While it lives, every op that this thread computes and every gradient that it plays
/// is looked at, and the first that is not finite throws AnomalyError:
///
///     const AnomalyMode guard;
///     model(x) ...
///
///     log: its result has 1 NaN among the 3 elements of f32 [3], the first that an op has made
///       input 0: f32 [3], min -1, max 3, all finite
///       at model.cpp:42 in head
///
/// It is found where it is made, also when a later op hides it (relu, where, clamp). What is not finite from the start,
/// data or a parameter, is told where it is first used. A gradient names the op whose rule made it, the line that
/// recorded the op, and what the op's inputs were if this guard has seen them.
///
/// Costs nothing measurable while there is none, and about two passes over each result and gradient while there is one.
class AnomalyMode {
 public:
  explicit AnomalyMode(const AnomalyOptions& options = {});
  ~AnomalyMode();
  AnomalyMode(const AnomalyMode&) = delete;
  AnomalyMode& operator=(const AnomalyMode&) = delete;

 private:
  class Impl;
  Handle<Impl> impl_;
};

/// What AnomalyMode throws.
class AnomalyError : public std::runtime_error {
 public:
  using std::runtime_error::runtime_error;
};

}  // namespace tapestry
