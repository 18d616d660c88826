#include <tapestry/ops/kernels/conv2d/conv2d.h>

#include <algorithm>
#include <type_traits>

#include <tapestry/autograd/memory/scratch.h>
#include <tapestry/ops/kernels/conv2d/depthwise.h>
#include <tapestry/ops/kernels/conv2d/gather.h>
#include <tapestry/ops/kernels/conv2d/weight_grad.h>
#include <tapestry/ops/kernels/conv2d/winograd.h>
#include <tapestry/ops/kernels/gemm/gemm.h>
#include <tapestry/ops/kernels/gemm/gemm_bf16.h>
#include <tapestry/ops/kernels/simd/as_dtype.h>

namespace tapestry::kernels {
namespace {

/// What pack(to) makes of the weights at w: `size` elements of T, in the order of a kernel's loops. Kept in `keep`,
/// beside the weights, until these change, or for the time of the call if that is null.
template <class T>
class Packed {
 public:
  template <class F>
  Packed(const Conv2dShape& s, const void* w, Index size, Storage* keep, const F& pack)
      : scratch_(keep == nullptr ? size : 0) {
    if (keep == nullptr) {
      pack(scratch_.data());
      return;
    }
    // Everything that the order of the loops hangs on: the instruction set, by its table, and the shape of w.
    const DerivedKey key{&microkernels<T>(), w, {s.groups, s.k, s.r * s.s, s.c}};
    kept_ = keep->derived(key);
    if (kept_) return;
    kept_ = Storage::allocate(size * static_cast<Index>(sizeof(T)));
    pack(reinterpret_cast<T*>(kept_->data()));
    keep->keep_derived(key, kept_);
  }
  [[nodiscard]] const T* data() const { return kept_ ? reinterpret_cast<const T*>(kept_->data()) : scratch_.data(); }

