#pragma once

#include <tapestry/ops/kernels/base/tuning.h>

/// Hints for loops that do too much arithmetic per cache line for the processor to run far ahead by itself. An address
/// beyond the end does no harm. Private to ops/kernels.
namespace tapestry::kernels {

/// Asks for all cache lines of n elements.
template <class T>
inline void prefetch(const T* from, long n) {
  constexpr long kLine = tuning::kCacheLine / sizeof(T);
  for (long i = 0; i < n; i += kLine) __builtin_prefetch(from + i, 0, 3);
}

/// Asks for what lies kPrefetchAhead bytes behind n elements that are about to be read, in a loop that walks through
/// memory.
template <class T>
inline void prefetch_behind(const T* from, long n = 1) {
  constexpr long kAhead = tuning::kPrefetchAhead / sizeof(T);
  prefetch(from + kAhead, n);
}

}  // namespace tapestry::kernels
