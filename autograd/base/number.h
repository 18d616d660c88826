#pragma once

#include <cstdint>
#include <limits>
#include <string>
#include <type_traits>

#include <tapestry/autograd/base/dtype.h>

namespace tapestry {

/// A C++ number as it was written: an integer keeps all its bits, of which a double has 53.
class Number {
 public:
  /// Of any arithmetic type.
  template <class N>
  requires std::is_arithmetic_v<N>
  constexpr Number(N value) noexcept : real_(static_cast<double>(value)) {
    if constexpr (std::is_integral_v<N>) {
      constexpr auto most = static_cast<std::uint64_t>(std::numeric_limits<std::int64_t>::max());
      if (std::is_signed_v<N> || static_cast<std::uint64_t>(value) <= most) {
        integer_ = static_cast<std::int64_t>(value);
        kind_ = std::is_same_v<N, bool> ? Kind::boolean : Kind::integer;
      }
    }
  }

  /// Whether it was written as an integer or bool, and i64 holds it.
  [[nodiscard]] constexpr bool is_integer() const noexcept { return kind_ != Kind::real; }
  [[nodiscard]] constexpr bool is_boolean() const noexcept { return kind_ == Kind::boolean; }
  [[nodiscard]] constexpr double real() const noexcept { return real_; }
  [[nodiscard]] constexpr std::int64_t integer() const noexcept { return integer_; }  ///< of an integer

 private:
  enum class Kind : std::uint8_t { real, integer, boolean };
  double real_;
  std::int64_t integer_ = 0;
  Kind kind_ = Kind::real;
};

/// "0.5", "9007199254740993".
[[nodiscard]] std::string to_string(const Number& number);

namespace detail {

/// The value as a T: floats are rounded to integers towards zero, to the nearest that T holds, NaN to 0; to bool
/// everything but 0 is true.
template <class T, class E>
[[nodiscard]] constexpr T converted(E value) noexcept {
  if constexpr (std::is_same_v<E, BFloat16>) {
    return converted<T>(static_cast<float>(value));
  } else if constexpr (std::is_same_v<T, BFloat16>) {
    return BFloat16(static_cast<float>(value));
  } else if constexpr (std::is_same_v<T, bool>) {
    return value != E{};
  } else if constexpr (std::is_integral_v<T> && std::is_floating_point_v<E>) {
    using Limits = std::numeric_limits<T>;
    if (value != value) return T{};
    if (value >= static_cast<E>(Limits::max())) return Limits::max();
    return value <= static_cast<E>(Limits::lowest()) ? Limits::lowest() : static_cast<T>(value);
  } else {
    return static_cast<T>(value);
  }
}

/// Whether a T holds the number: every float does, an integer type if it is whole and in its range; bool does any.
template <class T>
[[nodiscard]] constexpr bool holds(const Number& number) noexcept {
  if constexpr (!std::is_integral_v<T> || std::is_same_v<T, bool>) return true;
  else if (number.is_integer()) return static_cast<std::int64_t>(static_cast<T>(number.integer())) == number.integer();
  else return static_cast<double>(converted<T>(number.real())) == number.real() && number.real() < 0x1p63;
}

/// The number as a T that holds it.
template <class T>
[[nodiscard]] constexpr T as(const Number& number) noexcept {
  if constexpr (std::is_integral_v<T>) {
    if (number.is_integer()) return static_cast<T>(number.integer());
  }
  return converted<T>(number.real());
}

}  // namespace detail
}  // namespace tapestry
