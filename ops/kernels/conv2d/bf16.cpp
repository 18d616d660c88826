#include <tapestry/ops/kernels/conv2d/bf16.h>

#include <tapestry/autograd/memory/scratch.h>
#include <tapestry/ops/kernels/conv2d/gather.h>
#include <tapestry/ops/kernels/gemm/gemm_bf16.h>
#include <tapestry/ops/kernels/simd/as_dtype.h>

#include <algorithm>

namespace tapestry::kernels {
namespace {

Index x_size(const Conv2dShape& s) { return s.n * s.h * s.w * s.c; }
Index w_size(const Conv2dShape& s) { return s.k * s.r * s.s * (s.c / s.groups); }
Index y_size(const Conv2dShape& s) { return s.n * s.oh * s.ow * s.k; }

/// The products over `channels` input channels of the gather can be taken in pairs. Of several groups each must be
/// whole pairs; one group alone is padded.
bool has_pairs(const Conv2dShape& s, Index channels) { return s.groups == 1 || channels / s.groups % 2 == 0; }

bool is_depthwise(const Conv2dShape& s) { return s.groups == s.c && s.k == s.c && s.groups > 1; }

bool is_pointwise(const Conv2dShape& s) {
  return s.r == 1 && s.s == 1 && s.stride_h == 1 && s.stride_w == 1 && s.pad_top == 0 && s.pad_left == 0 &&
         s.groups == 1 && s.oh == s.h && s.ow == s.w;
}

/// The same over pairs of input channels.
Conv2dShape in_pairs(const Conv2dShape& s) {
  Conv2dShape pairs = s;
  pairs.c = (s.c + 1) / 2;
  return pairs;
}

}  // namespace

Index packed_conv2d_bf16_size(const Conv2dShape& s) {
  if (!has_pairs(s, s.c) || is_pointwise(s)) return 0;
  return packed_size(forward_gather<Pair, float>(in_pairs(s), nullptr, nullptr, nullptr));
}

const void* packed_conv2d_bf16_layout() { return &microkernels<Pair>(); }

template <class W>
void pack_conv2d_bf16(const Conv2dShape& s, const W* w, Pair* packed) {
  const AsPairs<W> pairs(w, s.k * s.r * s.s, s.c / s.groups);
  pack_forward(forward_gather<Pair, float>(in_pairs(s), nullptr, nullptr, nullptr), pairs.data(), packed);
}

template <class X, class Y>
void packed_conv2d_bf16(const Conv2dShape& s, const X* x, const Pair* packed, const float* bias, Y* y) {
  if (y_size(s) == 0) return;
  const AsPairs<X> pairs(x, s.n * s.h * s.w, s.c);
  run_gather(forward_gather<Pair, Y>(in_pairs(s), pairs.data(), bias, y), packed);
}

template <class X, class W, class Y>
void conv2d_bf16(const Conv2dShape& s, const X* x, const W* w, const float* bias, Y* y) {
  if (y_size(s) == 0) return;
  if (!has_pairs(s, s.c)) {
    const AsFloats<X> x_floats(x, x_size(s));
    const AsFloats<W> w_floats(w, w_size(s));
    const FromFloats<Y> y_floats(y, y_size(s));
    conv2d<float>(s, x_floats.data(), w_floats.data(), bias, y_floats.data());
    return y_floats.finish();
  }
  if (is_pointwise(s)) return gemm_bf16(false, true, s.n * s.h * s.w, s.k, s.c, x, w, bias, y);
  const Scratch<Pair> packed(packed_conv2d_bf16_size(s));
  pack_conv2d_bf16(s, w, packed.data());
  packed_conv2d_bf16(s, x, static_cast<const Pair*>(packed.data()), bias, y);
}

template <class Y, class W, class X>
void conv2d_input_grad_bf16(const Conv2dShape& s, const Y* dy, const W* w, X* dx) {
  if (x_size(s) == 0) return;
  if (!has_pairs(s, s.k)) {
    const AsFloats<Y> dy_floats(dy, y_size(s));
    const AsFloats<W> w_floats(w, w_size(s));
    const FromFloats<X> dx_floats(dx, x_size(s));
    conv2d_input_grad<float>(s, dy_floats.data(), w_floats.data(), dx_floats.data());
    return dx_floats.finish();
  }
  if (is_pointwise(s)) return gemm_bf16(false, false, s.n * s.h * s.w, s.c, s.k, dy, w, nullptr, dx);
  const AsPairs<Y> dy_pairs(dy, s.n * s.oh * s.ow, s.k);
  Conv2dShape pairs = s;
  pairs.k = (s.k + 1) / 2;
  const Index per_filter = s.r * s.s * (s.c / s.groups);
  const Scratch<Pair> w_pairs(pairs.k * per_filter);
  pair_rows(w, s.k, per_filter, w_pairs.data());
  const auto gather = input_grad_gather<Pair, X>(pairs, dy_pairs.data(), dx);
  const Scratch<Pair> packed(packed_size(gather));
  pack_input_grad(gather, static_cast<const Pair*>(w_pairs.data()), packed.data());
  run_gather(gather, static_cast<const Pair*>(packed.data()));
}

template <class S>
void conv2d_weight_grad_bf16(const Conv2dShape& s, const S* x, const S* dy, float* dw) {
  if (w_size(s) == 0) return;
  if (x_size(s) * y_size(s) == 0) {
    std::fill(dw, dw + w_size(s), 0.0F);
    return;
  }
  if (is_depthwise(s)) {
    const AsFloats<S> x_floats(x, x_size(s)), dy_floats(dy, y_size(s));
    return conv2d_weight_grad<float>(s, x_floats.data(), dy_floats.data(), dw);
  }
  // The sum runs over images and pixels; two images make a pair at every pixel, wherever the taps lie.
  Conv2dShape pairs = s;
  pairs.n = (s.n + 1) / 2;
  const Scratch<Pair> x_pairs(x_size(pairs)), dy_pairs(y_size(pairs));
  pair_rows(x, s.n, s.h * s.w * s.c, x_pairs.data());
  pair_rows(dy, s.n, s.oh * s.ow * s.k, dy_pairs.data());
  pair_weight_grad(pairs, x_pairs.data(), dy_pairs.data(), dw);
}

template void conv2d_bf16(const Conv2dShape&, const BFloat16*, const BFloat16*, const float*, BFloat16*);
template void conv2d_bf16(const Conv2dShape&, const BFloat16*, const float*, const float*, BFloat16*);
template void conv2d_bf16(const Conv2dShape&, const float*, const float*, const float*, float*);
template void pack_conv2d_bf16(const Conv2dShape&, const BFloat16*, Pair*);
template void pack_conv2d_bf16(const Conv2dShape&, const float*, Pair*);
template void packed_conv2d_bf16(const Conv2dShape&, const BFloat16*, const Pair*, const float*, BFloat16*);
template void packed_conv2d_bf16(const Conv2dShape&, const float*, const Pair*, const float*, float*);
template void conv2d_input_grad_bf16(const Conv2dShape&, const BFloat16*, const BFloat16*, BFloat16*);
template void conv2d_input_grad_bf16(const Conv2dShape&, const BFloat16*, const float*, BFloat16*);
template void conv2d_input_grad_bf16(const Conv2dShape&, const float*, const float*, float*);
template void conv2d_weight_grad_bf16(const Conv2dShape&, const BFloat16*, const BFloat16*, float*);
template void conv2d_weight_grad_bf16(const Conv2dShape&, const float*, const float*, float*);

}  // namespace tapestry::kernels
