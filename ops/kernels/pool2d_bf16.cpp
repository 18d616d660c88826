// Pooling of bfloat16: image by image through the loops of float. An image fits into L2, or nearly so.
#include <tapestry/ops/kernels/pool2d.h>
#include <tapestry/ops/kernels/simd/as_dtype.h>

namespace tapestry::kernels {
namespace {

/// f(shape of one image, i) for every image, in parallel.
template <class F>
void for_images(const Pool2dShape& s, const F& f) {
  Pool2dShape one = s;
  one.n = 1;
  parallel_for(s.n, 1, [&](Index begin, Index end) {
    for (Index i = begin; i < end; ++i) f(one, i);
  });
}

Index in_size(const Pool2dShape& s) { return s.h * s.w * s.c; }
Index out_size(const Pool2dShape& s) { return s.oh * s.ow * s.c; }

template <class Tap>
void max_images(const Pool2dShape& s, const BFloat16* x, BFloat16* y, Tap* tap) {
  for_images(s, [=](const Pool2dShape& one, Index i) {
    const AsFloats<BFloat16> from(x + i * in_size(one), in_size(one));
    const FromFloats<BFloat16> to(y + i * out_size(one), out_size(one));
    max_pool2d<float, Tap>(one, from.data(), to.data(), tap != nullptr ? tap + i * out_size(one) : nullptr);
    to.finish();
  });
}

template <class Tap>
void scatter_images(const Pool2dShape& s, const BFloat16* dy, const Tap* tap, BFloat16* dx) {
  for_images(s, [=](const Pool2dShape& one, Index i) {
    const AsFloats<BFloat16> from(dy + i * out_size(one), out_size(one));
    const FromFloats<BFloat16> to(dx + i * in_size(one), in_size(one));
    max_pool2d_scatter<float, Tap>(one, from.data(), tap + i * out_size(one), to.data());
    to.finish();
  });
}

template <class Tap>
void gather_images(const Pool2dShape& s, const BFloat16* x, const Tap* tap, BFloat16* y) {
  for_images(s, [=](const Pool2dShape& one, Index i) {
    const AsFloats<BFloat16> from(x + i * in_size(one), in_size(one));
    const FromFloats<BFloat16> to(y + i * out_size(one), out_size(one));
    max_pool2d_gather<float, Tap>(one, from.data(), tap + i * out_size(one), to.data());
    to.finish();
  });
}

}  // namespace

template <>
void max_pool2d(const Pool2dShape& s, const BFloat16* x, BFloat16* y, std::uint8_t* tap) {
  max_images(s, x, y, tap);
}
template <>
void max_pool2d(const Pool2dShape& s, const BFloat16* x, BFloat16* y, std::int32_t* tap) {
  max_images(s, x, y, tap);
}

template <>
void max_pool2d_scatter(const Pool2dShape& s, const BFloat16* dy, const std::uint8_t* tap, BFloat16* dx) {
  scatter_images(s, dy, tap, dx);
}
template <>
void max_pool2d_scatter(const Pool2dShape& s, const BFloat16* dy, const std::int32_t* tap, BFloat16* dx) {
  scatter_images(s, dy, tap, dx);
}

template <>
void max_pool2d_gather(const Pool2dShape& s, const BFloat16* x, const std::uint8_t* tap, BFloat16* y) {
  gather_images(s, x, tap, y);
}
template <>
void max_pool2d_gather(const Pool2dShape& s, const BFloat16* x, const std::int32_t* tap, BFloat16* y) {
  gather_images(s, x, tap, y);
}

template <>
void avg_pool2d(const Pool2dShape& s, const BFloat16* x, BFloat16* y) {
  for_images(s, [=](const Pool2dShape& one, Index i) {
    const AsFloats<BFloat16> from(x + i * in_size(one), in_size(one));
    const FromFloats<BFloat16> to(y + i * out_size(one), out_size(one));
    avg_pool2d<float>(one, from.data(), to.data());
    to.finish();
  });
}

template <>
void avg_pool2d_grad(const Pool2dShape& s, const BFloat16* dy, BFloat16* dx) {
  for_images(s, [=](const Pool2dShape& one, Index i) {
    const AsFloats<BFloat16> from(dy + i * out_size(one), out_size(one));
    const FromFloats<BFloat16> to(dx + i * in_size(one), in_size(one));
    avg_pool2d_grad<float>(one, from.data(), to.data());
    to.finish();
  });
}

}  // namespace tapestry::kernels
