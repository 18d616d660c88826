#include <tapestry/ops/kernels/simd/scratch.h>

#include <algorithm>
#include <new>
#include <utility>
#include <vector>

#if defined(__linux__)
#include <sys/mman.h>
#endif

namespace tapestry::kernels::detail {
namespace {

constexpr std::size_t kLine = 64;                // bytes; also the header in front of a block
constexpr std::size_t kHugePage = 2 << 20;       // bytes
constexpr std::size_t kKeepAtMost = 256u << 20;  // bytes per thread: the weights and partial sums of the largest layers

/// Lies in the line in front of the memory handed out.
struct Header {
  std::size_t capacity;   // bytes behind the header
  std::size_t alignment;  // of the whole block
};
static_assert(sizeof(Header) <= kLine);

Header* header_of(void* memory) { return reinterpret_cast<Header*>(static_cast<char*>(memory) - kLine); }

void free_block(void* memory) noexcept {
  Header* const header = header_of(memory);
  ::operator delete (static_cast<void*>(header), std::align_val_t{header->alignment});
}

void* new_block(std::size_t bytes) {
  const std::size_t alignment = bytes + kLine >= kHugePage ? kHugePage : kLine;
  const std::size_t total = (bytes + kLine + alignment - 1) / alignment * alignment;
  void* const block = ::operator new (total, std::align_val_t{alignment});
#if defined(__linux__)
  if (alignment == kHugePage) madvise(block, total, MADV_HUGEPAGE);  // advice only: refused, it is merely slower
#endif
  new (block) Header{total - kLine, alignment};
  return static_cast<char*>(block) + kLine;
}

/// Blocks that this thread has given back, smallest first.
class Cache {
 public:
  ~Cache() {
    for (void* block : blocks_) free_block(block);
  }

  void* take(std::size_t bytes) {
    const auto fit =
        std::find_if(blocks_.begin(), blocks_.end(), [&](void* block) { return header_of(block)->capacity >= bytes; });
    if (fit == blocks_.end()) return new_block(bytes);
    void* const block = *fit;
    blocks_.erase(fit);
    held_ -= header_of(block)->capacity;
    return block;
  }

  void give_back(void* block) noexcept {
    const std::size_t capacity = header_of(block)->capacity;
    // The smallest blocks go first: a loop whose requests grow would otherwise leave one of every size behind.
    while (!blocks_.empty() && (held_ + capacity > kKeepAtMost || blocks_.size() >= kSlots)) {
      held_ -= header_of(blocks_.front())->capacity;
      free_block(blocks_.front());
      blocks_.erase(blocks_.begin());
    }
    if (capacity > kKeepAtMost) {
      free_block(block);
      return;
    }
    const auto place = std::find_if(blocks_.begin(), blocks_.end(),
                                    [&](void* other) { return header_of(other)->capacity >= capacity; });
    blocks_.insert(place, block);  // within the capacity reserved: does not throw
    held_ += capacity;
  }

  Cache() { blocks_.reserve(kSlots); }

 private:
  static constexpr std::size_t kSlots = 8;
  std::vector<void*> blocks_;
  std::size_t held_ = 0;  // bytes
};

Cache& cache() {
  thread_local Cache instance;
  return instance;
}

}  // namespace

void* take_scratch(std::size_t bytes) { return cache().take(bytes); }

void give_scratch_back(void* memory) noexcept { cache().give_back(memory); }

}  // namespace tapestry::kernels::detail
