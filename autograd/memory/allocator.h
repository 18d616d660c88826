#pragma once

#include <cstddef>
#include <cstdint>
#include <limits>
#include <new>
#include <string>
#include <utility>

#include <tapestry/autograd/base/atomic.h>
#include <tapestry/autograd/base/call_site.h>

/// The memory of tensors, of nodes, and of what ops need while they run (scratch.h): what is freed is kept for the next
/// request, so that a training step in steady state asks the system for nothing. Blocks of more than 1 KiB are counted
/// and limited. Those up to 1 KiB (nodes, handles, scalars) are neither: threads keep 128 KiB of each size at most and
/// leave the rest to each other, which is as much as there has been at once.
namespace tapestry {

/// Bytes are those of blocks over 1 KiB, as rounded up: by at most an eighth, above 1 MiB by at most two pages.
struct MemoryStats {
  std::int64_t live_bytes = 0;    ///< handed out now: tensors, what rules keep, and the scratch of ops that are running
  std::int64_t peak_bytes = 0;    ///< the most that live_bytes has been since reset_peak_bytes(), scratch included
  std::int64_t cached_bytes = 0;  ///< freed and kept for the next request, of whichever thread
  std::int64_t system_blocks = 0;  ///< blocks ever asked of the system: stands still in a steady loop
  std::int64_t live_nodes = 0;     ///< recorded ops and leaves alive
  std::int64_t live_storages = 0;
};

[[nodiscard]] MemoryStats memory_stats() noexcept;
void reset_peak_bytes() noexcept;

/// Gives what is kept back to the system: cached_bytes is 0 afterwards, and the process smaller by as much.
void empty_cache() noexcept;

/// The most bytes that live_bytes and cached_bytes may be together, at any time and with any number of threads; no
/// limit at first. Kept blocks are given back before anybody is refused. Throws std::invalid_argument for a limit below
/// what is live already, which is never taken away.
///
/// An op needs room for its result and for its scratch, of which every thread that works for it takes some: near the
/// limit it may depend on the number of threads whether an op still fits.
void set_memory_limit(std::int64_t bytes, Here here = {});
[[nodiscard]] std::int64_t memory_limit() noexcept;
inline constexpr std::int64_t kNoMemoryLimit = std::numeric_limits<std::int64_t>::max();

/// The system, or the limit, has no memory for a tensor or for the scratch of an op. Nothing is lost: what was live
/// still is, and what the op had already taken is given back.
class OutOfMemory : public std::bad_alloc {
 public:
  explicit OutOfMemory(std::string message) : message_(std::move(message)) {}
  [[nodiscard]] const char* what() const noexcept override { return message_.c_str(); }

 private:
  std::string message_;
};

namespace detail {

/// Sanitizers see every block come and go: a recycled one would hide use after free and races from them.
#if defined(__SANITIZE_ADDRESS__) || defined(__SANITIZE_THREAD__)
inline constexpr bool kUnderSanitizer = true;
#elif defined(__has_feature)
#if __has_feature(address_sanitizer) || __has_feature(thread_sanitizer)
inline constexpr bool kUnderSanitizer = true;
#else
inline constexpr bool kUnderSanitizer = false;
#endif
#else
inline constexpr bool kUnderSanitizer = false;
#endif

/// A block of at least `bytes` bytes, aligned to 64, from any thread. Up to 1 KiB they come from lists of this thread,
/// below 1 MiB from shared lists by size, from there on they are cut from the arena (detail/arena.h). Throws
/// OutOfMemory after having emptied the cache and tried again.
[[nodiscard]] void* allocate_block(std::size_t bytes);

/// Takes back a block of allocate_block, from any thread; `bytes` is what was asked for.
void free_block(void* block, std::size_t bytes) noexcept;

/// Objects alive, counted without locked instructions: every thread keeps its own sums, memory_stats() adds them up.
struct LiveCounts {
  Atomic<std::int64_t> nodes{0};
  Atomic<std::int64_t> storages{0};
  bool registered = false;

  void register_thread() noexcept;
};

inline constinit thread_local LiveCounts live_counts;  // only this thread writes them

inline void count_live(Atomic<std::int64_t> LiveCounts::*count, std::int64_t n) noexcept {
  LiveCounts& mine = live_counts;
  if (!mine.registered) mine.register_thread();
  (mine.*count).store_relaxed((mine.*count).load_relaxed() + n);
}

/// Standard allocator over the same lists, for containers on the tape's path and for tables as long as a tensor's side.
template <class T>
struct BlockAllocator {
  using value_type = T;
  BlockAllocator() = default;
  template <class U>
  BlockAllocator(const BlockAllocator<U>&) noexcept {}
  T* allocate(std::size_t n) { return static_cast<T*>(allocate_block(n * sizeof(T))); }
  void deallocate(T* p, std::size_t n) noexcept { free_block(p, n * sizeof(T)); }
  friend bool operator==(const BlockAllocator&, const BlockAllocator&) noexcept { return true; }
};

}  // namespace detail
}  // namespace tapestry
