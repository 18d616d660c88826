#pragma once

#include <cstddef>
#include <cstdint>
#include <utility>
#include <vector>

#include <tapestry/autograd/random.h>

namespace tapestry::datasets::detail {

/// Puts the elements into a random order, every one equally likely (Fisher and Yates).
inline void shuffle(std::vector<std::size_t>& order, Generator& generator) {
  for (std::size_t i = order.size(); i > 1; --i) {
    std::swap(order[i - 1], order[static_cast<std::size_t>(generator.randint(0, static_cast<std::int64_t>(i)))]);
  }
}

}  // namespace tapestry::datasets::detail
