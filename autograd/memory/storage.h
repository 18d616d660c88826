#pragma once

#include <array>
#include <cstddef>
#include <cstdint>

#include <tapestry/autograd/base/atomic.h>
#include <tapestry/autograd/memory/handle.h>

namespace tapestry {

class Deferred;

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

  /// Where the bytes are, or will be.
  [[nodiscard]] std::byte* data() noexcept { return reinterpret_cast<std::byte*>(this + 1); }
  [[nodiscard]] std::int64_t bytes() const noexcept { return bytes_; }

  [[nodiscard]] std::uint32_t version() const noexcept { return version_.load_relaxed(); }
  /// To be called before bytes change. Not one atomic step, which would cost as much as a tiny op: two threads that
  /// write the same elements at once break them in any case, and either way the version ends up different from what it
  /// was.
  void bump_version() {
    if (watched_.load_acquire()) tell_watchers();
    version_.store_relaxed(version() + 1);
  }

  // See deferred.h.

  /// Whether the bytes are still to be computed.
  [[nodiscard]] bool is_pending() const noexcept { return pending_.load_acquire(); }
  void settle();
  void set_pending(Ref<Deferred> computation) noexcept;
  void set_ready() noexcept { pending_.store_release(false); }
  [[nodiscard]] Deferred* computation() const noexcept { return computation_.get(); }
  /// Computations that wait and will read these bytes.
  void watch(const Ref<Deferred>& computation);
  void unwatch(const Deferred* computation) noexcept;

  // Bytes that somebody made from these and may want again, such as weights in the order of a kernel's loops. One at a
  // time is kept, until these change.

  /// Null if none is kept under this key.
  [[nodiscard]] Ref<Storage> derived(const DerivedKey& key) const;
  void keep_derived(const DerivedKey& key, Ref<Storage> bytes);

 private:
  struct Watchers;

  explicit Storage(std::int64_t bytes) noexcept;
  ~Storage();
  void tell_watchers();
  Watchers& watchers();

  std::int64_t bytes_;
  detail::Atomic<std::uint32_t> version_{0};
  detail::Atomic<bool> pending_{false}, watched_{false};
  Ref<Deferred> computation_;
  Handle<Watchers> watchers_;
};

}  // namespace tapestry
