#pragma once

#include <concepts>
#include <type_traits>

#include <tapestry/autograd/tensor.h>

namespace tapestry {

/// What arithmetic accepts: a tensor or a C++ number, and the line it was written on - an operator has no place for a
/// default argument that could tell. A number takes the dtype of the tensor it meets.
class Operand {
 public:
  Operand(const Tensor& x, Here at = {}) noexcept : here(at), tensor_(&x) {}
  template <class N>
  requires std::is_arithmetic_v<N> Operand(N value, Here at = {})
  noexcept : here(at), number_(value) {}
  Operand(Number value, Here at = {}) noexcept : here(at), number_(value) {}

  [[nodiscard]] bool is_tensor() const noexcept { return tensor_ != nullptr; }
  [[nodiscard]] const Tensor& tensor() const noexcept { return *tensor_; }
  [[nodiscard]] double number() const noexcept { return number_.real(); }
  [[nodiscard]] const Number& exact_number() const noexcept { return number_; }  ///< an integer with all its bits

  Here here;

 private:
  const Tensor* tensor_ = nullptr;
  Number number_ = 0;
};

}  // namespace tapestry
