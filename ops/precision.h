#pragma once

#include <cstdint>
#include <string_view>

#include <tapestry/autograd/base/call_site.h>

namespace tapestry {

/// How exactly products of f32 tensors are computed: conv2d, linear, matmul and their gradients.
///
///   highest  in f32, every product
///   high     in f32, but 3x3 convolutions with stride 1 that are large enough to gain from it by Winograd's minimal
///            filtering (Lavin & Gray, 2015): 16 products in place of 36, of sums of inputs and of sums of taps
///   medium   with both operands rounded to bf16, added up in f32, where the CPU multiplies bf16 twice as fast
///            (AVX512_BF16); elsewhere as high. Convolutions that do too little with every number to be worth its
///            rounding, such as depthwise ones, are as in high
///
/// Relative errors (Frobenius norm against f64) of a 3x3 convolution of 256 with 256 channels, of its gradients in x
/// and in w, as precision_test measures them:
///
///   highest  6.1e-7, 6.2e-7, 1.8e-7
///   high     5.1e-7, 5.1e-7, 3.2e-7; shorter sums make up for sums of sums
///   medium   2.4e-3, 2.3e-3, 2.3e-3
///
/// Infinite and NaN inputs spoil all four results of a square of 2 x 2 in `high`, not only those that they belong to.
/// Everything else, and tensors of other dtypes, is left alone.
enum class MatmulPrecision : std::uint8_t { highest, high, medium };

/// For all threads, from now on; `highest` until then.
void set_float32_matmul_precision(MatmulPrecision precision) noexcept;

/// The same by name. Throws std::invalid_argument for an unknown one.
void set_float32_matmul_precision(std::string_view name, Here here = {});

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
  std::int8_t outer_;
};

}  // namespace tapestry
