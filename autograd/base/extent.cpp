#include <tapestry/autograd/base/extent.h>

#include <tapestry/autograd/base/check.h>

namespace tapestry {
namespace {

constexpr Index kMost = Index{1} << 60;

bool is_too_large(Index value) { return value > kMost || value < -kMost; }

}  // namespace

Index checked_sum(const char* op, Index a, Index b) {
  Index sum = 0;
  if (__builtin_add_overflow(a, b, &sum) || is_too_large(sum)) {
    throw_invalid("{}: extents must add up to at most 2^60; got {} and {}", op, a, b);
  }
  return sum;
}

Index checked_product(const char* op, Index a, Index b) {
  Index product = 0;
  if (__builtin_mul_overflow(a, b, &product) || is_too_large(product)) {
    throw_invalid("{}: extents must multiply to at most 2^60; got {} and {}", op, a, b);
  }
  return product;
}

WindowSpan checked_span(const char* op, Index size, Index kernel, Index padding, Index dilation) {
  const Index reach = checked_sum(op, checked_product(op, dilation, kernel - 1), 1);
  const Index padded = checked_sum(op, size, checked_product(op, 2, padding));
  if (reach > kLongestSide || padded > kLongestSide) {
    throw_invalid("{}: the kernel and the padded input must span at most 2^40; got {} and {}", op, reach, padded);
  }
  return {reach, padded};
}

}  // namespace tapestry
