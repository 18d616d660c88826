#include <tapestry/ops/kernels/conv2d/conv2d.h>

#include <tapestry/autograd/memory/scratch.h>
#include <tapestry/ops/kernels/conv2d/gather.h>
#include <tapestry/ops/kernels/gemm/gemm.h>

#include <algorithm>

namespace tapestry::kernels {
namespace {

/// One channel per group on both sides.
bool is_depthwise(const Conv2dShape& s) { return s.groups == s.c && s.k == s.c && s.groups > 1; }

/// A matrix product over pixels, nothing else.
bool is_pointwise(const Conv2dShape& s) {
  return s.r == 1 && s.s == 1 && s.stride_h == 1 && s.stride_w == 1 && s.pad_top == 0 && s.pad_left == 0 &&
         s.groups == 1 && s.oh == s.h && s.ow == s.w;
}

/// Depthwise weights [channel][tap] as [tap][channel], in reverse order of taps if asked to.
template <class T>
void pack_depthwise(const Conv2dShape& s, bool reverse, const T* w, T* packed) {
  const Index taps = s.r * s.s;
  microkernels<T>().transpose(taps, s.c, s.c, w, taps, packed, s.c);
  if (!reverse) return;
  for (Index low = 0, high = taps - 1; low < high; ++low, --high) {
    std::swap_ranges(packed + low * s.c, packed + (low + 1) * s.c, packed + high * s.c);
  }
}

}  // namespace

template <class T>
Index packed_conv2d_size(const Conv2dShape& s) {
  if (is_pointwise(s)) return 0;
  if (is_depthwise(s)) return s.r * s.s * s.c;
  return packed_size(forward_gather<T, T>(s, nullptr, nullptr, nullptr));
}

template <class T>
const void* packed_conv2d_layout() {
  return &microkernels<T>();
}

template <class T>
void pack_conv2d(const Conv2dShape& s, const T* w, T* packed) {
  if (is_depthwise(s)) return pack_depthwise(s, false, w, packed);
  pack_forward(forward_gather<T, T>(s, nullptr, nullptr, nullptr), w, packed);
}

template <class T>
void packed_conv2d(const Conv2dShape& s, const T* x, const T* packed, const T* bias, T* y) {
  if (s.n * s.oh * s.ow * s.k == 0) return;
  const Gather<T> gather = forward_gather<T>(s, x, bias, y);
  if (is_depthwise(s)) return run_channelwise(gather, packed);
  run_gather(gather, packed);
}

template <class T>
void conv2d(const Conv2dShape& s, const T* x, const T* w, const T* bias, T* y) {
  if (s.n * s.oh * s.ow * s.k == 0) return;
  if (is_pointwise(s)) return gemm<T>(false, true, s.n * s.h * s.w, s.k, s.c, x, w, bias, y);
  const Scratch<T> packed(packed_conv2d_size<T>(s));
  pack_conv2d(s, w, packed.data());
  packed_conv2d(s, x, static_cast<const T*>(packed.data()), bias, y);
}

template <class T>
void conv2d_input_grad(const Conv2dShape& s, const T* dy, const T* w, T* dx) {
  if (s.n * s.h * s.w * s.c == 0) return;
  if (is_pointwise(s)) return gemm<T>(false, false, s.n * s.h * s.w, s.c, s.k, dy, w, nullptr, dx);
  const Gather<T> gather = input_grad_gather<T>(s, dy, dx);
  if (is_depthwise(s)) {
    const Scratch<T> packed(s.r * s.s * s.c);
    pack_depthwise(s, true, w, packed.data());
    return run_channelwise(gather, static_cast<const T*>(packed.data()));
  }
  const Scratch<T> packed(packed_size(gather));
  pack_input_grad(gather, w, packed.data());
  run_gather(gather, static_cast<const T*>(packed.data()));
}

template void conv2d<float>(const Conv2dShape&, const float*, const float*, const float*, float*);
template void conv2d<double>(const Conv2dShape&, const double*, const double*, const double*, double*);
template Index packed_conv2d_size<float>(const Conv2dShape&);
template Index packed_conv2d_size<double>(const Conv2dShape&);
template const void* packed_conv2d_layout<float>();
template const void* packed_conv2d_layout<double>();
template void pack_conv2d<float>(const Conv2dShape&, const float*, float*);
template void pack_conv2d<double>(const Conv2dShape&, const double*, double*);
template void packed_conv2d<float>(const Conv2dShape&, const float*, const float*, const float*, float*);
template void packed_conv2d<double>(const Conv2dShape&, const double*, const double*, const double*, double*);
template void conv2d_input_grad<float>(const Conv2dShape&, const float*, const float*, float*);
template void conv2d_input_grad<double>(const Conv2dShape&, const double*, const double*, double*);

}  // namespace tapestry::kernels
