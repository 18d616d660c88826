#pragma once

#include <tapestry/autograd/node.h>

namespace tapestry::detail {

/// The name of nodes that stand for what PackSaved has packed; compared by address.
inline constexpr char kPacked[] = "packed";

/// What a node of this name stands for, with the history that it had. Throws std::logic_error when something else comes
/// back.
[[nodiscard]] Tensor unpacked(const Ref<Node>& node);

}  // namespace tapestry::detail
