#pragma once

#include <tapestry/autograd/base/dtype.h>

namespace tapestry::kernels {

/// An operand whose element type is known at run time only. Private to ops.
struct Elements {
  const void* data;
  Dtype dtype;

  Elements(const void* elements, Dtype of) : data(elements), dtype(of) {}
  template <class T>
  Elements(const T* elements) : data(elements), dtype(dtype_of<T>) {}  // NOLINT(google-explicit-constructor)

  template <class T>
  [[nodiscard]] const T* as() const {
    return static_cast<const T*>(data);
  }
};

}  // namespace tapestry::kernels
