#include <tapestry/ops/kernels/simd_targets.h>

#undef HWY_TARGET_INCLUDE
#define HWY_TARGET_INCLUDE "tapestry/ops/kernels/pool2d.cpp"
#include <hwy/foreach_target.h>

#include <hwy/highway.h>

#include <algorithm>
#include <type_traits>

#include <tapestry/ops/kernels/pool2d.h>

HWY_BEFORE_NAMESPACE();
namespace tapestry::kernels {
namespace HWY_NAMESPACE {
namespace {

constexpr Index kBlock = 128;  // channels at a time: best values and taps stay in the first-level cache

/// Taps of one axis that lie inside the input: [first, last).
struct Taps {
  Index origin, first, last;
  Taps(Index out, Index stride, Index pad, Index kernel, Index dilation, Index extent)
      : origin(out * stride - pad), first(0), last(kernel) {
    if (origin < 0) first = std::min(kernel, (-origin + dilation - 1) / dilation);
    if (origin + (kernel - 1) * dilation >= extent) last = (extent - origin + dilation - 1) / dilation;
  }
};

/// f(output pixel, tap, input pixel) over the taps of every window of rows [begin, end) of an image.
template <class F>
HWY_INLINE void for_taps(const MaxPool2dShape& s, Index row, Index column, const F& f) {
  const Taps h(row, s.stride_h, s.pad_h, s.kernel_h, s.dilation_h, s.h);
  const Taps v(column, s.stride_w, s.pad_w, s.kernel_w, s.dilation_w, s.w);
  for (Index r = h.first; r < h.last; ++r) {
    for (Index t = v.first; t < v.last; ++t) {
      f(r * s.kernel_w + t, (h.origin + r * s.dilation_h) * s.w + v.origin + t * s.dilation_w);
    }
  }
}

template <class T>
void max_row(const MaxPool2dShape& s, const T* image, Index row, T* y, std::uint8_t* tap) {
  using Int = std::conditional_t<sizeof(T) == 4, std::uint32_t, std::uint64_t>;  // as wide as T: one mask serves both
  for (Index column = 0; column < s.ow; ++column) {
    for (Index c0 = 0; c0 < s.c; c0 += kBlock) {
      const Index n = std::min(kBlock, s.c - c0);
      T best[kBlock];
      Int at[kBlock];
      bool first = true;
      for_taps(s, row, column, [&](Index index, Index pixel) HWY_ATTR {
        const T* HWY_RESTRICT in = image + pixel * s.c + c0;
        const auto number = static_cast<Int>(index);
        if (first) {
          for (Index c = 0; c < n; ++c) {
            best[c] = in[c];
            at[c] = number;
          }
          first = false;
          return;
        }
        for (Index c = 0; c < n; ++c) {
          const bool take = !(in[c] <= best[c]) && !(best[c] != best[c] && in[c] == in[c]);
          best[c] = take ? in[c] : best[c];
          at[c] = take ? number : at[c];
        }
      });
      for (Index c = 0; c < n; ++c) {
        y[column * s.c + c0 + c] = best[c];
        tap[column * s.c + c0 + c] = static_cast<std::uint8_t>(at[c]);
      }
    }
  }
}

template <class T>
void scatter_row(const MaxPool2dShape& s, const T* dy, const std::uint8_t* tap, Index row, T* image) {
  for (Index column = 0; column < s.ow; ++column) {
    const T* HWY_RESTRICT from = dy + column * s.c;
    const std::uint8_t* HWY_RESTRICT at = tap + column * s.c;
    for_taps(s, row, column, [&](Index index, Index pixel) HWY_ATTR {
      T* HWY_RESTRICT out = image + pixel * s.c;
      for (Index c = 0; c < s.c; ++c) out[c] += at[c] == index ? from[c] : T{0};
    });
  }
}

template <class T>
void gather_row(const MaxPool2dShape& s, const T* image, const std::uint8_t* tap, Index row, T* y) {
  for (Index column = 0; column < s.ow; ++column) {
    T* HWY_RESTRICT out = y + column * s.c;
    const std::uint8_t* HWY_RESTRICT at = tap + column * s.c;
    for (Index c = 0; c < s.c; ++c) out[c] = T{0};
    for_taps(s, row, column, [&](Index index, Index pixel) HWY_ATTR {
      const T* HWY_RESTRICT in = image + pixel * s.c;
      for (Index c = 0; c < s.c; ++c) out[c] = at[c] == index ? in[c] : out[c];
    });
  }
}

template <class T>
void avg_row(const AvgPool2dShape& s, const T* image, Index row, T* y) {
  const PoolWindow& h = s.rows[row];
  for (Index column = 0; column < s.ow; ++column) {
    const PoolWindow& v = s.columns[column];
    T* HWY_RESTRICT out = y + column * s.c;
    for (Index c = 0; c < s.c; ++c) out[c] = T{0};
    for (Index i = h.begin; i < h.end; ++i) {
      for (Index j = v.begin; j < v.end; ++j) {
        const T* HWY_RESTRICT in = image + (i * s.w + j) * s.c;
        for (Index c = 0; c < s.c; ++c) out[c] += in[c];
      }
    }
    const T divisor = static_cast<T>(h.count * v.count);
    for (Index c = 0; c < s.c; ++c) out[c] /= divisor;
  }
}

template <class T>
void avg_grad_row(const AvgPool2dShape& s, const T* dy, Index row, T* image) {
  const PoolWindow& h = s.rows[row];
  for (Index column = 0; column < s.ow; ++column) {
    const PoolWindow& v = s.columns[column];
    const T* HWY_RESTRICT from = dy + column * s.c;
    const T divisor = static_cast<T>(h.count * v.count);
    for (Index i = h.begin; i < h.end; ++i) {
      for (Index j = v.begin; j < v.end; ++j) {
        T* HWY_RESTRICT out = image + (i * s.w + j) * s.c;
        for (Index c = 0; c < s.c; ++c) out[c] += from[c] / divisor;
      }
    }
  }
}

template <class T>
constexpr Pool2dTable<T> table_of() {
  return {max_row<T>, scatter_row<T>, gather_row<T>, avg_row<T>, avg_grad_row<T>};
}

}  // namespace

const void* pool2d_table(bool is_double) {
  static constexpr auto of_float = table_of<float>();
  static constexpr auto of_double = table_of<double>();
  return is_double ? static_cast<const void*>(&of_double) : &of_float;
}

}  // namespace HWY_NAMESPACE
}  // namespace tapestry::kernels
HWY_AFTER_NAMESPACE();

