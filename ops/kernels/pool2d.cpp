#include <tapestry/ops/kernels/simd/targets.h>

#undef HWY_TARGET_INCLUDE
#define HWY_TARGET_INCLUDE "tapestry/ops/kernels/pool2d.cpp"
#include <hwy/foreach_target.h>

#include <tapestry/ops/kernels/simd/vectors-inl.h>

#include <algorithm>
#include <limits>
#include <type_traits>

#include <tapestry/ops/kernels/base/tuning.h>
#include <tapestry/ops/kernels/pool2d.h>
#include <tapestry/ops/kernels/simd/prefetch.h>

#ifndef TAPESTRY_POOL2D_ONCE
#define TAPESTRY_POOL2D_ONCE
namespace tapestry::kernels {
namespace {

/// The loops for one instruction set: one output row of one image each. The gradients come twice: `add` to an image of
/// zeros, for windows that overlap; `write` all input rows from that of the window to `end`, where none do.
template <class T, class Tap>
struct MaxPool2dTable {
  void (*max_row)(const Pool2dShape&, const T* image, Index row, T* y, Tap* tap);
  void (*add_row)(const Pool2dShape&, const T* dy, const Tap* tap, Index row, T* image);
  void (*write_row)(const Pool2dShape&, const T* dy, const Tap* tap, Index row, T* image);
  void (*gather_row)(const Pool2dShape&, const T* image, const Tap* tap, Index row, T* y);
};

template <class T>
struct AvgPool2dTable {
  void (*avg_row)(const Pool2dShape&, const T* image, Index row, T* y);
  void (*add_row)(const Pool2dShape&, const T* dy, Index row, T* image);
  void (*write_row)(const Pool2dShape&, const T* dy, Index row, T* image);
};

}  // namespace
}  // namespace tapestry::kernels
#endif

