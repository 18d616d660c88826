#pragma once

#include <array>
#include <cstdint>
#include <initializer_list>
#include <span>
#include <string>
#include <vector>

#include <tapestry/autograd/base/call_site.h>

namespace tapestry {

using Index = std::int64_t;

/// Largest number of dimensions: room for [N, H, W, C] with two of them split.
inline constexpr Index kMaxRank = 6;

/// The extents of a tensor, stored inline. Shape{} is that of a scalar: no dimensions, one element.
class Shape {
 public:
  Shape() = default;
  Shape(std::initializer_list<Index> extents, Here here = {})
      : Shape(std::span<const Index>(extents.begin(), extents.size()), here) {}

  Shape(const std::vector<Index>& extents, Here here = {}) : Shape(std::span<const Index>(extents), here) {}

  /// Throws std::invalid_argument for more than kMaxRank extents, a negative one, or an element count over 2^59.
  explicit Shape(std::span<const Index> extents, Here here = {});

  [[nodiscard]] Index rank() const noexcept { return rank_; }
  [[nodiscard]] Index numel() const noexcept { return numel_; }
  [[nodiscard]] Index operator[](Index d) const noexcept { return extents_[static_cast<std::size_t>(d)]; }
  [[nodiscard]] std::span<const Index> extents() const noexcept {
    return {extents_.data(), static_cast<std::size_t>(rank_)};
  }
  [[nodiscard]] const Index* begin() const noexcept { return extents_.data(); }
  [[nodiscard]] const Index* end() const noexcept { return extents_.data() + rank_; }

  /// The same shape with one extent replaced, one removed, or one inserted before position d.
  [[nodiscard]] Shape with(Index d, Index extent, Here here = {}) const;
  [[nodiscard]] Shape without(Index d, Here here = {}) const;
  [[nodiscard]] Shape inserted(Index d, Index extent, Here here = {}) const;

  /// Product of the extents of dimensions [begin, end).
  [[nodiscard]] Index numel(Index begin, Index end) const noexcept;

  friend bool operator==(const Shape& a, const Shape& b) noexcept {
    if (a.rank_ != b.rank_) return false;
    for (Index d = 0; d < a.rank_; ++d) {
      if (a[d] != b[d]) return false;
    }
    return true;
  }

 private:
  std::array<Index, kMaxRank> extents_{};
  Index rank_ = 0;
  Index numel_ = 1;
};

/// "[2, 3]"; "[]" for a scalar.
[[nodiscard]] std::string to_string(const Shape& shape);

/// Position of dimension `dim`, which may count from the end (-1 is the last). `op` begins the message of the
/// std::invalid_argument for a dim outside [-rank, rank); a scalar takes 0 and -1.
[[nodiscard]] Index normalize_dim(const char* op, Index dim, Index rank);

/// The shape both operands broadcast to: aligned at the last dimension, extents equal or 1. Throws
/// std::invalid_argument that names both shapes and the dimension.
[[nodiscard]] Shape broadcast_shape(const char* op, const Shape& a, const Shape& b);

}  // namespace tapestry
