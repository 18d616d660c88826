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

#include <tapestry/autograd/base/call_site.h>
#include <tapestry/autograd/base/check.h>
#include <tapestry/autograd/base/fork.h>
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
std::atomic<std::int64_t> held_bytes{0};  // live or kept: what the system has given and not got back
std::atomic<std::int64_t> peak_bytes{0};
std::atomic<std::int64_t> system_blocks{0};
std::atomic<std::int64_t> limit{kNoMemoryLimit};

/// Counts bytes before anybody looks for them: of threads that ask at once, none gets past the limit. Returns the new
/// count, or -1 where the limit does not allow it.
std::int64_t add_within_limit(std::atomic<std::int64_t>& count, std::int64_t bytes) noexcept {
  const std::int64_t room = limit.load(std::memory_order_relaxed) - bytes;
  std::int64_t now = count.load(std::memory_order_relaxed);
  do {
    if (now > room) return -1;
  } while (!count.compare_exchange_weak(now, now + bytes, std::memory_order_relaxed));
  return now + bytes;
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

  /// False when the block went back to the system at once.
  [[nodiscard]] bool put(void* block, const SizeClass& size) noexcept {
    const std::scoped_lock lock(mutex_);
    try {
      bins_[size.index].push_back(block);
      bytes_ += size.bytes;
      return true;
    } catch (const std::bad_alloc&) {
      std::free(block);
      return false;
    }
  }

  /// Frees them all, and returns how many bytes that were.
  std::size_t clear() noexcept {
    const std::scoped_lock lock(mutex_);
    if (bytes_ == 0) return 0;
    for (auto& bin : bins_) {
      for (void* block : bin) std::free(block);
      bin.clear();
    }
    return std::exchange(bytes_, 0);
  }

  [[nodiscard]] std::size_t bytes() noexcept {
    const std::scoped_lock lock(mutex_);
    return bytes_;
  }

 private:
  Bins() { detail::hold_during_fork(mutex_); }

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
  throw OutOfMemory(message + place_lines());
}

/// Null where there is no room. `wanted` bytes are counted as live already.
void* take_from_system(std::size_t bytes, std::int64_t wanted) noexcept {
  // Whoever has been counted as live finds room when nothing is kept. Others may fill the cache again meanwhile, and
  // another limit may be set.
  while (add_within_limit(held_bytes, wanted) < 0) {
    if (live_bytes.load() > memory_limit()) return nullptr;
    empty_cache();
  }
  void* block = take_new(bytes);
  if (!block) {
    empty_cache();
    block = take_new(bytes);
  }
  if (!block) held_bytes.fetch_sub(wanted);
  return block;
}

void* allocate_large(std::size_t bytes) {
  if (bytes > kLargest) throw_out_of_memory(bytes);
  const auto wanted = static_cast<std::int64_t>(occupied(bytes));
  const std::int64_t live = add_within_limit(live_bytes, wanted);
  if (live < 0) throw_out_of_memory(bytes);
  void* block = take_kept(bytes);
  if (!block) block = take_from_system(bytes, wanted);
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
  bool kept = false;
  if (!kCache) std::free(block);
  else if (in_arena(bytes)) kept = detail::Arena::instance().put(block, taken);
  else kept = Bins::instance().put(block, size_class(bytes));
  if (!kept) held_bytes.fetch_sub(static_cast<std::int64_t>(taken));
  live_bytes.fetch_sub(static_cast<std::int64_t>(taken));
}

// --- small blocks

constexpr std::size_t kSmallClasses = kSmallBytes / kAlign;

constexpr std::size_t small_class(std::size_t bytes) noexcept {
  return (bytes - static_cast<std::size_t>(bytes != 0)) / kAlign;
}

/// How many blocks of a class a slab holds: also how many travel between threads at once.
constexpr std::uint32_t chain_length(std::size_t c) noexcept {
  return static_cast<std::uint32_t>(kSlabBytes / ((c + 1) * kAlign));
}

struct FreeBlock {
  FreeBlock* next;
};

/// Up to chain_length() free blocks, in the first of which stands where the next chain begins.
struct Chain {
  FreeBlock block;
  Chain* next_chain;
  std::uint32_t length;
};
static_assert(sizeof(Chain) <= kAlign);

