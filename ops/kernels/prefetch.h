#pragma once

/// Hints for loops that do too much arithmetic per cache line for the processor to run far ahead by itself: on a Zen 5
/// the gradient of batch_norm takes 1.0 ms instead of 1.7 ms on 33.5 MB with them, a depthwise convolution of stride 2
/// half of its time. An address beyond the end does no harm. Private to ops/kernels.
namespace tapestry::kernels {

/// Asks for all cache lines of n elements.
template <class T>
inline void prefetch(const T* from, long n) {
  constexpr long kLine = 64 / sizeof(T);
  for (long i = 0; i < n; i += kLine) __builtin_prefetch(from + i, 0, 3);
}

/// Asks for what lies 16 KiB behind n elements that are about to be read, in a loop that walks through memory.
template <class T>
inline void prefetch_behind(const T* from, long n = 1) {
  constexpr long kAhead = 16 * 1024 / sizeof(T);
  prefetch(from + kAhead, n);
}

}  // namespace tapestry::kernels
