#pragma once

#include <tapestry/autograd/base/parallel.h>

#include <cstddef>

#if defined(__SSE2__)
#include <xmmintrin.h>
#endif

/// What a kernel's tasks need around them: working memory and a floating-point mode. Private to ops/kernels.
namespace tapestry::kernels {

namespace detail {

/// Uninitialised memory, aligned to 64 bytes (large blocks to 2 MiB, with huge pages asked for). Blocks given back are
/// kept by the thread for its next request, up to a limit.
[[nodiscard]] void* take_scratch(std::size_t bytes);
void give_scratch_back(void* memory) noexcept;

}  // namespace detail

/// Working memory of one call or task: `count` uninitialised elements. Throws std::bad_alloc.
template <class T>
class Scratch {
 public:
  explicit Scratch(Index count)
      : data_(count > 0 ? static_cast<T*>(detail::take_scratch(static_cast<std::size_t>(count) * sizeof(T)))
                        : nullptr) {}
  Scratch(const Scratch&) = delete;
  Scratch& operator=(const Scratch&) = delete;
  ~Scratch() {
    if (data_ != nullptr) detail::give_scratch_back(data_);
  }

  [[nodiscard]] T* data() const noexcept { return data_; }
  T& operator[](Index i) const noexcept { return data_[i]; }

 private:
  T* data_;
};

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
