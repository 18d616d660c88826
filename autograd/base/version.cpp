#include <tapestry/autograd/base/version.h>

// Two steps, so that the numbers are put in before they become text.
#define TAPESTRY_TEXT(x) #x
#define TAPESTRY_VERSION_TEXT(major, minor, patch) \
  TAPESTRY_TEXT(major) "." TAPESTRY_TEXT(minor) "." TAPESTRY_TEXT(patch)

namespace tapestry {

const char* version() noexcept {
  return TAPESTRY_VERSION_TEXT(TAPESTRY_VERSION_MAJOR, TAPESTRY_VERSION_MINOR, TAPESTRY_VERSION_PATCH);
}

}  // namespace tapestry