 private:
  Scratch<T> scratch_;
  Ref<Storage> kept_;
};

// ---- products of numbers as they come. T is float or double.

template <class T>
void forward(const Conv2dShape& s, Conv2dMethod method, const T* x, const T* w, const T* bias, T* y, Storage* keep) {
  if constexpr (std::is_same_v<T, float>) {
    if (method == Conv2dMethod::winograd) return winograd_conv2d(s, x, w, bias, y);
  }
  if (method == Conv2dMethod::product) return gemm<T>(false, true, s.pixels(), s.k, s.c, x, w, bias, y);
  const Gather<T> gather = forward_gather<T>(s, x, bias, y);
  if (method == Conv2dMethod::depthwise) {
    const Packed<T> packed(s, w, s.w_size(), keep, [&](T* to) { pack_depthwise(s, false, w, to); });
    return run_depthwise(gather, packed.data());
  }
  const Packed<T> packed(s, w, packed_size(gather), keep, [&](T* to) { pack_forward(gather, w, to); });
  run_gather(gather, packed.data());
}

template <class T>
void input_grad(const Conv2dShape& s, Conv2dMethod method, const T* dy, const T* w, T* dx) {
  if constexpr (std::is_same_v<T, float>) {
    if (method == Conv2dMethod::winograd) return winograd_input_grad(s, dy, w, dx);
  }
  if (method == Conv2dMethod::product) return gemm<T>(false, false, s.pixels(), s.c, s.k, dy, w, nullptr, dx);
  const Gather<T> gather = input_grad_gather<T>(s, dy, dx);
  if (method == Conv2dMethod::depthwise) {
    const Packed<T> packed(s, w, s.w_size(), nullptr, [&](T* to) { pack_depthwise(s, true, w, to); });
    return run_depthwise(gather, packed.data());
  }
  const Packed<T> packed(s, w, packed_size(gather), nullptr, [&](T* to) { pack_input_grad(gather, w, to); });
  run_gather(gather, packed.data());
}

template <class T>
void weight_grad(const Conv2dShape& s, Conv2dMethod method, const T* x, const T* dy, T* dw) {
  if constexpr (std::is_same_v<T, float>) {
    if (method == Conv2dMethod::winograd) return winograd_weight_grad(s, x, dy, dw);
  }
  if (method == Conv2dMethod::depthwise) return depthwise_weight_grad(s, x, dy, dw);
  tiled_weight_grad(s, x, dy, dw);
}

// ---- products of bfloat16 in pairs. X, W and Y are BFloat16, or float to be rounded.

/// The same over pairs of input channels, an odd last one beside a zero.
Conv2dShape in_channel_pairs(const Conv2dShape& s) {
  Conv2dShape pairs = s;
  pairs.c = (s.c + 1) / 2;
  return pairs;
}

template <class X, class W>
void forward_in_pairs(const Conv2dShape& s, const X* x, const W* w, const float* bias, X* y, Storage* keep) {
  const AsPairs<X> x_pairs(x, s.pixels(), s.c);
  const auto gather = forward_gather<Pair, X>(in_channel_pairs(s), x_pairs.data(), bias, y);
  const Packed<Pair> packed(s, w, packed_size(gather), keep, [&](Pair* to) {
    const AsPairs<W> w_pairs(w, s.k * s.r * s.s, s.c / s.groups);
    pack_forward(gather, w_pairs.data(), to);
  });
  run_gather(gather, packed.data());
}

template <class Y, class W>
void input_grad_in_pairs(const Conv2dShape& s, const Y* dy, const W* w, Y* dx) {
  const AsPairs<Y> dy_pairs(dy, s.output_pixels(), s.k);
  Conv2dShape pairs = s;
  pairs.k = (s.k + 1) / 2;
  const Index per_filter = s.r * s.s * (s.c / s.groups);
  const Scratch<Pair> w_pairs(pairs.k * per_filter);
  pair_rows(w, s.k, per_filter, w_pairs.data());
  const auto gather = input_grad_gather<Pair, Y>(pairs, dy_pairs.data(), dx);
  const Packed<Pair> packed(s, w, packed_size(gather), nullptr,
                            [&](Pair* to) { pack_input_grad(gather, static_cast<const Pair*>(w_pairs.data()), to); });
  run_gather(gather, packed.data());
}

/// The sum runs over images and pixels; two images make a pair at every pixel, wherever the taps lie.
template <class X>
void weight_grad_in_pairs(const Conv2dShape& s, const X* x, const X* dy, float* dw) {
  Conv2dShape pairs = s;
  pairs.n = (s.n + 1) / 2;
  const Scratch<Pair> x_pairs(pairs.x_size()), dy_pairs(pairs.y_size());
  pair_rows(x, s.n, s.h * s.w * s.c, x_pairs.data());
  pair_rows(dy, s.n, s.oh * s.ow * s.k, dy_pairs.data());
  tiled_weight_grad<Pair>(pairs, x_pairs.data(), dy_pairs.data(), dw);
}

/// Calls f(first, second) with the operands in their types.
template <class F>
void visit_operands(Elements first, Elements second, const F& f) {
  if (first.dtype == f64) return f(first.as<double>(), second.as<double>());
  if (first.dtype == f32) return f(first.as<float>(), second.as<float>());
  if (second.dtype == f32) return f(first.as<BFloat16>(), second.as<float>());
  return f(first.as<BFloat16>(), second.as<BFloat16>());
}

template <class T>
constexpr bool kIsDouble = std::is_same_v<T, double>;

}  // namespace

void conv2d(const Conv2dShape& s, Conv2dMethod method, Elements x, Elements w, const void* bias, void* y,
            Storage* keep) {
  if (s.y_size() == 0) return;
  if (s.w_size() == 0) keep = nullptr;
  visit_operands(x, w, [&]<class X, class W>(const X* x_data, const W* w_data) {
    X* const to = static_cast<X*>(y);
    if constexpr (kIsDouble<X>) {
      forward(s, method, x_data, w_data, static_cast<const double*>(bias), to, keep);
    } else {
      const auto* const bias_data = static_cast<const float*>(bias);
      if (method == Conv2dMethod::pair_product) {
        gemm_bf16(false, true, s.pixels(), s.k, s.c, x_data, w_data, bias_data, to);
      } else if (method == Conv2dMethod::pair_tiles) {
        forward_in_pairs(s, x_data, w_data, bias_data, to, keep);
      } else {
        const AsFloats<X> x_floats(x_data, s.x_size());
        const AsFloats<W> w_floats(w_data, s.w_size());
        const FromFloats<X> y_floats(to, s.y_size());
        Storage* const kept = std::is_same_v<W, float> ? keep : nullptr;  // what is widened is gone after the call
        forward(s, method, x_floats.data(), w_floats.data(), bias_data, y_floats.data(), kept);
        y_floats.finish();
      }
    }
  });
}

void conv2d_input_grad(const Conv2dShape& s, Conv2dMethod method, Elements dy, Elements w, void* dx) {
  if (s.x_size() == 0) return;
  visit_operands(dy, w, [&]<class Y, class W>(const Y* dy_data, const W* w_data) {
    Y* const to = static_cast<Y*>(dx);
    if constexpr (kIsDouble<Y>) {
      input_grad(s, method, dy_data, w_data, to);
    } else if (method == Conv2dMethod::pair_product) {
      gemm_bf16(false, false, s.pixels(), s.c, s.k, dy_data, w_data, static_cast<const float*>(nullptr), to);
    } else if (method == Conv2dMethod::pair_tiles) {
      input_grad_in_pairs(s, dy_data, w_data, to);
    } else {
      const AsFloats<Y> dy_floats(dy_data, s.y_size());
      const AsFloats<W> w_floats(w_data, s.w_size());
      const FromFloats<Y> dx_floats(to, s.x_size());
      input_grad(s, method, dy_floats.data(), w_floats.data(), dx_floats.data());
      dx_floats.finish();
    }
  });
}

void conv2d_weight_grad(const Conv2dShape& s, Conv2dMethod method, Elements x, Elements dy, void* dw) {
  if (s.w_size() == 0) return;
  visit_operands(x, dy, [&]<class X, class Y>(const X* x_data, const Y* dy_data) {
    using Sum = std::conditional_t<kIsDouble<X>, double, float>;
    Sum* const to = static_cast<Sum*>(dw);
    if (s.pixels() * s.output_pixels() == 0) {
      std::fill_n(to, s.w_size(), Sum{0});
    } else if constexpr (kIsDouble<X>) {
      weight_grad(s, method, x_data, dy_data, to);
    } else if constexpr (std::is_same_v<X, Y>) {  // always: bf16 images beside f32 gradients have no business here
      if (method == Conv2dMethod::pair_tiles) return weight_grad_in_pairs(s, x_data, dy_data, to);
      const AsFloats<X> x_floats(x_data, s.x_size()), dy_floats(dy_data, s.y_size());
      weight_grad(s, method, x_floats.data(), dy_floats.data(), to);
    }
  });
}

}  // namespace tapestry::kernels
