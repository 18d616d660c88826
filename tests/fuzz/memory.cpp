#include <algorithm>
#include <cstring>

#include "fuzz/fuzz.h"

namespace tapestry::fuzz {

std::int64_t Memory::read_some(std::byte* to, std::size_t bytes) {
  const std::size_t count = std::min(bytes, left_.size());
  if (count > 0) std::memcpy(to, left_.data(), count);
  left_ = left_.subspan(count);
  return static_cast<std::int64_t>(count);
}

}  // namespace tapestry::fuzz
