#pragma once

#include <bit>
#include <cstdint>
#include <type_traits>
#include <utility>

namespace tapestry {

/// Element types, chosen at run time. `boolean` is stored as one byte, 0 or 1.
enum class Dtype : std::uint8_t { f32, f64, bf16, i64, i32, u8, boolean };
using enum Dtype;

/// The upper half of a float. A storage type: arithmetic is done in float.
struct BFloat16 {
  std::uint16_t bits = 0;

  BFloat16() = default;
  /// Rounds to nearest even; NaN stays NaN, values beyond the largest finite one become infinite.
  explicit BFloat16(float value) noexcept {
    const auto word = std::bit_cast<std::uint32_t>(value);
    const bool is_nan = (word & 0x7FFFFFFFU) > 0x7F800000U;
    const std::uint32_t rounded = is_nan ? word | 0x00400000U : word + 0x7FFFU + ((word >> 16) & 1U);
    bits = static_cast<std::uint16_t>(rounded >> 16);
  }
  explicit operator float() const noexcept { return std::bit_cast<float>(static_cast<std::uint32_t>(bits) << 16); }
};

/// In what numbers that are stored as T are computed.
template <class T>
using ComputeType = std::conditional_t<std::is_same_v<T, BFloat16>, float, T>;

/// "f32", "f64", "bf16", "i64", "i32", "u8", "bool".
[[nodiscard]] const char* name_of(Dtype dtype) noexcept;

/// Bytes of one element.
[[nodiscard]] constexpr std::int64_t item_bytes(Dtype dtype) noexcept {
  switch (dtype) {
    case f64:
    case i64: return 8;
    case f32:
    case i32: return 4;
    case bf16: return 2;
    default: return 1;
  }
}

[[nodiscard]] constexpr bool is_float(Dtype dtype) noexcept { return dtype == f32 || dtype == f64 || dtype == bf16; }

/// The Dtype that stores T: dtype_of<float> == f32.
template <class T>
inline constexpr Dtype dtype_of = [] {
  if constexpr (std::is_same_v<T, float>) return f32;
  else if constexpr (std::is_same_v<T, double>) return f64;
  else if constexpr (std::is_same_v<T, BFloat16>) return bf16;
  else if constexpr (std::is_same_v<T, std::int64_t>) return i64;
  else if constexpr (std::is_same_v<T, std::int32_t>) return i32;
  else if constexpr (std::is_same_v<T, std::uint8_t>) return u8;
  else {
    static_assert(std::is_same_v<T, bool>, "no Dtype stores this type");
    return boolean;
  }
}();

/// Calls f.operator()<float>() or f.operator()<double>(). The caller has checked that dtype is one of the two.
template <class F>
decltype(auto) visit_float(Dtype dtype, F&& f) {
  if (dtype == f64) return f.template operator()<double>();
  return f.template operator()<float>();
}

/// The same, or f.operator()<BFloat16>().
template <class F>
decltype(auto) visit_any_float(Dtype dtype, F&& f) {
  if (dtype == bf16) return f.template operator()<BFloat16>();
  return visit_float(dtype, std::forward<F>(f));
}

/// Calls f.operator()<T>() with the type of any dtype.
template <class F>
decltype(auto) visit(Dtype dtype, F&& f) {
  switch (dtype) {
    case f64: return f.template operator()<double>();
    case bf16: return f.template operator()<BFloat16>();
    case i64: return f.template operator()<std::int64_t>();
    case i32: return f.template operator()<std::int32_t>();
    case u8: return f.template operator()<std::uint8_t>();
    case boolean: return f.template operator()<bool>();
    default: return f.template operator()<float>();
  }
}

}  // namespace tapestry
