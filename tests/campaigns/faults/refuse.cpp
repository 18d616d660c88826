#include "campaigns/faults/refuse.h"

#include <sys/mman.h>

#include <atomic>
#include <cstdio>
#include <cstdlib>
#include <exception>
#include <new>

#include <tapestry/autograd/memory/allocator.h>

namespace tapestry::campaign {
namespace {

std::atomic<bool> armed{false};
Refuse::What refused_kind = Refuse::What::requests;
std::int64_t refused_at = 0;
bool refused_for_ever = false;
std::atomic<std::int64_t> made{0};
char trying[256] = "nothing";

bool refuses(Refuse::What kind) noexcept {
  if (!armed.load(std::memory_order_acquire) || kind != refused_kind) return false;
  const std::int64_t number = ++made;
  return refused_at > 0 && (number == refused_at || (refused_for_ever && number > refused_at));
}

void* allocate(std::size_t bytes, std::size_t alignment) noexcept {
  if (refuses(Refuse::What::requests)) return nullptr;
  if (alignment <= alignof(std::max_align_t)) return std::malloc(bytes == 0 ? 1 : bytes);
  void* block = nullptr;
  return posix_memalign(&block, alignment, bytes == 0 ? 1 : bytes) == 0 ? block : nullptr;
}

void* allocate_or_throw(std::size_t bytes, std::size_t alignment) {
  if (void* block = allocate(bytes, alignment)) return block;
  throw std::bad_alloc();
}

const bool says_what = (std::set_terminate([] {
                          std::fprintf(stderr, "campaign_faults: terminated while trying %s\n", trying);
                          std::abort();
                        }),
                        true);

}  // namespace

Refuse::Refuse(What what, std::int64_t k, bool for_ever) noexcept {
  refused_kind = what;
  refused_at = k;
  refused_for_ever = for_ever;
  made = 0;
  armed.store(true, std::memory_order_release);
}

Refuse::~Refuse() { armed.store(false, std::memory_order_release); }

std::int64_t Refuse::requests() const noexcept { return made; }

void now_trying(const char* what) noexcept { std::snprintf(trying, sizeof trying, "%s", what); }

}  // namespace tapestry::campaign

// --- operator new

using tapestry::campaign::allocate;
using tapestry::campaign::allocate_or_throw;

void* operator new(std::size_t bytes) { return allocate_or_throw(bytes, 0); }
void* operator new[](std::size_t bytes) { return allocate_or_throw(bytes, 0); }
void* operator new(std::size_t bytes, std::align_val_t a) { return allocate_or_throw(bytes, std::size_t(a)); }
void* operator new[](std::size_t bytes, std::align_val_t a) { return allocate_or_throw(bytes, std::size_t(a)); }
void* operator new(std::size_t bytes, const std::nothrow_t&) noexcept { return allocate(bytes, 0); }
void* operator new[](std::size_t bytes, const std::nothrow_t&) noexcept { return allocate(bytes, 0); }
void operator delete(void* block) noexcept { std::free(block); }
void operator delete[](void* block) noexcept { std::free(block); }
void operator delete(void* block, std::size_t) noexcept { std::free(block); }
void operator delete[](void* block, std::size_t) noexcept { std::free(block); }
void operator delete(void* block, std::align_val_t) noexcept { std::free(block); }
void operator delete[](void* block, std::align_val_t) noexcept { std::free(block); }
void operator delete(void* block, std::size_t, std::align_val_t) noexcept { std::free(block); }
void operator delete[](void* block, std::size_t, std::align_val_t) noexcept { std::free(block); }

// --- the library's allocator, and what it calls: __wrap_X is called for X, __real_X is X

extern "C" {

void* __real__ZN8tapestry6detail14allocate_blockEm(std::size_t bytes);
void* __wrap__ZN8tapestry6detail14allocate_blockEm(std::size_t bytes) {
  if (tapestry::campaign::refuses(tapestry::campaign::Refuse::What::requests)) {
    throw tapestry::OutOfMemory("memory: refused by campaign_faults");
  }
  return __real__ZN8tapestry6detail14allocate_blockEm(bytes);
}

void* __real_aligned_alloc(std::size_t alignment, std::size_t bytes);
void* __wrap_aligned_alloc(std::size_t alignment, std::size_t bytes) {
  if (tapestry::campaign::refuses(tapestry::campaign::Refuse::What::of_the_system)) return nullptr;
  return __real_aligned_alloc(alignment, bytes);
}

int __real_mprotect(void* begin, std::size_t bytes, int protection);
int __wrap_mprotect(void* begin, std::size_t bytes, int protection) {
  if (tapestry::campaign::refuses(tapestry::campaign::Refuse::What::of_the_system)) return -1;
  return __real_mprotect(begin, bytes, protection);
}

}  // extern "C"
