#pragma once

#include <cstdint>

#include <tapestry/autograd/random.h>

namespace tapestry::test {

/// Between 0.5 and 2, where the functions of these tests are smooth.
inline Tensor random(const Shape& shape, std::uint64_t seed = 1) {
  Generator generator(seed);
  return uniform(shape, 0.5, 2, {.dtype = f64, .generator = &generator});
}

}  // namespace tapestry::test
