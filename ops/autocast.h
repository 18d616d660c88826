#pragma once

#include <utility>

#include <tapestry/autograd/base/dtype.h>
#include <tapestry/autograd/base/thread_modes.h>

namespace tapestry {

/// Whether conv2d, linear and matmul called on this thread cast f32 operands to bf16.
[[nodiscard]] inline bool is_autocast_enabled() noexcept { return detail::thread_modes.autocast_enabled; }

/// Mixed precision for the time of a scope on this thread:
///
///     Tensor loss;
///     {
///       const Autocast scope(bf16);
///       loss = cross_entropy(model(images), labels);
///     }
///     loss.backward();
///
/// Inside, conv2d, linear and matmul round f32 operands to bf16, add up in f32 and give bf16. What follows them
/// computes in the dtype that it is given: activations, pooling, dropout, sums of two tensors take and give bf16;
/// batch_norm takes bf16 beside f32 parameters, with statistics in f32 and f64; softmax, reductions and losses take
/// bf16 and give f32. Parameters stay f32, and so are their gradients, which are never rounded to bf16; f64 is left
/// alone. Gradients are computed in the dtypes of the forward pass, inside the scope or after it. Scopes nest;
/// Autocast(f32) switches it off within one. bf16 has the exponents of f32: no loss has to be scaled.
class Autocast {
 public:
  /// Throws std::invalid_argument unless dtype is bf16 or f32.
  explicit Autocast(Dtype dtype) : outer_(std::exchange(detail::thread_modes.autocast_enabled, is_lower(dtype))) {}
  ~Autocast() { detail::thread_modes.autocast_enabled = outer_; }
  Autocast(const Autocast&) = delete;
  Autocast& operator=(const Autocast&) = delete;

 private:
  [[nodiscard]] static bool is_lower(Dtype dtype);

  bool outer_;
};

}  // namespace tapestry