/// What threads have too much of, and what ended ones left behind, for threads that run out.
class Depot {
 public:
  static Depot& instance() {
    static Depot* const depot = new Depot;
    return *depot;
  }

  void put(FreeBlock* blocks, std::size_t c, std::uint32_t length) noexcept {
    FreeBlock* const rest = blocks->next;
    const std::scoped_lock lock(mutex_);
    chains_[c] = new (blocks) Chain{{rest}, chains_[c], length};
  }

  /// Null when there is none.
  Chain* take(std::size_t c) noexcept {
    const std::scoped_lock lock(mutex_);
    Chain* const chain = chains_[c];
    if (chain) chains_[c] = chain->next_chain;
    return chain;
  }

 private:
  Depot() { detail::hold_during_fork(mutex_); }

  std::mutex mutex_;
  std::array<Chain*, kSmallClasses> chains_{};
};

/// A thread keeps two chains per class: one that it takes from and frees to, and a full one in reserve, so that no
/// pattern of requests makes it go to the depot every time. What it frees beyond that goes there. Trivial, so that
/// reaching it costs no check whether it has been constructed.
struct ThreadLists {
  std::array<FreeBlock*, kSmallClasses> first{};
  std::array<std::uint32_t, kSmallClasses>
      room{};  // that the first chain has; 0 also before the thread's first request
  std::array<FreeBlock*, kSmallClasses> reserve{};
  bool closed = false;  // the thread is ending: it keeps nothing more
};

constinit thread_local ThreadLists thread_lists;

/// Constructed when a thread first keeps something; its end is the thread's.
struct ThreadEnd {
  ~ThreadEnd() {
    ThreadLists& mine = thread_lists;
    mine.closed = true;
    for (std::size_t c = 0; c < kSmallClasses; ++c) {
      if (mine.first[c]) Depot::instance().put(mine.first[c], c, chain_length(c) - mine.room[c]);
      if (mine.reserve[c]) Depot::instance().put(mine.reserve[c], c, chain_length(c));
      mine.first[c] = mine.reserve[c] = nullptr;
      mine.room[c] = 0;
    }
  }
};

void register_thread_end() {
  thread_local const ThreadEnd end;
  static_cast<void>(end);
}

/// A block for a thread whose first chain is empty.
void* refill(std::size_t c) {
  register_thread_end();
  ThreadLists& mine = thread_lists;
  std::uint32_t length = chain_length(c);
  FreeBlock* blocks = std::exchange(mine.reserve[c], nullptr);
  if (!blocks) {
    if (Chain* const chain = Depot::instance().take(c)) {
      length = chain->length;
      blocks = &chain->block;
    }
  }
  if (!blocks) {
    auto* const slab = static_cast<std::byte*>(system_allocate(kSlabBytes));
    if (!slab) throw_out_of_memory(kSlabBytes);
    const std::size_t bytes = (c + 1) * kAlign;
    // Linked so that blocks are handed out in the order of their addresses.
    for (std::size_t n = length; n-- > 0;) blocks = new (slab + n * bytes) FreeBlock{blocks};
  }
  FreeBlock* const rest = blocks->next;
  if (mine.closed) {
    if (rest) Depot::instance().put(rest, c, length - 1);
  } else {
    mine.first[c] = rest;
    mine.room[c] = chain_length(c) - (length - 1);
  }
  return blocks;
}

/// Takes a block that the first chain has no room for.
void free_beyond(FreeBlock* block, std::size_t c) noexcept {
  ThreadLists& mine = thread_lists;
  if (!mine.closed) register_thread_end();
  block->next = nullptr;
  if (mine.closed) {
    Depot::instance().put(block, c, 1);
    return;
  }
  if (mine.first[c]) {
    if (mine.reserve[c]) Depot::instance().put(mine.reserve[c], c, chain_length(c));
    mine.reserve[c] = mine.first[c];
  }
  mine.first[c] = block;
  mine.room[c] = chain_length(c) - 1;
}

}  // namespace

