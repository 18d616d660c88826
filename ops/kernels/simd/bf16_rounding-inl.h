// Rounding to bfloat16 in loops of one instruction set: included once per target through foreach_target. Hence a guard
// that toggles instead of #pragma once.
#if defined(TAPESTRY_BF16_ROUNDING_INL_H) == defined(HWY_TARGET_TOGGLE)
#ifdef TAPESTRY_BF16_ROUNDING_INL_H
#undef TAPESTRY_BF16_ROUNDING_INL_H
#else
#define TAPESTRY_BF16_ROUNDING_INL_H
#endif

#include <cstdint>
#include <cstring>

#include <hwy/highway.h>

HWY_BEFORE_NAMESPACE();
namespace tapestry::kernels::HWY_NAMESPACE {
namespace {

/// BFloat16(x) without its branches.
HWY_INLINE std::uint32_t rounded(std::uint32_t word) {
  const std::uint32_t up = word + 0x7FFFU + ((word >> 16) & 1U);
  return (word & 0x7FFFFFFFU) > 0x7F800000U ? word | 0x00400000U : up;
}
HWY_INLINE std::uint32_t rounded(float x) {
  std::uint32_t word;
  std::memcpy(&word, &x, sizeof(word));
  return rounded(word);
}

}  // namespace
}  // namespace tapestry::kernels::HWY_NAMESPACE
HWY_AFTER_NAMESPACE();

#endif
