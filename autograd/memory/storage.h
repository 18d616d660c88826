#pragma once

#include <array>
#include <cstddef>
#include <cstdint>

#include <tapestry/autograd/base/atomic.h>
#include <tapestry/autograd/memory/ref.h>

namespace tapestry {

/// What bytes were made from others, and how: whoever makes them chooses the numbers. Equal keys, equal bytes.
struct DerivedKey {
  const void* how = nullptr;
  const void* from = nullptr;
  std::array<std::int64_t, 4> sizes = {};
  friend bool operator==(const DerivedKey&, const DerivedKey&) = default;
};

/// The bytes behind one or several tensors, aligned to 64. Header and data are one block of the allocator. The version
/// counts modifications, so that a value saved for backward can tell that it has changed since.
class alignas(64) Storage final : public RefCounted {
 public:
  /// Uninitialised bytes. Throws OutOfMemory.
  [[nodiscard]] static Ref<Storage> allocate(std::int64_t bytes);
  static void destroy(Storage* storage) noexcept;

  [[nodiscard]] std::byte* data() noexcept { return reinterpret_cast<std::byte*>(this + 1); }
  [[nodiscard]] std::int64_t bytes() const noexcept { return bytes_; }

  [[nodiscard]] std::uint32_t version() const noexcept { return version_.load_relaxed(); }
  /// To be called before bytes change. Not one atomic step, which would cost as much as a tiny op: two threads that
  /// write the same elements at once break them in any case, and either way the version ends up different from what it
  /// was.
  void bump_version() noexcept {
    if (has_derived_.load_acquire()) drop_derived();
    version_.store_relaxed(version() + 1);
  }

  // Bytes that somebody made from these and may want again, such as weights in the order of a kernel's loops. One at a
  // time is kept, until the version is bumped.

  /// Null if none is kept under this key.
  [[nodiscard]] Ref<Storage> derived(const DerivedKey& key) const;
  void keep_derived(const DerivedKey& key, Ref<Storage> bytes);

 private:
  struct Derived;

  explicit Storage(std::int64_t bytes) noexcept;
  ~Storage();
  void drop_derived() noexcept;

  std::int64_t bytes_;
  detail::Atomic<std::uint32_t> version_{0};
  detail::Atomic<bool> has_derived_{false};  ///< spares those who write a lock
  Ref<Derived> derived_;
};

}  // namespace tapestry
