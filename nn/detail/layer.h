#pragma once

#include <string>

#include <tapestry/ops/spatial.h>

/// What the sources of several layers share.
namespace tapestry::nn::detail {

/// Throws std::invalid_argument "Conv2d: in must be at least 1; got 0" for a value below 1.
void check_positive(const char* layer, const char* what, Index value);

/// "3x5".
[[nodiscard]] std::string text(const Pair2& pair);

}  // namespace tapestry::nn::detail
