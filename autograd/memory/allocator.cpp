#include <tapestry/autograd/memory/allocator.h>

#include <fmt/format.h>

#include <array>
#include <atomic>
#include <bit>
#include <cstdlib>
#include <mutex>
#include <new>
#include <utility>
#include <vector>

#if defined(__GLIBC__)
#include <malloc.h>
#endif

#include <tapestry/autograd/base/check.h>
#include <tapestry/autograd/memory/detail/arena.h>

namespace tapestry {
namespace {

constexpr bool kCache = !detail::kUnderSanitizer;

constexpr std::size_t kAlign = 64;                      // a cache line and the widest vector
constexpr std::size_t kLargest = std::size_t{1} << 62;  // bytes; rounding up does not overflow
constexpr std::size_t kSmallBytes = 1024;               // up to here: lists of the thread, one per multiple of 64
constexpr std::size_t kSlabBytes = 64 * 1024;           // small blocks are cut from slabs of this size
constexpr std::size_t kArenaBytes = 1 << 20;            // from here on: cut from the arena
// Blocks of the arena are whole pages and some lines: of full pages alone, all would fall into the same sets of the
// caches, and y = x + b walks three of them at once.
constexpr std::size_t kPage = 4096, kColour = 5 * kAlign;

std::atomic<std::int64_t> live_bytes{0};
std::atomic<std::int64_t> peak_bytes{0};
std::atomic<std::int64_t> system_blocks{0};
std::atomic<std::int64_t> limit{kNoMemoryLimit};

/// Counts bytes as live before anybody looks for them: of threads that ask at once, none gets past the limit. Returns
/// what is live then, or -1 where the limit does not allow it.
std::int64_t reserve(std::int64_t bytes) noexcept {
  const std::int64_t room = limit.load(std::memory_order_relaxed) - bytes;
  std::int64_t live = live_bytes.load(std::memory_order_relaxed);
  do {
    if (live > room) return -1;
  } while (!live_bytes.compare_exchange_weak(live, live + bytes, std::memory_order_relaxed));
  return live + bytes;
}

void note_peak(std::int64_t live) noexcept {
  std::int64_t peak = peak_bytes.load(std::memory_order_relaxed);
  while (live > peak && !peak_bytes.compare_exchange_weak(peak, live, std::memory_order_relaxed)) {
  }
}

void* system_allocate(std::size_t bytes) noexcept {
  void* block = std::aligned_alloc(kAlign, (bytes + kAlign - 1) / kAlign * kAlign);
  if (block) system_blocks.fetch_add(1, std::memory_order_relaxed);
  return block;
}

// --- large blocks

/// Size classes 12.5 % apart: the exponent and the three bits after the leading one, rounded up.
struct SizeClass {
  std::size_t index;
  std::size_t bytes;
};

constexpr SizeClass size_class(std::size_t bytes) noexcept {
  const auto shift = static_cast<int>(std::bit_width(bytes - 1)) - 4;  // bytes > kSmallBytes, so shift > 0
  const std::size_t eighths = ((bytes - 1) >> shift) + 1;              // 9 .. 16 units of 2^shift
  return {static_cast<std::size_t>(shift) * 8 + (eighths - 9), eighths << shift};
}

/// Freed blocks of medium size, of all threads. Never destroyed: tensors with static storage may be freed after it.
class Bins {
 public:
  static Bins& instance() {
    static Bins* const bins = new Bins;
    return *bins;
  }

  void* take(const SizeClass& size) noexcept {
    const std::scoped_lock lock(mutex_);
    auto& bin = bins_[size.index];
    if (bin.empty()) return nullptr;
    void* block = bin.back();
    bin.pop_back();
    bytes_ -= size.bytes;
    return block;
  }

  void put(void* block, const SizeClass& size) noexcept {
    const std::scoped_lock lock(mutex_);
    try {
      bins_[size.index].push_back(block);
      bytes_ += size.bytes;
    } catch (const std::bad_alloc&) {
      std::free(block);
    }
  }

  /// Frees them all. False when there were none.
  bool clear() noexcept {
    const std::scoped_lock lock(mutex_);
    if (bytes_ == 0) return false;
    for (auto& bin : bins_) {
      for (void* block : bin) std::free(block);
      bin.clear();
    }
    bytes_ = 0;
    return true;
  }

  [[nodiscard]] std::size_t bytes() noexcept {
    const std::scoped_lock lock(mutex_);
    return bytes_;
  }

