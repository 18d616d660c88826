#pragma once

#include <cstddef>
#include <mutex>
#include <vector>

/// Private to autograd/memory/allocator.cpp.
namespace tapestry::detail {

/// Free ranges of memory in the order of their addresses; those that touch are one.
class FreeRanges {
 public:
  /// Cuts `bytes` from the shortest range that is long enough (of several the first), or returns null.
  [[nodiscard]] std::byte* take(std::size_t bytes) noexcept;

  /// Throws std::bad_alloc, and then nothing has happened.
  void put(std::byte* begin, std::size_t bytes);

  struct Range {
    std::byte* begin;
    std::size_t bytes;
    [[nodiscard]] std::byte* end() const noexcept { return begin + bytes; }
  };
  [[nodiscard]] const std::vector<Range>& ranges() const noexcept { return ranges_; }
  [[nodiscard]] std::size_t bytes() const noexcept;  // of all together
  void clear() noexcept { ranges_.clear(); }

 private:
  std::vector<Range> ranges_;
};

/// A stretch of addresses on huge pages, from which blocks of any size are cut. What is free joins with what is free
/// beside it: a training step frees the many small tensors of its last layers when it needs large ones for the
/// gradients of its first, and lists by size would hold memory for both (ResNet-18 at batch 128: 904 MiB instead of
/// 748).
class Arena {
 public:
  /// Never destroyed: tensors with static storage may be freed after it.
  static Arena& instance();

  /// A block of memory that was freed before; null where no free range is long enough.
  [[nodiscard]] void* take_kept(std::size_t bytes) noexcept;
  /// A block of memory that the system has to provide; null if it does not.
  [[nodiscard]] void* take_new(std::size_t bytes) noexcept;
  /// Keeps a freed block, whose `bytes` are what was taken. False when it went back to the system at once.
  [[nodiscard]] bool put(void* block, std::size_t bytes) noexcept;
  /// Gives what is kept back to the system, and returns how many bytes that were.
  std::size_t release() noexcept;
  [[nodiscard]] std::size_t kept_bytes() noexcept;

 private:
  Arena();
  bool reserve(std::size_t bytes) noexcept;
  bool grow(std::size_t bytes) noexcept;

  std::mutex mutex_;
  FreeRanges kept_;           // with pages of memory behind it
  FreeRanges unbacked_;       // addresses only
  std::byte* top_ = nullptr;  // addresses from here on may not be used yet
  std::byte* end_ = nullptr;
};

}  // namespace tapestry::detail
