#pragma once

#include <cstddef>
#include <cstdint>
#include <type_traits>
#include <vector>

#include <tapestry/autograd/memory/allocator.h>

/// Memory that an op or a kernel needs beside its tensors. It comes from the same manager: it is counted as live while
/// it is held, set_memory_limit() refuses it, and what is given back serves tensors and scratch alike until
/// empty_cache(). No thread keeps any for itself.
namespace tapestry {

/// Working memory of one call, or of one task of a parallel loop: `count` elements, not initialised, aligned to 64
/// bytes; null for a count of 0. Throws OutOfMemory, inside a task too: parallel_for() hands it on to its caller.
template <class T>
class Scratch {
  static_assert(std::is_trivially_copyable_v<T> && std::is_trivially_destructible_v<T>,
                "elements are neither constructed nor destroyed");

 public:
  explicit Scratch(std::int64_t count)
      : bytes_(count > 0 ? static_cast<std::size_t>(count) * sizeof(T) : 0),
        data_(count > 0 ? static_cast<T*>(detail::allocate_block(bytes_)) : nullptr) {}
  Scratch(const Scratch&) = delete;
  Scratch& operator=(const Scratch&) = delete;
  ~Scratch() {
    if (data_ != nullptr) detail::free_block(data_, bytes_);
  }

  [[nodiscard]] T* data() const noexcept { return data_; }
  T& operator[](std::int64_t i) const noexcept { return data_[i]; }

 private:
  std::size_t bytes_;
  T* data_;
};

/// A std::vector in such memory: for tables as long as a side of a tensor, which may be as long as the tensor.
template <class T>
using CountedVector = std::vector<T, detail::BlockAllocator<T>>;

}  // namespace tapestry
