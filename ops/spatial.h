#pragma once

#include <optional>

#include <tapestry/autograd/base/shape.h>

namespace tapestry {

/// A number for height and width: one for both, or {h, w}.
struct Pair2 {
  Index h, w;
  constexpr Pair2(int both) noexcept : h(both), w(both) {}
  constexpr Pair2(Index both) noexcept : h(both), w(both) {}
  constexpr Pair2(Index height, Index width) noexcept : h(height), w(width) {}
  friend constexpr bool operator==(const Pair2&, const Pair2&) = default;
};

/// A Pair2 that may be left out: what takes its place is said where it is used. Unlike an optional it takes {h, w}.
struct OptionalPair2 : std::optional<Pair2> {
  constexpr OptionalPair2() noexcept = default;
  constexpr OptionalPair2(int both) noexcept : optional(Pair2(both)) {}
  constexpr OptionalPair2(Index both) noexcept : optional(Pair2(both)) {}
  constexpr OptionalPair2(Index height, Index width) noexcept : optional(Pair2(height, width)) {}
  constexpr OptionalPair2(Pair2 both) noexcept : optional(both) {}
  constexpr OptionalPair2(const std::optional<Pair2>& both) noexcept : optional(both) {}
};

/// Padding by its purpose. valid: none. same: the output has the size of the input (stride 1 only); what cannot be
/// shared evenly goes to the bottom and the right.
enum class Padding { valid, same };

/// Rows and columns of zeros on each side: a number, {h, w}, Padding::valid or Padding::same.
struct Padding2 {
  Pair2 size = 0;
  bool is_same = false;
  constexpr Padding2(int both) noexcept : size(both) {}
  constexpr Padding2(Index both) noexcept : size(both) {}
  constexpr Padding2(Index height, Index width) noexcept : size(height, width) {}
  constexpr Padding2(Pair2 both) noexcept : size(both) {}
  constexpr Padding2(Padding mode) noexcept : is_same(mode == Padding::same) {}
};

/// Padding2 of a sequence: zeros at each end, or Padding::valid or Padding::same.
struct Padding1 {
  Index size = 0;
  bool is_same = false;  ///< Padding::same was given
  constexpr Padding1(int both) noexcept : size(both) {}
  constexpr Padding1(Index both) noexcept : size(both) {}
  constexpr Padding1(Padding mode) noexcept : is_same(mode == Padding::same) {}
};

}  // namespace tapestry