HWY_BEFORE_NAMESPACE();
namespace tapestry::kernels {
namespace HWY_NAMESPACE {
namespace {

namespace hn = hwy::HWY_NAMESPACE;

template <class D>
using Numbers = hn::RebindToUnsigned<D>;  // as wide as T: one mask serves values and tap numbers

template <class D, class Tap>
HWY_INLINE auto load_taps(D /*tag*/, const Tap* tap) {
  const Numbers<D> numbers;
  if constexpr (sizeof(Tap) == sizeof(hn::TFromD<D>)) {
    return hn::BitCast(numbers, hn::LoadU(hn::RebindToSigned<D>(), tap));
  } else if constexpr (sizeof(Tap) == 1 && sizeof(hn::TFromD<D>) == 8) {
    const hn::Rebind<std::uint32_t, D> half;
    return hn::PromoteTo(numbers, hn::PromoteTo(half, hn::LoadU(hn::Rebind<Tap, D>(), tap)));
  } else if constexpr (sizeof(Tap) == 1) {
    return hn::PromoteTo(numbers, hn::LoadU(hn::Rebind<Tap, D>(), tap));
  } else {
    return hn::BitCast(numbers, hn::PromoteTo(hn::RebindToSigned<D>(), hn::LoadU(hn::Rebind<Tap, D>(), tap)));
  }
}

template <class D, class V, class Tap>
HWY_INLINE void store_taps(D /*tag*/, V numbers, Tap* tap) {
  if constexpr (sizeof(Tap) == sizeof(hn::TFromD<D>)) {
    const hn::RebindToSigned<D> same;
    hn::StoreU(hn::BitCast(same, numbers), same, tap);
  } else {
    const hn::Rebind<std::make_unsigned_t<Tap>, D> narrow;
    hn::StoreU(hn::TruncateTo(narrow, numbers), narrow, reinterpret_cast<std::make_unsigned_t<Tap>*>(tap));
  }
}

/// f(number of the tap, offset of its pixel in the image, in elements) over the taps of a window.
template <class F>
HWY_INLINE void for_taps(const Pool2dShape& s, Index row, Index column, const F& f) {
  const PoolWindow& h = s.rows[row];
  const PoolWindow& v = s.columns[column];
  Index number_h = h.first * s.kernel_w + v.first;
  for (Index i = h.begin; i < h.end; i += s.dilation_h, number_h += s.kernel_w) {
    Index number = number_h;
    for (Index j = v.begin; j < v.end; j += s.dilation_w, ++number) f(number, (i * s.w + j) * s.c);
  }
}

template <class T, class Tap>
void max_row(const Pool2dShape& s, const T* image, Index row, T* y, Tap* tap) {
  for (Index column = 0; column < s.ow; ++column) {
    const Index first = s.rows[row].first * s.kernel_w + s.columns[column].first;
    for_vectors<T>(s.c, [&](auto d, Index c) HWY_ATTR {
      const Numbers<decltype(d)> numbers;
      using Number = hn::TFromD<Numbers<decltype(d)>>;
      auto best = hn::Set(d, -std::numeric_limits<T>::infinity());
      auto at = hn::Set(numbers, static_cast<Number>(first));
      for_taps(s, row, column, [&](Index number, Index pixel) HWY_ATTR {
        prefetch_behind(image + pixel + c);
        const auto x = hn::LoadU(d, image + pixel + c);
        const auto take = hn::Or(hn::Gt(x, best), hn::IsNaN(x));
        best = hn::IfThenElse(take, x, best);
        at = hn::IfThenElse(hn::RebindMask(numbers, take), hn::Set(numbers, static_cast<Number>(number)), at);
      });
      hn::StoreU(best, d, y + column * s.c + c);
      if (tap != nullptr) store_taps(d, at, tap + column * s.c + c);
    });
  }
}

/// dy where the window chose tap `number`, else 0.
template <class D, class V, class N>
HWY_INLINE V chosen(D d, V dy, N taps, Index number) {
  const Numbers<D> numbers;
  const auto here = hn::Eq(taps, hn::Set(numbers, static_cast<hn::TFromD<Numbers<D>>>(number)));
  return hn::IfThenElseZero(hn::RebindMask(d, here), dy);
}

template <class T, class Tap>
void max_add_row(const Pool2dShape& s, const T* dy, const Tap* tap, Index row, T* image) {
  for (Index column = 0; column < s.ow; ++column) {
    for_vectors<T>(s.c, [&](auto d, Index c) HWY_ATTR {
      const auto from = hn::LoadU(d, dy + column * s.c + c);
      const auto taps = load_taps(d, tap + column * s.c + c);
      for_taps(s, row, column, [&](Index number, Index pixel) HWY_ATTR {
        T* to = image + pixel + c;
        hn::StoreU(hn::Add(hn::LoadU(d, to), chosen(d, from, taps, number)), d, to);
      });
    });
  }
}

/// Zeros in the pixels of a band of input rows that belong to no window, up to the end of the row of windows.
template <class T>
HWY_INLINE void clear_gaps(const Pool2dShape& s, Index row, T* image) {
  const PoolWindow& h = s.rows[row];
  const Index begin = row == 0 ? 0 : s.rows[row - 1].end;
  const Index end = row + 1 == s.oh ? s.h : h.end;
  std::fill(image + begin * s.w * s.c, image + h.begin * s.w * s.c, T{0});
  std::fill(image + h.end * s.w * s.c, image + end * s.w * s.c, T{0});
  for (Index i = h.begin; i < h.end; ++i) {
    T* line = image + i * s.w * s.c;
    Index clear = 0;
    for (Index column = 0; column < s.ow; ++column) {
      const PoolWindow& v = s.columns[column];
      std::fill(line + clear * s.c, line + v.begin * s.c, T{0});
      clear = v.end;
    }
    std::fill(line + clear * s.c, line + s.w * s.c, T{0});
  }
}

template <class T, class Tap>
void max_write_row(const Pool2dShape& s, const T* dy, const Tap* tap, Index row, T* image) {
  clear_gaps(s, row, image);
  for (Index column = 0; column < s.ow; ++column) {
    for_vectors<T>(s.c, [&](auto d, Index c) HWY_ATTR {
      const auto from = hn::LoadU(d, dy + column * s.c + c);
      const auto taps = load_taps(d, tap + column * s.c + c);
      for_taps(s, row, column, [&](Index number, Index pixel) HWY_ATTR {
        hn::StoreU(chosen(d, from, taps, number), d, image + pixel + c);
      });
    });
  }
}

template <class T, class Tap>
void max_gather_row(const Pool2dShape& s, const T* image, const Tap* tap, Index row, T* y) {
  for (Index column = 0; column < s.ow; ++column) {
    for_vectors<T>(s.c, [&](auto d, Index c) HWY_ATTR {
      const Numbers<decltype(d)> numbers;
      const auto taps = load_taps(d, tap + column * s.c + c);
      auto out = hn::Zero(d);
      for_taps(s, row, column, [&](Index number, Index pixel) HWY_ATTR {
        const auto here = hn::Eq(taps, hn::Set(numbers, static_cast<hn::TFromD<Numbers<decltype(d)>>>(number)));
        out = hn::IfThenElse(hn::RebindMask(d, here), hn::LoadU(d, image + pixel + c), out);
      });
      hn::StoreU(out, d, y + column * s.c + c);
    });
  }
}

template <class T>
HWY_INLINE T divisor(const Pool2dShape& s, Index row, Index column) {
  return static_cast<T>(s.rows[row].count * s.columns[column].count);
}

/// y[c] = mean over the window, for `Vectors` vectors of channels: a pixel's cache lines are read one after another.
template <int Vectors, class D, class T = hn::TFromD<D>>
HWY_INLINE void avg_window(D d, const Pool2dShape& s, const PoolWindow& h, const PoolWindow& v, const T* image, T count,
                           T* y) {
  const auto lanes = static_cast<Index>(hn::Lanes(d));
  hn::Vec<D> sum[Vectors];
  for (auto& of_vector : sum) of_vector = hn::Zero(d);
  for (Index i = h.begin; i < h.end; ++i) {
    hn::Vec<D> line[Vectors];  // rows of the window first: errors grow with its height + width, not with its area
    for (auto& of_vector : line) of_vector = hn::Zero(d);
    const T* x = image + (i * s.w + v.begin) * s.c;
    for (Index j = v.begin; j < v.end; ++j, x += s.c) {
      for (int k = 0; k < Vectors; ++k) line[k] = hn::Add(line[k], hn::LoadU(d, x + k * lanes));
    }
    for (int k = 0; k < Vectors; ++k) sum[k] = hn::Add(sum[k], line[k]);
  }
  for (int k = 0; k < Vectors; ++k) hn::StoreU(hn::Div(sum[k], hn::Set(d, count)), d, y + k * lanes);
}

template <class T>
void avg_row(const Pool2dShape& s, const T* image, Index row, T* y) {
  const hn::ScalableTag<T> d;
  const hn::CappedTag<T, 1> single;
  const auto lanes = static_cast<Index>(hn::Lanes(d));
  const PoolWindow& h = s.rows[row];
  for (Index column = 0; column < s.ow; ++column, y += s.c) {
    const PoolWindow& v = s.columns[column];
    const T count = divisor<T>(s, row, column);
    Index c = 0;
    for (; c + 4 * lanes <= s.c; c += 4 * lanes) avg_window<4>(d, s, h, v, image + c, count, y + c);
    for (; c + lanes <= s.c; c += lanes) avg_window<1>(d, s, h, v, image + c, count, y + c);
    for (; c < s.c; ++c) avg_window<1>(single, s, h, v, image + c, count, y + c);
  }
}

template <class T>
void avg_add_row(const Pool2dShape& s, const T* dy, Index row, T* image) {
  for (Index column = 0; column < s.ow; ++column) {
    const T count = divisor<T>(s, row, column);
    for_vectors<T>(s.c, [&](auto d, Index c) HWY_ATTR {
      const auto share = hn::Div(hn::LoadU(d, dy + column * s.c + c), hn::Set(d, count));
      for_taps(s, row, column, [&](Index, Index pixel) HWY_ATTR {
        T* to = image + pixel + c;
        hn::StoreU(hn::Add(hn::LoadU(d, to), share), d, to);
      });
    });
  }
}

template <class T>
void avg_write_row(const Pool2dShape& s, const T* dy, Index row, T* image) {
  clear_gaps(s, row, image);
  for (Index column = 0; column < s.ow; ++column) {
    const T count = divisor<T>(s, row, column);
    // The first pixel of the window, which the others are copies of.
    T* const first = image + (s.rows[row].begin * s.w + s.columns[column].begin) * s.c;
    for_vectors<T>(s.c, [&](auto d, Index c) HWY_ATTR {
      hn::StoreU(hn::Div(hn::LoadU(d, dy + column * s.c + c), hn::Set(d, count)), d, first + c);
    });
    for_taps(s, row, column, [&](Index, Index pixel) HWY_ATTR {
      T* const to = image + pixel;
      if (to != first)
        for_vectors<T>(s.c, [=](auto d, Index c) HWY_ATTR { hn::StoreU(hn::LoadU(d, first + c), d, to + c); });
    });
  }
}

template <class T, class Tap>
const void* max_table() {
  static constexpr MaxPool2dTable<T, Tap> table{max_row<T, Tap>, max_add_row<T, Tap>, max_write_row<T, Tap>,
                                                max_gather_row<T, Tap>};
  return &table;
}

template <class T>
const void* avg_table() {
  static constexpr AvgPool2dTable<T> table{avg_row<T>, avg_add_row<T>, avg_write_row<T>};
  return &table;
}

}  // namespace

const void* max_pool2d_table(bool is_double, bool wide_taps) {
  if (is_double) return wide_taps ? max_table<double, std::int32_t>() : max_table<double, std::uint8_t>();
  return wide_taps ? max_table<float, std::int32_t>() : max_table<float, std::uint8_t>();
}

const void* avg_pool2d_table(bool is_double) { return is_double ? avg_table<double>() : avg_table<float>(); }

}  // namespace HWY_NAMESPACE
}  // namespace tapestry::kernels
HWY_AFTER_NAMESPACE();

