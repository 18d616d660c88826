#pragma once

#include <cstdint>

namespace tapestry {

/// What stands beyond the border of a padded tensor or picture: a constant; its contents mirrored at the outermost
/// elements, which are not repeated; the outermost elements; or the contents from the other side on.
enum class PadMode { constant, reflect, replicate, circular };

/// Where the element at position `at` of a padded line of `extent` elements comes from: `at` itself within the line,
/// and in the other modes than constant a position in it for one outside. Mirrored once, and wrapped around once:
/// reflect reaches extent - 1 beyond the border, circular the whole extent.
[[nodiscard]] constexpr std::int64_t padded_source(PadMode mode, std::int64_t at, std::int64_t extent) noexcept {
  if (at >= 0 && at < extent) return at;
  if (mode == PadMode::reflect) return at < 0 ? -at : 2 * (extent - 1) - at;
  if (mode == PadMode::circular) return at < 0 ? at + extent : at - extent;
  return at < 0 ? 0 : extent - 1;
}

/// How far `mode` reaches beyond a line of `extent` elements; -1: as far as one likes.
[[nodiscard]] constexpr std::int64_t widest_pad(PadMode mode, std::int64_t extent) noexcept {
  if (mode == PadMode::reflect) return extent > 0 ? extent - 1 : 0;
  if (mode == PadMode::circular) return extent;
  if (mode == PadMode::replicate && extent == 0) return 0;
  return -1;
}

}  // namespace tapestry
