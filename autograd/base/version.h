#pragma once

#define TAPESTRY_VERSION_MAJOR 0
#define TAPESTRY_VERSION_MINOR 1
#define TAPESTRY_VERSION_PATCH 0

namespace tapestry {

/// The version of the library that is linked, such as "0.1.0"; the macros tell that of the headers.
const char* version() noexcept;

}  // namespace tapestry
