#pragma once

#include <utility>

#include <tapestry/autograd/base/call_site.h>
#include <tapestry/autograd/base/thread_modes.h>

namespace tapestry {

/// The dtype of what is made without one: zeros, ones, tensors of C++ floats, random numbers, the parameters of layers.
/// f32 unless a DefaultDtype says otherwise.
[[nodiscard]] inline Dtype default_dtype() noexcept { return detail::thread_modes.default_dtype; }

/// Another default for the time of a scope, on this thread and in the parallel loops that it calls:
///
///     const DefaultDtype scope(f64);
///     const nn::Linear exact{3, 4};  // in f64
///
/// Throws std::invalid_argument for a dtype that is no float.
class DefaultDtype {
 public:
  explicit DefaultDtype(Dtype dtype, Here here = {})
      : outer_(std::exchange(detail::thread_modes.default_dtype, checked(dtype, here))) {}
  ~DefaultDtype() { detail::thread_modes.default_dtype = outer_; }
  DefaultDtype(const DefaultDtype&) = delete;
  DefaultDtype& operator=(const DefaultDtype&) = delete;

 private:
  static Dtype checked(Dtype dtype, Here here);
  Dtype outer_;
};

}  // namespace tapestry
