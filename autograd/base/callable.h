#pragma once

#include <concepts>
#include <type_traits>
#include <utility>

namespace tapestry {

template <class Signature>
class Callable;

namespace detail {

template <class F, class R, class... Args>
concept CallableAs = !std::same_as<F, Callable<R(Args...)>> && requires(F & f, Args&&... args) {
  requires std::is_void_v<R> || std::convertible_to<decltype(f(std::forward<Args>(args)...)), R>;
  f(std::forward<Args>(args)...);
};

/// Wrappers that may hold nothing, such as std::function.
template <class F>
concept HasBoolOperator = requires(const F& f) {
  f.operator bool();
};

/// Its address tells one type from another, also in programs without run-time type information.
template <class T>
inline char type_tag{};

[[noreturn]] void throw_empty_callable();

}  // namespace detail

/// A function, lambda or object that can be called as R(Args...), of any type and owned: used like std::function, whose
/// header <functional> is 14,000 lines in every program. An empty std::function or function pointer gives an empty
/// Callable; calling that throws std::logic_error.
template <class R, class... Args>
class Callable<R(Args...)> {
 public:
  Callable() noexcept = default;
  Callable(decltype(nullptr)) noexcept {}
  template <detail::CallableAs<R, Args...> F>
  Callable(F f) {
    static_assert(std::is_copy_constructible_v<F>, "a Callable can be copied, and so must be what it holds");
    if constexpr (std::is_pointer_v<F> || detail::HasBoolOperator<F>) {
      if (!f) return;
    }
    target_ = new TargetOf<F>(std::move(f));
  }
  Callable(const Callable& other) : target_(other.target_ ? other.target_->clone() : nullptr) {}
  Callable(Callable&& other) noexcept : target_(std::exchange(other.target_, nullptr)) {}
  Callable& operator=(Callable other) noexcept {
    std::swap(target_, other.target_);
    return *this;
  }
  ~Callable() { delete target_; }

  explicit operator bool() const noexcept { return target_ != nullptr; }

  R operator()(Args... args) const {
    if (!target_) detail::throw_empty_callable();
    return target_->call(std::forward<Args>(args)...);
  }

  /// What is held, if it is a T; else null.
  template <class T>
  [[nodiscard]] const T* target() const noexcept {
    if (!target_ || target_->tag() != &detail::type_tag<T>) return nullptr;
    return &static_cast<const TargetOf<T>*>(target_)->f;
  }

 private:
  struct Target {
    virtual ~Target() = default;
    virtual R call(Args&&... args) = 0;
    [[nodiscard]] virtual Target* clone() const = 0;
    [[nodiscard]] virtual const char* tag() const noexcept = 0;
  };

  template <class F>
  struct TargetOf final : Target {
    explicit TargetOf(F from) : f(std::move(from)) {}
    R call(Args&&... args) override {
      if constexpr (std::is_void_v<R>) static_cast<void>(f(std::forward<Args>(args)...));
      else return f(std::forward<Args>(args)...);
    }
    [[nodiscard]] Target* clone() const override { return new TargetOf(f); }
    [[nodiscard]] const char* tag() const noexcept override { return &detail::type_tag<F>; }

    F f;
  };

  Target* target_ = nullptr;
};

}  // namespace tapestry
