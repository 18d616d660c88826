#include <tapestry/ops/detail/kernel_operands.h>

#include <tapestry/ops/precision.h>

namespace tapestry {

kernels::Precision kernel_precision() noexcept {
  switch (float32_matmul_precision()) {
    case MatmulPrecision::medium: return kernels::Precision::medium;
    case MatmulPrecision::high: return kernels::Precision::high;
    default: return kernels::Precision::highest;
  }
}

}  // namespace tapestry
