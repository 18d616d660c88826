#pragma once

namespace tapestry {

/// What stands beyond the border of a padded tensor or picture: a constant, or its contents mirrored at the outermost
/// elements, which are not repeated.
enum class PadMode { constant, reflect };

}  // namespace tapestry
