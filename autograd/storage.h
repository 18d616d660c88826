#pragma once

#include <atomic>
#include <cstddef>
#include <cstdint>

#include <tapestry/autograd/ref.h>

namespace tapestry {

/// The bytes behind one or several tensors, aligned to 64. Header and data are one block of the allocator. The version
/// counts modifications, so that a value saved for backward can tell that it has changed since.
class alignas(64) Storage final : public RefCounted {
 public:
  /// Uninitialised bytes. Throws std::bad_alloc.
  [[nodiscard]] static Ref<Storage> allocate(std::int64_t bytes);
  static void destroy(Storage* storage) noexcept;

  [[nodiscard]] std::byte* data() noexcept { return reinterpret_cast<std::byte*>(this + 1); }
  [[nodiscard]] std::int64_t bytes() const noexcept { return bytes_; }
  [[nodiscard]] std::uint32_t version() const noexcept { return version_.load(std::memory_order_relaxed); }
  /// Not one atomic step, which would cost as much as a tiny op: two threads that write the same elements at once break
  /// them in any case, and either way the version ends up different from what it was.
  void bump_version() noexcept { version_.store(version() + 1, std::memory_order_relaxed); }

 private:
  explicit Storage(std::int64_t bytes) noexcept : bytes_(bytes) {}
  ~Storage() = default;

  std::int64_t bytes_;
  std::atomic<std::uint32_t> version_{0};
};

}  // namespace tapestry
