#include <tapestry/autograd/base/shape.h>

#include <algorithm>

#include <tapestry/autograd/base/check.h>

namespace tapestry {

namespace {

constexpr Index kMostElements = Index{1} << 59;  // bytes of any dtype can be counted, and added to others

/// "[2, -1, 3]" of extents that may not be a Shape.
std::string list(std::span<const Index> extents) {
  std::string text = "[";
  for (const Index extent : extents) {
    if (text.size() > 1) text += ", ";
    text += std::to_string(extent);
  }
  return text + "]";
}

[[noreturn]] void refuse(const Here& here, std::string_view message, std::span<const Index> extents) {
  const CallSite site(here);
  throw_invalid("shape: {}; got {}", message, list(extents));
}

}  // namespace

Shape::Shape(std::span<const Index> extents, Here here) : rank_(static_cast<Index>(extents.size())) {
  if (rank_ > kMaxRank) refuse(here, "at most " + std::to_string(kMaxRank) + " dimensions", extents);
  bool overflow = false;
  bool empty = false;
  for (const Index extent : extents) {
    if (extent < 0) refuse(here, "extents must not be negative", extents);
    overflow |= __builtin_mul_overflow(numel_, std::max<Index>(extent, 1), &numel_) || numel_ > kMostElements;
    empty |= extent == 0;
  }
  if (overflow) refuse(here, "the number of elements must be at most 2^59", extents);
  if (empty) numel_ = 0;
  std::copy(extents.begin(), extents.end(), extents_.begin());
}

Shape Shape::with(Index d, Index extent, Here here) const {
  auto extents = extents_;
  extents[static_cast<std::size_t>(d)] = extent;
  return Shape(std::span<const Index>(extents.data(), static_cast<std::size_t>(rank_)), here);
}

Shape Shape::without(Index d, Here here) const {
  auto extents = extents_;
  std::copy(extents.begin() + d + 1, extents.begin() + rank_, extents.begin() + d);
  return Shape(std::span<const Index>(extents.data(), static_cast<std::size_t>(rank_ - 1)), here);
}

Shape Shape::inserted(Index d, Index extent, Here here) const {
  std::array<Index, kMaxRank + 1> extents{};
  std::copy(begin(), begin() + d, extents.begin());
  extents[static_cast<std::size_t>(d)] = extent;
  std::copy(begin() + d, end(), extents.begin() + d + 1);
  return Shape(std::span<const Index>(extents.data(), static_cast<std::size_t>(rank_ + 1)), here);
}

Index Shape::numel(Index begin, Index end) const noexcept {
  Index product = 1;
  for (Index d = begin; d < end; ++d) product *= (*this)[d];
  return product;
}

std::string to_string(const Shape& shape) { return list(shape.extents()); }

Index normalize_dim(const char* op, Index dim, Index rank) {
  const Index span = std::max<Index>(rank, 1);  // a scalar is treated like one element
  if (dim < -span || dim >= span) {
    throw_invalid("{}: dim must be in [{}, {}]; got {}", op, -span, span - 1, dim);
  }
  return dim < 0 ? dim + span : dim;
}

Shape broadcast_shape(const char* op, const Shape& a, const Shape& b) {
  if (a == b) return a;
  const Index rank = std::max(a.rank(), b.rank());
  std::array<Index, kMaxRank> extents{};
  for (Index d = 0; d < rank; ++d) {
    const Index da = d - (rank - a.rank());
    const Index db = d - (rank - b.rank());
    const Index extent_a = da < 0 ? 1 : a[da];
    const Index extent_b = db < 0 ? 1 : b[db];
    if (extent_a != extent_b && extent_a != 1 && extent_b != 1) {
      throw_invalid("{}: shapes must broadcast, extents equal or 1; got {} and {}, which differ in dim {}", op, a, b,
                    d - rank);
    }
    extents[static_cast<std::size_t>(d)] = extent_a == 1 ? extent_b : extent_a;
  }
  return Shape(std::span<const Index>(extents.data(), static_cast<std::size_t>(rank)));
}

}  // namespace tapestry