 private:
  std::mutex mutex_;
  std::array<std::vector<void*>, size_class(kArenaBytes - 1).index + 1> bins_;
  std::size_t bytes_ = 0;
};

constexpr bool in_arena(std::size_t bytes) { return bytes >= kArenaBytes; }

/// What a block of `bytes` bytes takes.
std::size_t occupied(std::size_t bytes) noexcept {
  return in_arena(bytes) ? (bytes + kPage - 1) / kPage * kPage + kColour : size_class(bytes).bytes;
}

void* take_kept(std::size_t bytes) noexcept {
  if (!kCache) return nullptr;
  return in_arena(bytes) ? detail::Arena::instance().take_kept(occupied(bytes))
                         : Bins::instance().take(size_class(bytes));
}

void* take_new(std::size_t bytes) noexcept {
  if (!kCache || !in_arena(bytes)) return system_allocate(occupied(bytes));
  void* const block = detail::Arena::instance().take_new(occupied(bytes));
  if (block) system_blocks.fetch_add(1, std::memory_order_relaxed);
  return block;
}

std::int64_t cached_bytes() noexcept {
  return static_cast<std::int64_t>(Bins::instance().bytes() + detail::Arena::instance().kept_bytes());
}

[[noreturn]] void throw_out_of_memory(std::size_t bytes) {
  const auto mib = [](auto n) { return static_cast<double>(n) / (1 << 20); };
  std::string message =
      fmt::format("memory: no room for a block of {:.1f} MiB; {:.1f} MiB are live", mib(bytes), mib(live_bytes.load()));
  if (memory_limit() == kNoMemoryLimit) message += " and the system has no more";
  else message += fmt::format(" and the limit is {:.1f} MiB (set_memory_limit)", mib(memory_limit()));
  throw OutOfMemory(std::move(message));
}

void* allocate_large(std::size_t bytes) {
  if (bytes > kLargest) throw_out_of_memory(bytes);
  const auto wanted = static_cast<std::int64_t>(occupied(bytes));
  const std::int64_t live = reserve(wanted);
  if (live < 0) throw_out_of_memory(bytes);
  void* block = take_kept(bytes);
  if (!block) {
    const std::int64_t most = memory_limit();
    if (most != kNoMemoryLimit && live_bytes.load() + cached_bytes() > most) empty_cache();
    block = take_new(bytes);
  }
  if (!block) {
    empty_cache();
    block = take_new(bytes);
  }
  if (!block) {
    live_bytes.fetch_sub(wanted);
    throw_out_of_memory(bytes);
  }
  note_peak(live);
  return block;
}

/// Kept first and then no longer live: for a moment it counts twice. Not at all would let others past the limit.
void free_large(void* block, std::size_t bytes) noexcept {
  const std::size_t taken = occupied(bytes);
  if (!kCache) std::free(block);
  else if (in_arena(bytes)) detail::Arena::instance().put(block, taken);
  else Bins::instance().put(block, size_class(bytes));
  live_bytes.fetch_sub(static_cast<std::int64_t>(taken));
}

// --- small blocks

struct FreeBlock {
  FreeBlock* next;
};

constexpr std::size_t kSmallClasses = kSmallBytes / kAlign;

/// Lists that ended threads left behind, for threads that run out.
struct Orphans {
  std::mutex mutex;
  std::array<FreeBlock*, kSmallClasses> lists{};
  static Orphans& instance() {
    static Orphans* const orphans = new Orphans;
    return *orphans;
  }
};

/// This thread's lists. Trivial, so that reaching them costs no check whether they have been constructed.
struct ThreadLists {
  std::array<FreeBlock*, kSmallClasses> lists{};
  bool closed = false;  // the thread is ending: blocks freed from now on go to the orphans
};

constinit thread_local ThreadLists thread_lists;

void give_away(FreeBlock* block, std::size_t c) noexcept {
  Orphans& orphans = Orphans::instance();
  const std::scoped_lock lock(orphans.mutex);
  block->next = orphans.lists[c];
  orphans.lists[c] = block;
}

/// Constructed by a thread's first refill; its end is the thread's.
struct ThreadEnd {
  ~ThreadEnd() {
    ThreadLists& mine = thread_lists;
    mine.closed = true;
    for (std::size_t c = 0; c < kSmallClasses; ++c) {
      while (FreeBlock* block = mine.lists[c]) {
        mine.lists[c] = block->next;
        give_away(block, c);
      }
    }
  }
};

void refill(std::size_t c) {
  thread_local const ThreadEnd end;
  static_cast<void>(end);
  ThreadLists& mine = thread_lists;
  Orphans& orphans = Orphans::instance();
  {
    const std::scoped_lock lock(orphans.mutex);
    mine.lists[c] = std::exchange(orphans.lists[c], nullptr);
  }
  if (mine.lists[c]) return;
  auto* slab = static_cast<std::byte*>(system_allocate(kSlabBytes));
  if (!slab) throw_out_of_memory(kSlabBytes);
  const std::size_t bytes = (c + 1) * kAlign;
  // Linked so that blocks are handed out in the order of their addresses.
  for (std::size_t n = kSlabBytes / bytes; n-- > 0;) mine.lists[c] = new (slab + n * bytes) FreeBlock{mine.lists[c]};
}

}  // namespace

void* detail::allocate_block(std::size_t bytes) {
  if (bytes > kSmallBytes) return allocate_large(bytes);
  const std::size_t c = bytes == 0 ? 0 : (bytes - 1) / kAlign;
  if constexpr (!kCache) {
    void* block = system_allocate((c + 1) * kAlign);
    if (!block) throw_out_of_memory(bytes);
    return block;
  }
  ThreadLists& mine = thread_lists;
  if (!mine.lists[c]) refill(c);
  FreeBlock* block = mine.lists[c];
  mine.lists[c] = block->next;
  return block;
}

void detail::free_block(void* block, std::size_t bytes) noexcept {
  if (bytes > kSmallBytes) {
    free_large(block, bytes);
    return;
  }
  if constexpr (!kCache) {
    std::free(block);
    return;
  }
  const std::size_t c = bytes == 0 ? 0 : (bytes - 1) / kAlign;
  ThreadLists& mine = thread_lists;
  auto* freed = static_cast<FreeBlock*>(block);
  if (mine.closed) {
    give_away(freed, c);
    return;
  }
  freed->next = mine.lists[c];
  mine.lists[c] = freed;
}

// --- counters

namespace {

/// The sums of threads that run, and those of threads that have ended.
struct Census {
  std::mutex mutex;
  std::vector<const detail::LiveCounts*> threads;
  std::int64_t nodes = 0, storages = 0;
  static Census& instance() {
    static Census* const census = new Census;
    return *census;
  }
};

/// Constructed when a thread counts its first object; its end is the thread's.
struct ThreadCounted {
  ThreadCounted() {
    Census& census = Census::instance();
    const std::scoped_lock lock(census.mutex);
    census.threads.push_back(&detail::live_counts);
  }
  ~ThreadCounted() {
    Census& census = Census::instance();
    const std::scoped_lock lock(census.mutex);
    census.nodes += detail::live_counts.nodes.load_relaxed();
    census.storages += detail::live_counts.storages.load_relaxed();
    std::erase(census.threads, &detail::live_counts);
    detail::live_counts.nodes.store_relaxed(0);
    detail::live_counts.storages.store_relaxed(0);
  }
};

}  // namespace

void detail::LiveCounts::register_thread() noexcept {
  registered = true;
  thread_local const ThreadCounted counted;
  static_cast<void>(counted);
}

MemoryStats memory_stats() noexcept {
  MemoryStats stats{live_bytes.load(), peak_bytes.load(), cached_bytes(), system_blocks.load()};
  Census& census = Census::instance();
  const std::scoped_lock lock(census.mutex);
  stats.live_nodes = census.nodes;
  stats.live_storages = census.storages;
  for (const detail::LiveCounts* thread : census.threads) {
    stats.live_nodes += thread->nodes.load_relaxed();
    stats.live_storages += thread->storages.load_relaxed();
  }
  return stats;
}

void reset_peak_bytes() noexcept { peak_bytes = live_bytes.load(); }

void empty_cache() noexcept {
  const bool freed = Bins::instance().clear();
  detail::Arena::instance().release();
#if defined(__GLIBC__)
  if (freed) malloc_trim(0);  // the C library keeps most of what is freed below its own large blocks
#else
  static_cast<void>(freed);
#endif
}

void set_memory_limit(std::int64_t bytes) {
  const std::int64_t live = live_bytes.load();
  if (bytes < live)
    throw_invalid("set_memory_limit: the limit must be at least the {} bytes live; got {}", live, bytes);
  limit.store(bytes, std::memory_order_relaxed);
  if (live + cached_bytes() > bytes) empty_cache();
}

std::int64_t memory_limit() noexcept { return limit.load(std::memory_order_relaxed); }

}  // namespace tapestry
