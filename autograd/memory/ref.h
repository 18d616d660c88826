#pragma once

#include <cstdint>
#include <utility>

#include <tapestry/autograd/base/atomic.h>

namespace tapestry {

/// What a Ref counts. The object is born with a count of one, which Ref::adopt takes over; whoever takes the count from
/// one to zero destroys it.
class RefCounted {
 public:
  RefCounted() = default;
  RefCounted(const RefCounted&) = delete;
  RefCounted& operator=(const RefCounted&) = delete;

  void retain() const noexcept { count_.add_relaxed(1); }

  /// True when the caller gave up the last reference. A sole owner needs no locked instruction to know it.
  [[nodiscard]] bool drop() const noexcept {
    if (count_.load_acquire() == 1) {
      count_.store_relaxed(0);
      return true;
    }
    return count_.subtract_acq_rel(1) == 1;
  }

  [[nodiscard]] std::uint32_t use_count() const noexcept { return count_.load_acquire(); }

 protected:
  ~RefCounted() = default;

 private:
  mutable detail::Atomic<std::uint32_t> count_{1};
};

/// An owning pointer to a RefCounted object: one word, like std::shared_ptr without the control block. T provides a
/// static `void destroy(T*) noexcept`.
template <class T>
class Ref {
 public:
  Ref() noexcept = default;

  /// Takes over the count that a new object is born with: no locked instruction.
  [[nodiscard]] static Ref adopt(T* object) noexcept {
    Ref ref;
    ref.object_ = object;
    return ref;
  }

  /// One more reference to an object that others hold already.
  explicit Ref(T* object) noexcept : object_(object) {
    if (object_) object_->retain();
  }
  Ref(const Ref& other) noexcept : Ref(other.object_) {}
  Ref(Ref&& other) noexcept : object_(std::exchange(other.object_, nullptr)) {}
  Ref& operator=(Ref other) noexcept {
    std::swap(object_, other.object_);
    return *this;
  }
  ~Ref() {
    if (object_ && object_->drop()) T::destroy(object_);
  }

  [[nodiscard]] T* get() const noexcept { return object_; }
  T* operator->() const noexcept { return object_; }
  T& operator*() const noexcept { return *object_; }
  explicit operator bool() const noexcept { return object_ != nullptr; }
  friend bool operator==(const Ref& a, const Ref& b) noexcept { return a.object_ == b.object_; }

 private:
  T* object_ = nullptr;
};

}  // namespace tapestry
