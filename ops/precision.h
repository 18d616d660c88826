#pragma once

#include <cstdint>
#include <optional>
#include <string_view>

namespace tapestry {

/// How exactly products of f32 tensors are computed: conv2d, linear, matmul and their gradients.
///
///   highest  in f32
///   high     in f32. Elsewhere this name stands for sums of several bf16 products per f32 one; that pays on matrix
///            units only (Intel's AMX), and this library has no kernels for them
///   medium   with both operands rounded to bf16, added up in f32, where the CPU multiplies bf16 twice as fast
///            (AVX512_BF16); elsewhere in f32. Results carry a relative error of some 2e-3 instead of 1e-7.
///            Convolutions that do too little with every number to be worth its rounding, such as depthwise ones, stay
///            in f32
///
/// Everything else, and tensors of other dtypes, is left alone.
enum class MatmulPrecision : std::uint8_t { highest, high, medium };

/// For all threads, from now on; `highest` until then.
void set_float32_matmul_precision(MatmulPrecision precision) noexcept;

/// The same by name. Throws std::invalid_argument for an unknown one.
void set_float32_matmul_precision(std::string_view name);

/// What holds on this thread.
[[nodiscard]] MatmulPrecision float32_matmul_precision() noexcept;

/// "highest", "high", "medium".
[[nodiscard]] const char* name_of(MatmulPrecision precision) noexcept;

/// Another precision for the time of a scope on this thread, whatever holds for the others. Gradients are computed with
/// what holds when they are computed.
class MatmulPrecisionGuard {
 public:
  explicit MatmulPrecisionGuard(MatmulPrecision precision) noexcept;
  ~MatmulPrecisionGuard();
  MatmulPrecisionGuard(const MatmulPrecisionGuard&) = delete;
  MatmulPrecisionGuard& operator=(const MatmulPrecisionGuard&) = delete;

 private:
  std::optional<MatmulPrecision> outer_;
};

}  // namespace tapestry
