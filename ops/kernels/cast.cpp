#include <tapestry/ops/kernels/cast.h>

#include <cmath>
#include <limits>
#include <type_traits>

#include <tapestry/ops/kernels/base/tuning.h>
#include <tapestry/ops/kernels/simd/bf16.h>

namespace tapestry::kernels {
namespace {

template <class To, class From>
To convert(From value) {
  if constexpr (std::is_same_v<From, BFloat16>) {
    return convert<To>(static_cast<float>(value));
  } else if constexpr (std::is_same_v<To, bool>) {
    return value != From{0};
  } else if constexpr (std::is_same_v<To, BFloat16>) {
    return BFloat16(static_cast<float>(value));
  } else if constexpr (std::is_floating_point_v<From> && std::is_integral_v<To>) {
    // Out of range is undefined in C++: saturate. The upper bound of a 64-bit type rounds up to 2^63.
    using Limits = std::numeric_limits<To>;
    if (value != value) return To{0};
    if (value >= std::ldexp(From{1}, Limits::digits)) return Limits::max();
    if (value <= static_cast<From>(Limits::lowest())) return Limits::lowest();
    return static_cast<To>(value);
  } else {
    return static_cast<To>(value);
  }
}

template <class From, class To>
void cast(const From* x, To* y, Index n) {
  if constexpr (std::is_same_v<From, float> && std::is_same_v<To, BFloat16>) {
    narrow(x, y, n);
  } else if constexpr (std::is_same_v<From, BFloat16> && std::is_same_v<To, float>) {
    widen(x, y, n);
  } else {
    parallel_for(n, tuning::kGrain, [=](Index begin, Index end) {
      for (Index i = begin; i < end; ++i) y[i] = convert<To>(x[i]);
    });
  }
}

}  // namespace

void cast(Elements x, Dtype to, void* y, Index n) {
  visit(x.dtype, [&]<class From>() { visit(to, [&]<class To>() { cast(x.as<From>(), static_cast<To*>(y), n); }); });
}

}  // namespace tapestry::kernels
