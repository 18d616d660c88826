#include <tapestry/autograd/memory/detail/arena.h>

#include <sys/mman.h>

#include <algorithm>
#include <cstdint>
#include <iterator>
#include <new>
#include <numeric>

#include <tapestry/autograd/base/fork.h>

namespace tapestry::detail {
namespace {

constexpr std::size_t kHugePage = std::size_t{2} << 20;
constexpr std::size_t kPage = 4096;                       // the system's may be larger; it then gives back less
constexpr std::size_t kAddresses = std::size_t{1} << 44;  // cost nothing until they are used

#if defined(MAP_NORESERVE)
constexpr int kAddressesOnly = MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE;
#else
constexpr int kAddressesOnly = MAP_PRIVATE | MAP_ANONYMOUS;
#endif

std::byte* aligned_up(std::byte* address, std::size_t to) {
  const auto value = reinterpret_cast<std::uintptr_t>(address);
  return address + ((value + to - 1) / to * to - value);
}

/// Takes the pages of a range away; the addresses stay.
void drop_pages(std::byte* begin, std::byte* end) noexcept {
  std::byte* const first = aligned_up(begin, kPage);
  std::byte* const last = end - reinterpret_cast<std::uintptr_t>(end) % kPage;
  if (first < last) madvise(first, static_cast<std::size_t>(last - first), MADV_DONTNEED);
}

}  // namespace

std::byte* FreeRanges::take(std::size_t bytes) noexcept {
  auto best = ranges_.end();
  for (auto range = ranges_.begin(); range != ranges_.end(); ++range) {
    if (range->bytes >= bytes && (best == ranges_.end() || range->bytes < best->bytes)) best = range;
  }
  if (best == ranges_.end()) return nullptr;
  std::byte* const begin = best->begin;
  if (best->bytes == bytes) ranges_.erase(best);
  else *best = {begin + bytes, best->bytes - bytes};
  return begin;
}

void FreeRanges::put(std::byte* begin, std::size_t bytes) {
  const auto after =
      std::upper_bound(ranges_.begin(), ranges_.end(), begin,
                       [](const std::byte* address, const Range& range) { return address < range.begin; });
  const bool joins_before = after != ranges_.begin() && std::prev(after)->end() == begin;
  const bool joins_after = after != ranges_.end() && begin + bytes == after->begin;
  if (joins_before) {
    std::prev(after)->bytes += bytes;
    if (joins_after) {
      std::prev(after)->bytes += after->bytes;
      ranges_.erase(after);
    }
  } else if (joins_after) {
    *after = {begin, after->bytes + bytes};
  } else {
    ranges_.insert(after, {begin, bytes});
  }
}

std::size_t FreeRanges::bytes() const noexcept {
  return std::accumulate(ranges_.begin(), ranges_.end(), std::size_t{0},
                         [](std::size_t sum, const Range& range) { return sum + range.bytes; });
}

Arena::Arena() { hold_during_fork(mutex_); }

Arena& Arena::instance() {
  static Arena* const arena = new Arena;
  return *arena;
}

void* Arena::take_kept(std::size_t bytes) noexcept {
  const std::scoped_lock lock(mutex_);
  return kept_.take(bytes);
}

void* Arena::take_new(std::size_t bytes) noexcept {
  const std::scoped_lock lock(mutex_);
  void* block = unbacked_.take(bytes);
  if (block == nullptr && grow(bytes)) block = unbacked_.take(bytes);
  return block;
}

/// Sets addresses aside for at least `bytes`.
bool Arena::reserve(std::size_t bytes) noexcept {
  const std::size_t needed = bytes + 2 * kHugePage;  // with what rounding takes at both ends
  for (std::size_t size = kAddresses; size >= needed; size /= 2) {
    void* const begin = mmap(nullptr, size, PROT_NONE, kAddressesOnly, -1, 0);
    if (begin == MAP_FAILED) continue;
    // Where addresses are scarce (ulimit -v), half of what there is stays for everybody else, and for another time.
    if (size < kAddresses && size / 2 >= needed) {
      size /= 2;
      munmap(static_cast<std::byte*>(begin) + size, size);
    }
    top_ = aligned_up(static_cast<std::byte*>(begin), kHugePage);
    end_ = static_cast<std::byte*>(begin) + size;
#if defined(MADV_HUGEPAGE)
    // Tensors are walked end to end: large pages save most of their TLB misses and page faults. Advice only.
    madvise(begin, size, MADV_HUGEPAGE);
#endif
    return true;
  }
  return false;
}

/// Opens as many further addresses as a block of `bytes` needs.
bool Arena::grow(std::size_t bytes) noexcept {
  if (bytes + kHugePage > static_cast<std::size_t>(end_ - top_) && !reserve(bytes)) return false;
  const auto& ranges = unbacked_.ranges();
  const std::size_t have = !ranges.empty() && ranges.back().end() == top_ ? ranges.back().bytes : 0;
  const std::size_t more = (bytes - have + kHugePage - 1) / kHugePage * kHugePage;
  if (mprotect(top_, more, PROT_READ | PROT_WRITE) != 0) return false;
  try {
    unbacked_.put(top_, more);
  } catch (const std::bad_alloc&) {
    return false;  // opened again next time
  }
  top_ += more;
  return true;
}

bool Arena::put(void* block, std::size_t bytes) noexcept {
  auto* const begin = static_cast<std::byte*>(block);
  const std::scoped_lock lock(mutex_);
  try {
    kept_.put(begin, bytes);
    return true;
  } catch (const std::bad_alloc&) {
    drop_pages(begin, begin + bytes);  // the addresses are lost, of which there are plenty
    return false;
  }
}

std::size_t Arena::release() noexcept {
  const std::scoped_lock lock(mutex_);
  const std::size_t bytes = kept_.bytes();
  for (const FreeRanges::Range& range : kept_.ranges()) {
    drop_pages(range.begin, range.end());
    try {
      unbacked_.put(range.begin, range.bytes);
    } catch (const std::bad_alloc&) {  // as above
    }
  }
  kept_.clear();
  return bytes;
}

std::size_t Arena::kept_bytes() noexcept {
  const std::scoped_lock lock(mutex_);
  return kept_.bytes();
}

}  // namespace tapestry::detail
