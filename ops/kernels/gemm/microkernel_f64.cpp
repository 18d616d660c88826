#include <tapestry/ops/kernels/simd/targets.h>

#define TAPESTRY_KERNEL_TYPE double
#undef HWY_TARGET_INCLUDE
#define HWY_TARGET_INCLUDE "tapestry/ops/kernels/gemm/microkernel_f64.cpp"
#include <hwy/foreach_target.h>

#include <tapestry/ops/kernels/gemm/microkernel-inl.h>

#if HWY_ONCE
namespace tapestry::kernels {

HWY_EXPORT(table);

template <>
const Microkernels<double>& microkernels<double>() {
  return *HWY_DYNAMIC_DISPATCH(table)(double{});
}

}  // namespace tapestry::kernels
#endif
