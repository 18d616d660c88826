#pragma once

#include <tapestry/autograd/memory/handle.h>
#include <tapestry/autograd/tensor.h>

namespace tapestry {

/// For the time of a scope, whoever copies the handle on one tensor on this thread gets a handle on another: how an
/// object of any type that keeps tensors in members is copied with other tensors in their place, by its ordinary copy
/// constructor (nn::clone, nn::functional_call). Moved handles stay what they are; other threads see nothing of it.
class StandIns {
 public:
  StandIns();
  ~StandIns();
  StandIns(const StandIns&) = delete;
  StandIns& operator=(const StandIns&) = delete;

  /// Copies of `original` become handles on `stand_in`. Throws std::logic_error for an undefined tensor.
  void add(const Tensor& original, const Tensor& stand_in);

 private:
  friend class Tensor;
  struct State;
  Handle<State> state_;
};

}  // namespace tapestry
