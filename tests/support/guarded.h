#pragma once

#include <sys/mman.h>
#include <unistd.h>

#include <cstddef>
#include <cstdint>
#include <new>

namespace tapestry::test {

/// n elements with a page right behind them, or right before them, that nobody may touch: a kernel that reads or writes
/// one element too many dies on the spot. Zero at first.
template <class T>
class Guarded {
 public:
  enum class At { end, begin };

  explicit Guarded(std::int64_t n, At where = At::end) : n_(static_cast<std::size_t>(n)) {
    const auto page = static_cast<std::size_t>(sysconf(_SC_PAGESIZE));
    const std::size_t inside = (n_ * sizeof(T) + page - 1) / page * page;
    mapped_ = inside + 2 * page;
    void* const block = mmap(nullptr, mapped_, PROT_NONE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    if (block == MAP_FAILED) throw std::bad_alloc();
    block_ = static_cast<std::byte*>(block);
    if (inside > 0 && mprotect(block_ + page, inside, PROT_READ | PROT_WRITE) != 0) throw std::bad_alloc();
    data_ = reinterpret_cast<T*>(block_ + page + (where == At::end ? inside - n_ * sizeof(T) : 0));
  }
  ~Guarded() { munmap(block_, mapped_); }
  Guarded(const Guarded&) = delete;
  Guarded& operator=(const Guarded&) = delete;

  [[nodiscard]] T* data() noexcept { return data_; }
  [[nodiscard]] const T* data() const noexcept { return data_; }

 private:
  std::size_t n_, mapped_;
  std::byte* block_;
  T* data_;
};

}  // namespace tapestry::test