#if HWY_ONCE
namespace tapestry::kernels {
namespace {

HWY_EXPORT(max_pool2d_table);
HWY_EXPORT(avg_pool2d_table);

template <class T, class Tap>
const MaxPool2dTable<T, Tap>& max_loops() {
  const void* table = HWY_DYNAMIC_DISPATCH(max_pool2d_table)(std::is_same_v<T, double>, sizeof(Tap) > 1);
  return *static_cast<const MaxPool2dTable<T, Tap>*>(table);
}

template <class T>
const AvgPool2dTable<T>& avg_loops() {
  return *static_cast<const AvgPool2dTable<T>*>(HWY_DYNAMIC_DISPATCH(avg_pool2d_table)(std::is_same_v<T, double>));
}

/// f(image, row) over all output rows, one after another within a task.
template <class F>
void for_rows(const Pool2dShape& s, const F& f) {
  const Index work = std::max(s.h * s.w, s.oh * s.ow) * s.c / std::max<Index>(1, s.oh);
  parallel_for(s.n * s.oh, tuning::rows_per_task(work), [&](Index begin, Index end) {
    for (Index i = begin; i < end; ++i) f(i / s.oh, i % s.oh);
  });
}

bool are_disjoint(const PoolWindow* windows, Index n) {
  for (Index i = 1; i < n; ++i) {
    if (windows[i].begin < windows[i - 1].end) return false;
  }
  return true;
}

/// The transpose of a pooling. Windows that meet no other write their part of dx; else whole images are summed up, each
/// by one task and in order, in rows cleared just before they are needed. add and write: (image, row, dx of the image).
template <class T, class Add, class Write>
void spread(const Pool2dShape& s, T* dx, const Add& add, const Write& write) {
  const Index size = s.h * s.w * s.c;
  if (s.dilation_h == 1 && s.dilation_w == 1 && are_disjoint(s.rows, s.oh) && are_disjoint(s.columns, s.ow)) {
    for_rows(s, [&](Index image, Index row) { write(image, row, dx + image * size); });
    return;
  }
  parallel_for(s.n, tuning::rows_per_task(size), [&](Index begin, Index end) {
    for (Index image = begin; image < end; ++image) {
      T* out = dx + image * size;
      Index cleared = 0;
      for (Index row = 0; row < s.oh; ++row) {
        const Index needed = row + 1 == s.oh ? s.h : std::max(cleared, s.rows[row].end);
        std::fill(out + cleared * s.w * s.c, out + needed * s.w * s.c, T{0});
        cleared = needed;
        add(image, row, out);
      }
    }
  });
}

/// Where an output row of an image begins.
Index output_at(const Pool2dShape& s, Index image, Index row) { return (image * s.oh + row) * s.ow * s.c; }

}  // namespace

template <class T, class Tap>
void max_pool2d(const Pool2dShape& s, const T* x, T* y, Tap* tap) {
  for_rows(s, [&, &loops = max_loops<T, Tap>()](Index image, Index row) {
    const Index at = output_at(s, image, row);
    loops.max_row(s, x + image * s.h * s.w * s.c, row, y + at, tap == nullptr ? nullptr : tap + at);
  });
}

template <class T, class Tap>
void max_pool2d_scatter(const Pool2dShape& s, const T* dy, const Tap* tap, T* dx) {
  const auto& loops = max_loops<T, Tap>();
  const auto with = [&](auto row_loop) {
    return [&s, dy, tap, row_loop](Index image, Index row, T* out) {
      const Index at = output_at(s, image, row);
      row_loop(s, dy + at, tap + at, row, out);
    };
  };
  spread(s, dx, with(loops.add_row), with(loops.write_row));
}

template <class T, class Tap>
void max_pool2d_gather(const Pool2dShape& s, const T* x, const Tap* tap, T* y) {
  for_rows(s, [&, &loops = max_loops<T, Tap>()](Index image, Index row) {
    const Index at = output_at(s, image, row);
    loops.gather_row(s, x + image * s.h * s.w * s.c, tap + at, row, y + at);
  });
}

template <class T>
void avg_pool2d(const Pool2dShape& s, const T* x, T* y) {
  for_rows(s, [&, &loops = avg_loops<T>()](Index image, Index row) {
    loops.avg_row(s, x + image * s.h * s.w * s.c, row, y + output_at(s, image, row));
  });
}

template <class T>
void avg_pool2d_grad(const Pool2dShape& s, const T* dy, T* dx) {
  const auto& loops = avg_loops<T>();
  const auto with = [&](auto row_loop) {
    return [&s, dy, row_loop](Index image, Index row, T* out) { row_loop(s, dy + output_at(s, image, row), row, out); };
  };
  spread(s, dx, with(loops.add_row), with(loops.write_row));
}

template void max_pool2d<float, std::uint8_t>(const Pool2dShape&, const float*, float*, std::uint8_t*);
template void max_pool2d_scatter<float, std::uint8_t>(const Pool2dShape&, const float*, const std::uint8_t*, float*);
template void max_pool2d_gather<float, std::uint8_t>(const Pool2dShape&, const float*, const std::uint8_t*, float*);
template void max_pool2d<float, std::int32_t>(const Pool2dShape&, const float*, float*, std::int32_t*);
template void max_pool2d_scatter<float, std::int32_t>(const Pool2dShape&, const float*, const std::int32_t*, float*);
template void max_pool2d_gather<float, std::int32_t>(const Pool2dShape&, const float*, const std::int32_t*, float*);
template void max_pool2d<double, std::uint8_t>(const Pool2dShape&, const double*, double*, std::uint8_t*);
template void max_pool2d_scatter<double, std::uint8_t>(const Pool2dShape&, const double*, const std::uint8_t*, double*);
template void max_pool2d_gather<double, std::uint8_t>(const Pool2dShape&, const double*, const std::uint8_t*, double*);
template void max_pool2d<double, std::int32_t>(const Pool2dShape&, const double*, double*, std::int32_t*);
template void max_pool2d_scatter<double, std::int32_t>(const Pool2dShape&, const double*, const std::int32_t*, double*);
template void max_pool2d_gather<double, std::int32_t>(const Pool2dShape&, const double*, const std::int32_t*, double*);
template void avg_pool2d<float>(const Pool2dShape&, const float*, float*);
template void avg_pool2d<double>(const Pool2dShape&, const double*, double*);
template void avg_pool2d_grad<float>(const Pool2dShape&, const float*, float*);
template void avg_pool2d_grad<double>(const Pool2dShape&, const double*, double*);

}  // namespace tapestry::kernels
#endif
