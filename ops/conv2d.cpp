#include <tapestry/ops/conv2d.h>

#include <cstdint>
#include <type_traits>

#include <tapestry/autograd/base/check.h>
#include <tapestry/autograd/grad_mode.h>
#include <tapestry/autograd/record.h>
#include <tapestry/ops/autocast.h>
#include <tapestry/ops/broadcast.h>
#include <tapestry/ops/cast.h>
#include <tapestry/ops/detail/common.h>
#include <tapestry/ops/kernels/conv2d/bf16.h>
#include <tapestry/ops/kernels/conv2d/conv2d.h>
#include <tapestry/ops/kernels/conv2d/winograd.h>
#include <tapestry/ops/precision.h>

namespace tapestry {
namespace {

/// One spatial dimension: padding before, output extent.
struct Extent {
  Index before, out;
};

Extent extent_of(const char* op, Index size, Index kernel, Index stride, Index padding, bool same, Index dilation) {
  const Index reach = dilation * (kernel - 1) + 1;  // pixels a window spans
  if (same) return {(reach - 1) / 2, size};
  if (kernel > 0 && reach > size + 2 * padding) {
    throw_invalid("{}: the kernel must fit into the padded input; it spans {}, the input {}", op, reach,
                  size + 2 * padding);
  }
  return {padding, (size + 2 * padding - reach) / stride + 1};
}

/// All extents, checked.
kernels::Conv2dShape plan(const char* op, const Shape& x, const Shape& w, const Conv2dOptions& o) {
  check_image(op, x);
  if (w.rank() != 4) throw_invalid("{}: the weight must be [K, R, S, C / groups]; got {}", op, w);
  if (o.stride.h < 1 || o.stride.w < 1) {
    throw_invalid("{}: stride must be at least 1; got {{{}, {}}}", op, o.stride.h, o.stride.w);
  }
  if (o.dilation.h < 1 || o.dilation.w < 1) {
    throw_invalid("{}: dilation must be at least 1; got {{{}, {}}}", op, o.dilation.h, o.dilation.w);
  }
  if (o.padding.size.h < 0 || o.padding.size.w < 0) {
    throw_invalid("{}: padding must not be negative; got {{{}, {}}}", op, o.padding.size.h, o.padding.size.w);
  }
  if (o.groups < 1) throw_invalid("{}: groups must be at least 1; got {}", op, o.groups);
  if (o.padding.is_same && o.stride != Pair2(1)) {
    throw_invalid("{}: Padding::same needs stride 1; got {{{}, {}}}", op, o.stride.h, o.stride.w);
  }
  if (w[1] < 1 || w[2] < 1) throw_invalid("{}: the kernel must have a tap; the weight is {}", op, w);
  if (x[3] != w[3] * o.groups) {
    throw_invalid("{}: input has {} channels, weight expects {} (input {}, weight {}, groups {})", op, x[3],
                  w[3] * o.groups, x, w, o.groups);
  }
  if (w[0] % o.groups != 0) throw_invalid("{}: groups must divide the {} filters; got {}", op, w[0], o.groups);
  const Extent h = extent_of(op, x[1], w[1], o.stride.h, o.padding.size.h, o.padding.is_same, o.dilation.h);
  const Extent v = extent_of(op, x[2], w[2], o.stride.w, o.padding.size.w, o.padding.is_same, o.dilation.w);
  return {.n = x[0],
          .h = x[1],
          .w = x[2],
          .c = x[3],
          .k = w[0],
          .r = w[1],
          .s = w[2],
          .oh = h.out,
          .ow = v.out,
          .stride_h = o.stride.h,
          .stride_w = o.stride.w,
          .pad_top = h.before,
          .pad_left = v.before,
          .dilation_h = o.dilation.h,
          .dilation_w = o.dilation.w,
          .groups = o.groups};
}

Shape output_shape(const kernels::Conv2dShape& s) { return {s.n, s.oh, s.ow, s.k}; }

void check_dtypes(const char* op, const Tensor& a, const Tensor& b) {
  check_any_float(op, a);
  check_same_dtype(op, a, b);
}

/// The bias as the kernels want it: bf16 sums are made in float.
Tensor bias_of_sums(const Tensor& x, const Tensor& b) {
  return b.defined() && x.dtype() == bf16 ? no_grad([&] { return to(b, f32); }) : b;
}

/// What is multiplied: the operands as they are, or rounded to bf16, or sums of them (kernels/winograd.h).
enum class Products : std::uint8_t { plain, bf16, winograd };

template <Products products>
using Chosen = std::integral_constant<Products, products>;

/// Whether f32 operands are worth being rounded for the sake of bf16 products: `elements` of them, the weights apart,
/// each of which takes the time of some 60 products that are saved half of theirs.
bool bf16_pays(const kernels::Conv2dShape& s, Index elements) {
  constexpr double kFewest = 64;
  const Index per_result = s.r * s.s * (s.c / s.groups);
  const double products = static_cast<double>(s.n * s.oh * s.ow * s.k) * static_cast<double>(per_result);
  return products > kFewest * static_cast<double>(elements);
}

/// Which products of f32 operands are allowed and fastest. elements: as above.
Products choose(const kernels::Conv2dShape& s, Index elements) {
  if (multiplies_f32_as_bf16() && bf16_pays(s, elements)) return Products::bf16;
  const bool exact = float32_matmul_precision() == MatmulPrecision::highest;
  return !exact && kernels::winograd_pays(s) ? Products::winograd : Products::plain;
}

/// Calls f(first operand, second operand, Chosen) with their data. Operands are equal in dtype, or bf16 beside f32
/// weights.
template <class F>
void visit_operands(const Tensor& a, const Tensor& b, const kernels::Conv2dShape& s, Index elements, const F& f) {
  if (a.dtype() == f64) return f(a.data<double>(), b.data<double>(), Chosen<Products::plain>());
  if (a.dtype() == bf16) {
    if (b.dtype() == bf16) return f(a.data<BFloat16>(), b.data<BFloat16>(), Chosen<Products::bf16>());
    return f(a.data<BFloat16>(), b.data<float>(), Chosen<Products::bf16>());
  }
  const float *const a_data = a.data<float>(), *const b_data = b.data<float>();
  switch (choose(s, elements)) {
    case Products::bf16: return f(a_data, b_data, Chosen<Products::bf16>());
    case Products::winograd: return f(a_data, b_data, Chosen<Products::winograd>());
    default: return f(a_data, b_data, Chosen<Products::plain>());
  }
}

/// What pack(to) makes of w: `size` elements of T, in the order of the kernel's loops. Kept beside w until it changes.
template <class T, class F>
Ref<Storage> kept_packed(const Tensor& w, const kernels::Conv2dShape& s, Index size, const void* layout,
                         const F& pack) {
  Storage& storage = *w.impl().storage;
  const DerivedKey key{layout, w.impl().bytes(), {s.groups, s.k, s.r * s.s, s.c}};
  Ref<Storage> packed = storage.derived(key);
  if (packed) return packed;
  packed = Storage::allocate(size * static_cast<Index>(sizeof(T)));
  pack(reinterpret_cast<T*>(packed->data()));
  storage.keep_derived(key, packed);
  return packed;
}

/// y, by products of bf16 or as they are.
template <class X, class W>
void multiply_bf16(const kernels::Conv2dShape& s, const Tensor& w, const X* x, const W* w_data, const float* bias,
                   X* y) {
  const Index size = is_inference_mode() ? kernels::packed_conv2d_bf16_size(s) : 0;
  if (size == 0) return kernels::conv2d_bf16(s, x, w_data, bias, y);
  const auto packed = kept_packed<kernels::Pair>(w, s, size, kernels::packed_conv2d_bf16_layout(),
                                                 [&](kernels::Pair* to) { kernels::pack_conv2d_bf16(s, w_data, to); });
  kernels::packed_conv2d_bf16(s, x, reinterpret_cast<const kernels::Pair*>(packed->data()), bias, y);
}
template <class X>
void multiply(const kernels::Conv2dShape& s, const Tensor& w, const X* x, const X* w_data, const X* bias, X* y) {
  const Index size = is_inference_mode() ? kernels::packed_conv2d_size<X>(s) : 0;
  if (size == 0) return kernels::conv2d<X>(s, x, w_data, bias, y);
  const auto packed = kept_packed<X>(w, s, size, kernels::packed_conv2d_layout<X>(),
                                     [&](X* to) { kernels::pack_conv2d<X>(s, w_data, to); });
  kernels::packed_conv2d<X>(s, x, reinterpret_cast<const X*>(packed->data()), bias, y);
}

// The three ops as their rules call each other. What conv2d makes of its operands under autocast, bf16 images and f32
// weights, stays within these: gradients have the dtype of what they are gradients of.

Tensor forward(const Tensor& x, const Tensor& w, const Tensor& b, const Conv2dOptions& options);
Tensor input_grad(const Tensor& dy, const Tensor& w, const Shape& input_shape, const Conv2dOptions& options);
Tensor weight_grad(const Tensor& x, const Tensor& dy, const Shape& weight_shape, Dtype dtype,
                   const Conv2dOptions& options);

Tensor forward(const Tensor& x, const Tensor& w, const Tensor& b, const Conv2dOptions& options) {
  const kernels::Conv2dShape shape = plan("conv2d", x.shape(), w.shape(), options);
  if (b.defined()) check_shape("conv2d", "the bias", b, {shape.k});
  Tensor y = empty(output_shape(shape), x.dtype());
  const Tensor bias = bias_of_sums(x, b);
  visit_operands(x, w, shape, x.numel(), [&]<class X, class W>(const X* x_data, const W* w_data, auto products) {
    using Sum = std::conditional_t<std::is_same_v<X, BFloat16>, float, X>;
    const Sum* const bias_data = bias.defined() ? bias.data<Sum>() : nullptr;
    if constexpr (products == Products::bf16) {
      multiply_bf16(shape, w, x_data, w_data, bias_data, y.mutable_data<X>());
    } else if constexpr (products == Products::winograd) {
      kernels::winograd_conv2d(shape, x_data, w_data, bias_data, y.mutable_data<X>());
    } else {
      multiply(shape, w, x_data, w_data, bias_data, y.mutable_data<X>());
    }
  });
  return record("conv2d", std::move(y),
                wrt(x, [w = saved(w), input = x.shape(),
                        options](const Tensor& dy) { return input_grad(dy, w(), input, options); }),
                wrt(w, [x = saved(x), weight = w.shape(), dtype = w.dtype(),
                        options](const Tensor& dy) { return weight_grad(x(), dy, weight, dtype, options); }),
                wrt(b, [k = shape.k, dtype = b.defined() ? b.dtype() : f32](const Tensor& dy) {
                  return to(sum_to(widened(dy), Shape{k}), dtype);
                }));
}

Tensor input_grad(const Tensor& dy, const Tensor& w, const Shape& input_shape, const Conv2dOptions& options) {
  const kernels::Conv2dShape shape = plan("conv2d_input_grad", input_shape, w.shape(), options);
  check_shape("conv2d_input_grad", "dy", dy, output_shape(shape));
  Tensor dx = empty(input_shape, dy.dtype());
  visit_operands(dy, w, shape, dy.numel(), [&]<class Y, class W>(const Y* dy_data, const W* w_data, auto products) {
    if constexpr (products == Products::bf16) {
      kernels::conv2d_input_grad_bf16(shape, dy_data, w_data, dx.mutable_data<Y>());
    } else if constexpr (products == Products::winograd) {
      kernels::winograd_input_grad(shape, dy_data, w_data, dx.mutable_data<Y>());
    } else {
      kernels::conv2d_input_grad<Y>(shape, dy_data, w_data, dx.mutable_data<Y>());
    }
  });
  return record("conv2d_input_grad", std::move(dx),
                wrt(dy, [w = saved(w), options](const Tensor& g) { return forward(g, w(), {}, options); }),
                wrt(w, [dy = saved(dy), weight = w.shape(), dtype = w.dtype(), options](const Tensor& g) {
                  return weight_grad(g, dy(), weight, dtype, options);
                }));
}

/// dtype: that of dw. f32 for bf16 operands is the sum before it is rounded.
Tensor weight_grad(const Tensor& x, const Tensor& dy, const Shape& weight_shape, Dtype dtype,
                   const Conv2dOptions& options) {
  const kernels::Conv2dShape shape = plan("conv2d_weight_grad", x.shape(), weight_shape, options);
  check_shape("conv2d_weight_grad", "dy", dy, output_shape(shape));
  Tensor dw = empty(weight_shape, x.dtype() == bf16 ? f32 : x.dtype());
  visit_operands(x, dy, shape, x.numel() + dy.numel(),
                 [&]<class X, class Y>(const X* x_data, const Y* dy_data, auto products) {
                   if constexpr (!std::is_same_v<X, Y>) {
                     throw_logic("conv2d_weight_grad: the dtypes must be equal; got {} and {}", x.dtype(), dy.dtype());
                   } else if constexpr (products == Products::bf16) {
                     kernels::conv2d_weight_grad_bf16(shape, x_data, dy_data, dw.mutable_data<float>());
                   } else if constexpr (products == Products::winograd) {
                     kernels::winograd_weight_grad(shape, x_data, dy_data, dw.mutable_data<X>());
                   } else {
                     kernels::conv2d_weight_grad<X>(shape, x_data, dy_data, dw.mutable_data<X>());
                   }
                 });
  if (dw.dtype() != dtype) dw = no_grad([&] { return to(dw, dtype); });
  return record("conv2d_weight_grad", std::move(dw),
                wrt(x, [dy = saved(dy), input = x.shape(),
                        options](const Tensor& g) { return input_grad(dy(), g, input, options); }),
                wrt(dy, [x = saved(x), options](const Tensor& g) { return forward(x(), g, {}, options); }));
}

}  // namespace

Tensor conv2d(const Tensor& x, const Tensor& w, const Tensor& b, const Conv2dOptions& options, Here here) {
  const CallSite site(here);
  if (is_autocast_enabled() && is_f32_or_bf16(x, w, b)) return forward(to(x, bf16), w, b, options);
  check_dtypes("conv2d", x, w);
  if (b.defined()) check_same_dtype("conv2d", x, b);
  return forward(x, w, b, options);
}

Tensor conv2d_input_grad(const Tensor& dy, const Tensor& w, const Shape& input_shape, const Conv2dOptions& options,
                         Here here) {
  const CallSite site(here);
  check_dtypes("conv2d_input_grad", dy, w);
  return input_grad(dy, w, input_shape, options);
}

Tensor conv2d_weight_grad(const Tensor& x, const Tensor& dy, const Shape& weight_shape, const Conv2dOptions& options,
                          Here here) {
  const CallSite site(here);
  check_dtypes("conv2d_weight_grad", x, dy);
  return weight_grad(x, dy, weight_shape, x.dtype(), options);
}

}  // namespace tapestry
