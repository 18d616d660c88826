#pragma once

#include <cstdint>

#include <tapestry/autograd/base/parallel.h>

namespace tapestry::kernels {

/// Calls f.operator()<U>() with the unsigned type of `bytes` bytes, 1, 2, 4 or 8: for loops that only move elements.
template <class F>
decltype(auto) visit_size(Index bytes, const F& f) {
  switch (bytes) {
    case 8: return f.template operator()<std::uint64_t>();
    case 4: return f.template operator()<std::uint32_t>();
    case 2: return f.template operator()<std::uint16_t>();
    default: return f.template operator()<std::uint8_t>();
  }
}

}  // namespace tapestry::kernels