#if HWY_ONCE
namespace tapestry::kernels {
namespace {

HWY_EXPORT(pool2d_table);

template <class T>
const Pool2dTable<T>& table() {
  return *static_cast<const Pool2dTable<T>*>(HWY_DYNAMIC_DISPATCH(pool2d_table)(std::is_same_v<T, double>));
}

constexpr Index kGrain = 32 * 1024;  // elements: below this one core is done before a second wakes

/// f(image, row) over all output rows.
template <class S, class F>
void for_rows(const S& s, Index per_row, const F& f) {
  parallel_for(s.n * s.oh, std::max<Index>(1, kGrain / std::max<Index>(1, per_row)), [&](Index begin, Index end) {
    for (Index i = begin; i < end; ++i) f(i / s.oh, i % s.oh);
  });
}

/// f(image) over whole images: windows of one image may overlap, so one task adds all of them, in order.
template <class S, class F>
void for_images(const S& s, const F& f) {
  const Index size = s.h * s.w * s.c;
  parallel_for(s.n, std::max<Index>(1, kGrain / std::max<Index>(1, size)), [&](Index begin, Index end) {
    for (Index i = begin; i < end; ++i) f(i);
  });
}

}  // namespace

template <class T>
void max_pool2d(const MaxPool2dShape& s, const T* x, T* y, std::uint8_t* tap) {
  for_rows(s, s.ow * s.c * s.kernel_h * s.kernel_w, [&](Index image, Index row) {
    const Index at = (image * s.oh + row) * s.ow * s.c;
    table<T>().max_row(s, x + image * s.h * s.w * s.c, row, y + at, tap + at);
  });
}

template <class T>
void max_pool2d_scatter(const MaxPool2dShape& s, const T* dy, const std::uint8_t* tap, T* dx) {
  for_images(s, [&](Index image) {
    T* out = dx + image * s.h * s.w * s.c;
    std::fill_n(out, s.h * s.w * s.c, T{0});
    for (Index row = 0; row < s.oh; ++row) {
      const Index at = (image * s.oh + row) * s.ow * s.c;
      table<T>().scatter_row(s, dy + at, tap + at, row, out);
    }
  });
}

template <class T>
void max_pool2d_gather(const MaxPool2dShape& s, const T* x, const std::uint8_t* tap, T* y) {
  for_rows(s, s.ow * s.c * s.kernel_h * s.kernel_w, [&](Index image, Index row) {
    const Index at = (image * s.oh + row) * s.ow * s.c;
    table<T>().gather_row(s, x + image * s.h * s.w * s.c, tap + at, row, y + at);
  });
}

template <class T>
void avg_pool2d(const AvgPool2dShape& s, const T* x, T* y) {
  for_rows(s, std::max(s.ow, s.h * s.w / std::max<Index>(1, s.oh)) * s.c, [&](Index image, Index row) {
    table<T>().avg_row(s, x + image * s.h * s.w * s.c, row, y + (image * s.oh + row) * s.ow * s.c);
  });
}

template <class T>
void avg_pool2d_grad(const AvgPool2dShape& s, const T* dy, T* dx) {
  for_images(s, [&](Index image) {
    T* out = dx + image * s.h * s.w * s.c;
    std::fill_n(out, s.h * s.w * s.c, T{0});
    for (Index row = 0; row < s.oh; ++row) {
      table<T>().avg_grad_row(s, dy + (image * s.oh + row) * s.ow * s.c, row, out);
    }
  });
}

template void max_pool2d(const MaxPool2dShape&, const float*, float*, std::uint8_t*);
template void max_pool2d(const MaxPool2dShape&, const double*, double*, std::uint8_t*);
template void max_pool2d_scatter(const MaxPool2dShape&, const float*, const std::uint8_t*, float*);
template void max_pool2d_scatter(const MaxPool2dShape&, const double*, const std::uint8_t*, double*);
template void max_pool2d_gather(const MaxPool2dShape&, const float*, const std::uint8_t*, float*);
template void max_pool2d_gather(const MaxPool2dShape&, const double*, const std::uint8_t*, double*);
template void avg_pool2d(const AvgPool2dShape&, const float*, float*);
template void avg_pool2d(const AvgPool2dShape&, const double*, double*);
template void avg_pool2d_grad(const AvgPool2dShape&, const float*, float*);
template void avg_pool2d_grad(const AvgPool2dShape&, const double*, double*);

}  // namespace tapestry::kernels
#endif