void* detail::allocate_block(std::size_t bytes) {
  if (bytes > kSmallBytes) return allocate_large(bytes);
  const std::size_t c = small_class(bytes);
  if constexpr (!kCache) {
    void* block = system_allocate((c + 1) * kAlign);
    if (!block) throw_out_of_memory(bytes);
    return block;
  }
  ThreadLists& mine = thread_lists;
  FreeBlock* const block = mine.first[c];
  if (!block) return refill(c);
  mine.first[c] = block->next;
  ++mine.room[c];
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
  const std::size_t c = small_class(bytes);
  ThreadLists& mine = thread_lists;
  auto* const freed = static_cast<FreeBlock*>(block);
  if (mine.room[c] == 0) {
    free_beyond(freed, c);
    return;
  }
  --mine.room[c];
  freed->next = mine.first[c];
  mine.first[c] = freed;
}

// --- counters

namespace {

/// A thread that has counted something; its end is the thread's. In a list of its own making: counting must not fail
/// when memory is short.
struct ThreadCounted {
  ThreadCounted();
  ThreadCounted(const ThreadCounted&) = delete;
  ThreadCounted& operator=(const ThreadCounted&) = delete;
  ~ThreadCounted();

  detail::LiveCounts& counts = detail::live_counts;
  ThreadCounted* next = nullptr;
};

/// The sums of threads that run, and those of threads that have ended.
struct Census {
  std::mutex mutex;
  ThreadCounted* threads = nullptr;
  std::int64_t nodes = 0, storages = 0;

  Census() {
    detail::hold_during_fork(mutex);
    detail::after_fork_in_child([]() noexcept { instance().keep_this_thread_only(); });
  }
  static Census& instance() {
    static Census* const census = new Census;
    return *census;
  }

  void add(const detail::LiveCounts& thread) noexcept {
    nodes += thread.nodes.load_relaxed();
    storages += thread.storages.load_relaxed();
  }

  void remove(const ThreadCounted& thread) noexcept {
    ThreadCounted** at = &threads;
    while (*at != &thread) at = &(*at)->next;
    *at = thread.next;
  }

  /// In a forked child, where the memory of threads that it does not have may be given to others.
  void keep_this_thread_only() noexcept {
    ThreadCounted* mine = nullptr;
    for (ThreadCounted* thread = threads; thread; thread = thread->next) {
      if (&thread->counts == &detail::live_counts) mine = thread;
      else add(thread->counts);
    }
    threads = mine;
    if (mine) mine->next = nullptr;
  }
};

ThreadCounted::ThreadCounted() {
  Census& census = Census::instance();
  const std::scoped_lock lock(census.mutex);
  next = std::exchange(census.threads, this);
}

ThreadCounted::~ThreadCounted() {
  Census& census = Census::instance();
  const std::scoped_lock lock(census.mutex);
  census.add(counts);
  census.remove(*this);
  counts.nodes.store_relaxed(0);
  counts.storages.store_relaxed(0);
}

// Made before the program has threads: fork() while one of them makes it would leave the child without.
const bool made = (Bins::instance(), detail::Arena::instance(), Depot::instance(), Census::instance(), true);

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
  for (const ThreadCounted* thread = census.threads; thread; thread = thread->next) {
    stats.live_nodes += thread->counts.nodes.load_relaxed();
    stats.live_storages += thread->counts.storages.load_relaxed();
  }
  return stats;
}

void reset_peak_bytes() noexcept { peak_bytes = live_bytes.load(); }

void empty_cache() noexcept {
  const std::size_t from_bins = Bins::instance().clear();
  const std::size_t from_arena = detail::Arena::instance().release();
  held_bytes.fetch_sub(static_cast<std::int64_t>(from_bins + from_arena));
#if defined(__GLIBC__)
  if (from_bins > 0) malloc_trim(0);  // the C library keeps most of what is freed below its own large blocks
#endif
}

void set_memory_limit(std::int64_t bytes, Here here) {
  const CallSite site(here);
  const std::int64_t live = live_bytes.load();
  if (bytes < live)
    throw_invalid("set_memory_limit: the limit must be at least the {} bytes live; got {}", live, bytes);
  limit.store(bytes, std::memory_order_relaxed);
  if (live + cached_bytes() > bytes) empty_cache();
}

std::int64_t memory_limit() noexcept { return limit.load(std::memory_order_relaxed); }

}  // namespace tapestry
