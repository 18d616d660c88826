#include <tapestry/ops/cast.h>

#include <cmath>
#include <cstring>
#include <limits>

#include <tapestry/autograd/base/parallel.h>
#include <tapestry/autograd/record.h>
#include <tapestry/ops/kernels/simd/bf16.h>

namespace tapestry {
namespace {

constexpr Index kGrain = 32 * 1024;  // elements: below this one core is done before a second wakes

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

void convert_all(const Tensor& x, Tensor& y) {
  visit(x.dtype(), [&]<class From>() {
    visit(y.dtype(), [&]<class To>() {
      const From* in = x.data<From>();
      To* out = y.mutable_data<To>();
      parallel_for(x.numel(), kGrain, [=](Index begin, Index end) {
        for (Index i = begin; i < end; ++i) out[i] = convert<To>(in[i]);
      });
    });
  });
}

}  // namespace

Tensor to(const Tensor& x, Dtype dtype, Here here) {
  const CallSite site(here);
  if (x.dtype() == dtype) return x;
  Tensor y = empty(x.shape(), dtype);
  if (x.dtype() == f32 && dtype == bf16) {
    kernels::narrow(x.data<float>(), y.mutable_data<BFloat16>(), x.numel());
  } else if (x.dtype() == bf16 && dtype == f32) {
    kernels::widen(x.data<BFloat16>(), y.mutable_data<float>(), x.numel());
  } else {
    convert_all(x, y);
  }
  if (!is_float(dtype)) return y;
  return record("to", std::move(y), wrt(x, [dtype = x.dtype()](const Tensor& dy) { return to(dy, dtype); }));
}

Tensor clone(const Tensor& x, Here here) {
  const CallSite site(here);
  Tensor y = empty(x.shape(), x.dtype());
  const std::byte* in = x.impl().bytes();
  std::byte* out = y.impl().bytes();
  parallel_for(x.numel() * item_bytes(x.dtype()), 4 * kGrain, [=](Index begin, Index end) {
    std::memcpy(out + begin, in + begin, static_cast<std::size_t>(end - begin));
  });
  return record("clone", std::move(y), wrt(x, [](const Tensor& dy) { return dy; }));
}

}  // namespace tapestry
