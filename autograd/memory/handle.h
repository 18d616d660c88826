#pragma once

#include <concepts>
#include <utility>

#include <tapestry/autograd/memory/ref.h>

namespace tapestry {

namespace detail {

/// Whatever a Handle shares, with a destructor that knows its type.
class Shared : public RefCounted {
 public:
  virtual ~Shared() = default;
  static void destroy(Shared* shared) noexcept { delete shared; }
};

template <class T>
class SharedOf final : public Shared {
 public:
  template <class... Args>
  explicit SharedOf(Args&&... args) : value{std::forward<Args>(args)...} {}
  T value;
};

template <class U, class T>
concept PointsLike = std::convertible_to<U*, T*>;

}  // namespace detail

/// Shared ownership of an object whose type may be incomplete where the Handle is copied: what std::shared_ptr does,
/// for classes in public headers that keep their state in the .cpp file. (<memory> is 14,000 lines in every program.)
template <class T>
class Handle {
 public:
  Handle() noexcept = default;
  Handle(Ref<detail::Shared> owner, T* object) noexcept : owner_(std::move(owner)), object_(object) {}
  template <detail::PointsLike<T> U>
  Handle(const Handle<U>& other) noexcept : owner_(other.owner()), object_(other.get()) {}
  Handle(const Handle&) noexcept = default;
  Handle(Handle&& other) noexcept : owner_(std::move(other.owner_)), object_(std::exchange(other.object_, nullptr)) {}
  Handle& operator=(Handle other) noexcept {
    std::swap(owner_, other.owner_);
    std::swap(object_, other.object_);
    return *this;
  }
  ~Handle() = default;

  [[nodiscard]] T* get() const noexcept { return object_; }
  T* operator->() const noexcept { return object_; }
  T& operator*() const noexcept { return *object_; }
  explicit operator bool() const noexcept { return object_ != nullptr; }
  friend bool operator==(const Handle& a, const Handle& b) noexcept { return a.object_ == b.object_; }

  [[nodiscard]] const Ref<detail::Shared>& owner() const noexcept { return owner_; }

 private:
  Ref<detail::Shared> owner_;
  T* object_ = nullptr;
};

template <class T, class... Args>
[[nodiscard]] Handle<T> make_handle(Args&&... args) {
  auto* const shared = new detail::SharedOf<T>(std::forward<Args>(args)...);
  return {Ref<detail::Shared>::adopt(shared), &shared->value};
}

}  // namespace tapestry
