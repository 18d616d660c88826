#pragma once

#if defined(__SSE2__)
#include <xmmintrin.h>
#endif

/// Private to ops/kernels.
namespace tapestry::kernels {

/// While alive, this thread rounds subnormal numbers to zero, in operands and results: they would cost a hundred cycles
/// each. The mode belongs to the thread, so every task sets it, or results would depend on who runs what.
class FlushDenormals {
 public:
#if defined(__SSE2__)
  FlushDenormals() noexcept : saved_(_mm_getcsr()) { _mm_setcsr(saved_ | kFlushToZero | kDenormalsAreZero); }
  ~FlushDenormals() {
    _mm_setcsr((_mm_getcsr() & ~(kFlushToZero | kDenormalsAreZero)) | (saved_ & (kFlushToZero | kDenormalsAreZero)));
  }

 private:
  static constexpr unsigned kFlushToZero = 0x8000, kDenormalsAreZero = 0x0040;
  unsigned saved_;

 public:
#else
  FlushDenormals() noexcept {}  // not defaulted: a variable of this type shall not count as unused
  ~FlushDenormals() {}
#endif
  FlushDenormals(const FlushDenormals&) = delete;
  FlushDenormals& operator=(const FlushDenormals&) = delete;
};

}  // namespace tapestry::kernels
