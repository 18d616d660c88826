#include <tapestry/ops/kernels/simd/targets.h>

#define TAPESTRY_KERNEL_TYPE float
#undef HWY_TARGET_INCLUDE
#define HWY_TARGET_INCLUDE "tapestry/ops/kernels/gemm/microkernel_f32.cpp"
#include <hwy/foreach_target.h>

#include <tapestry/ops/kernels/gemm/gemm.h>
#include <tapestry/ops/kernels/gemm/microkernel-inl.h>

#if HWY_ONCE
namespace tapestry::kernels {

HWY_EXPORT(table);

template <>
const Microkernels<float>& microkernels<float>() {
  return *HWY_DYNAMIC_DISPATCH(table)(float{});
}

const char* simd_target() { return hwy::TargetName(microkernels<float>().target); }

}  // namespace tapestry::kernels
#endif
