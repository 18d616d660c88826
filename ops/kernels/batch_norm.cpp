// Few channels would leave vectors half empty, so several rows are treated as one wide row of `repeat` * channels
// columns; the sums of the repeats are merged at the end.
#include <tapestry/ops/kernels/batch_norm.h>

#include <tapestry/autograd/memory/scratch.h>
#include <tapestry/ops/kernels/base/tuning.h>
#include <tapestry/ops/kernels/batch_norm_loops.h>
#include <tapestry/ops/kernels/elementwise.h>
#include <tapestry/ops/kernels/simd/bf16.h>
#include <tapestry/ops/kernels/simd/prefetch.h>

#include <algorithm>
#include <type_traits>

namespace tapestry::kernels {

namespace {

/// The loops for what is stored as T.
template <class T>
const BatchNormLoops<ComputeType<T>>& loops() {
  return batch_norm_loops<ComputeType<T>>();
}

/// A run of elements as the loops read or write it: in place, or as floats in a buffer if they are stored as bfloat16.
template <class T>
class Staged {
  static constexpr bool kInPlace = !std::is_same_v<T, BFloat16>;
  using Compute = ComputeType<T>;

 public:
  /// To be read; null stays null.
  Staged(const T* from, Index n) : buffer_(kInPlace || from == nullptr ? 0 : n), from_(from), n_(n) {
    if constexpr (!kInPlace) {
      if (from == nullptr) return;
      bf16_loops().widen(from, buffer_.data(), n);
      // What comes next is brought nearer while the loops work on the buffer: they would leave memory idle. A quarter
      // of the time of a gradient.
      prefetch(from + n, n);
    }
  }
  [[nodiscard]] const Compute* data() const {
    if constexpr (kInPlace) return from_;
    else return buffer_.data();
  }

  /// To be written: store() brings it to where it belongs.
  [[nodiscard]] static Staged written(Index n) { return Staged(n); }
  [[nodiscard]] Compute* room(T* to) const {
    if constexpr (kInPlace) return to;
    else return to != nullptr ? buffer_.data() : nullptr;
  }
  void store(T* to) const {
    if constexpr (!kInPlace) {
      if (to != nullptr) bf16_loops().narrow(buffer_.data(), to, n_);
    }
  }

 private:
  explicit Staged(Index n) : buffer_(kInPlace ? 0 : n), from_(nullptr), n_(n) {}

  Scratch<Compute> buffer_;
  const T* from_;
  Index n_;
};

/// How [rows, channels] is cut, by the sizes alone.
struct Plan {
  Index channels;
  Index repeat;     ///< rows side by side in a wide one
  Index width;      ///< columns of a wide row
  Index wide_rows;  ///< complete ones
  Index rest;       ///< elements of the last, incomplete one
  Index block;      ///< wide rows of a block
  Index group;      ///< wide rows of a group
  Index groups;

  Plan(Index rows, Index channels_of) : channels(channels_of) {
    constexpr Index narrow = 64;  // columns that fill the vectors of every instruction set
    repeat = std::min(channels < narrow / 2 ? (narrow + channels - 1) / channels : 1, rows);
    width = repeat * channels;
    wide_rows = rows / repeat;
    rest = (rows - wide_rows * repeat) * channels;
    block = std::max<Index>(16, tuning::kNormBlock / width);
    group = block * std::max<Index>(1, tuning::kNormGrain / (block * width));
    groups = (wide_rows + group - 1) / group;
  }

  /// f(first wide row, wide rows) for the blocks of group i.
  template <class F>
  void for_blocks(Index i, const F& f) const {
    const Index end = std::min(wide_rows, (i + 1) * group);
    for (Index row = i * group; row < end; row += block) f(row, std::min(block, end - row));
  }

  /// f(first element, wide rows, columns) for pieces that cover everything, in parallel: for whole groups, or, of what
  /// passes through buffers, for blocks.
  template <class T, class F>
  void for_pieces(const F& f) const {
    parallel_for(groups + (rest > 0 ? 1 : 0), 1, [&](Index begin, Index end) {
      for (Index i = begin; i < end; ++i) {
        if (i == groups) f(wide_rows * width, Index{1}, rest);
        else if (std::is_same_v<T, BFloat16>) for_blocks(i, [&](Index row, Index n) { f(row * width, n, width); });
        else f(i * group * width, std::min(group, wide_rows - i * group), width);
      }
    });
  }
};

/// A per-channel array, once for every row of a wide one.
template <class T>
class Widened {
 public:
  /// Null stays null.
  Widened(const Plan& plan, const T* values)
      : copy_(plan.repeat > 1 && values != nullptr ? plan.width : 0), values_(values) {
    if (plan.repeat == 1 || values == nullptr) return;
    for (Index i = 0; i < plan.repeat; ++i) std::copy_n(values, plan.channels, copy_.data() + i * plan.channels);
    values_ = copy_.data();
  }
  [[nodiscard]] const T* data() const noexcept { return values_; }

 private:
  Scratch<T> copy_;
  const T* values_;
};

/// (count, mean, m2) of two disjoint sets becomes that of their union.
void merge(double& count, double& mean, double& m2, double count_b, double mean_b, double m2_b) {
  const double total = count + count_b;
  const double delta = mean_b - mean;
  mean += delta * (count_b / total);
  m2 += m2_b + delta * delta * (count * (count_b / total));
  count = total;
}

}  // namespace

template <class T>
void channel_moments(const T* x, Index rows, Index channels, double* mean, double* m2) {
  if (channels == 0) return;
  const Plan plan(rows, channels);
  const Index width = plan.width;
  const Scratch<double> partial(plan.groups * 2 * width);  // [groups] x (mean [width], m2 [width])
  std::fill_n(partial.data(), plan.groups * 2 * width, 0.0);
  parallel_for(plan.groups, 1, [&](Index begin, Index end) {
    using Compute = ComputeType<T>;
    const Scratch<Compute> sums(3 * width);
    Compute* const sum = sums.data();
    Compute* const square = sum + width;
    Compute* const block_mean = square + width;
    for (Index i = begin; i < end; ++i) {
      double* const group_mean = partial.data() + i * 2 * width;
      plan.for_blocks(i, [&](Index row, Index count) {
        const Staged<T> block(x + row * width, count * width);
        loops<T>().block_moments(block.data(), count, width, sum, square, block_mean);
        loops<T>().merge_block(block.data(), sum, square, block_mean, count, width,
                               static_cast<double>(row - i * plan.group), group_mean, group_mean + width);
      });
    }
  });
  const Staged<T> last(x + plan.wide_rows * width, plan.rest);
  const ComputeType<T>* const rest = last.data();
  for (Index c = 0; c < channels; ++c) {
    double count = 0;
    mean[c] = 0;
    m2[c] = 0;
    for (Index i = 0; i < plan.groups; ++i) {
      const double* const group_mean = partial.data() + i * 2 * width;
      const auto of_group = static_cast<double>(std::min(plan.group, plan.wide_rows - i * plan.group));
      for (Index w = c; w < width; w += channels)
        merge(count, mean[c], m2[c], of_group, group_mean[w], group_mean[width + w]);
    }
    for (Index w = c; w < plan.rest; w += channels) merge(count, mean[c], m2[c], 1, static_cast<double>(rest[w]), 0);
  }
}

template <class T>
void channel_affine(const T* x, Index rows, Index channels, const ComputeType<T>* mean, const ComputeType<T>* scale,
                    const ComputeType<T>* shift, const T* residual, bool relu, T* y) {
  if (rows * channels == 0) return;
  const Plan plan(rows, channels);
  const Widened<ComputeType<T>> means(plan, mean), scales(plan, scale), shifts(plan, shift);
  plan.for_pieces<T>([&](Index at, Index count, Index width) {
    if constexpr (std::is_same_v<T, BFloat16>) {
      const Staged<T> from(x + at, count * width);
      const auto to = Staged<T>::written(count * width);
      loops<T>().affine(from.data(), count, width, means.data(), scales.data(), shifts.data(), nullptr,
                        relu && residual == nullptr, to.room(y + at));
      to.store(y + at);
      if (residual == nullptr) return;
      // The map is rounded before the sum, as it would be if somebody had looked at it: the bits do not depend on that.
      const Staged<T> map(y + at, count * width), beside(residual + at, count * width);
      const auto sum = Staged<T>::written(count * width);
      binary(Binary::add, Broadcast(count * width, 1, 1), map.data(), beside.data(), sum.room(y + at));
      if (!relu) return sum.store(y + at);
      unary(Unary::relu, sum.room(y + at), to.room(y + at), count * width);
      to.store(y + at);
    } else {
      loops<T>().affine(x + at, count, width, means.data(), scales.data(), shifts.data(),
                        residual != nullptr ? residual + at : nullptr, relu, y + at);
    }
  });
}

namespace {

/// A mask over wide rows.
template <class T>
class WidenedMask {
  using Compute = ComputeType<T>;

 public:
  WidenedMask(const Plan& plan, const ReluMask<T>& mask)
      : mask_(mask), scale_(plan, mask.scale), shift_(plan, mask.shift) {}

  /// f(the mask for the n elements from `at` on).
  template <class F>
  void with(Index at, Index n, const F& f) const {
    if (mask_.y == nullptr) return f(ReluMask<Compute>{.scale = scale_.data(), .shift = shift_.data()});
    T* const masked = mask_.masked != nullptr ? mask_.masked + at : nullptr;
    const Staged<T> y(mask_.y + at, n);
    const auto out = Staged<T>::written(masked != nullptr ? n : 0);
    f(ReluMask<Compute>{.y = y.data(), .masked = out.room(masked)});
    out.store(masked);
  }

 private:
  ReluMask<T> mask_;
  Widened<Compute> scale_, shift_;
};

}  // namespace

template <class T>
void channel_gradient_sums(const T* x, const T* dy, Index rows, Index channels, const ComputeType<T>* mean,
                           const ReluMask<T>& mask, double* sum_dy, double* sum_dy_x) {
  std::fill_n(sum_dy, channels, 0.0);
  std::fill_n(sum_dy_x, channels, 0.0);
  if (rows * channels == 0) return;
  const Plan plan(rows, channels);
  const Index width = plan.width;
  const Widened<ComputeType<T>> means(plan, mean);
  const WidenedMask<T> masks(plan, mask);
  const Scratch<double> partial(plan.groups * 2 * width);
  std::fill_n(partial.data(), plan.groups * 2 * width, 0.0);
  parallel_for(plan.groups, 1, [&](Index begin, Index end) {
    const Scratch<ComputeType<T>> sums(2 * width);
    for (Index i = begin; i < end; ++i) {
      double* const of_group = partial.data() + i * 2 * width;
      plan.for_blocks(i, [&](Index row, Index count) {
        const Staged<T> from(x + row * width, count * width), gradient(dy + row * width, count * width);
        masks.with(row * width, count * width, [&](const auto& of_block) {
          loops<T>().gradient_sums(from.data(), gradient.data(), count, width, means.data(), of_block, sums.data(),
                                   sums.data() + width);
        });
        for (Index w = 0; w < 2 * width; ++w) of_group[w] += static_cast<double>(sums[w]);
      });
    }
  });
  for (Index i = 0; i < plan.groups; ++i) {
    const double* const of_group = partial.data() + i * 2 * width;
    for (Index r = 0; r < plan.repeat; ++r) {
      for (Index c = 0; c < channels; ++c) {
        sum_dy[c] += of_group[r * channels + c];
        sum_dy_x[c] += of_group[width + r * channels + c];
      }
    }
  }
  if (plan.rest == 0) return;
  // The last, incomplete wide row: every column is one element.
  const Index at = plan.wide_rows * width;
  const Scratch<ComputeType<T>> sums(2 * plan.rest);
  ComputeType<T>* const sum_x = sums.data() + plan.rest;
  const Staged<T> from(x + at, plan.rest), gradient(dy + at, plan.rest);
  masks.with(at, plan.rest, [&](const auto& of_rest) {
    loops<T>().gradient_sums(from.data(), gradient.data(), 1, plan.rest, means.data(), of_rest, sums.data(), sum_x);
  });
  for (Index w = 0; w < plan.rest; ++w) {
    sum_dy[w % channels] += static_cast<double>(sums[w]);
    sum_dy_x[w % channels] += static_cast<double>(sum_x[w]);
  }
}

template <class T>
void channel_gradient(const T* x, const T* dy, Index rows, Index channels, const ComputeType<T>* mean,
                      const ReluMask<T>& mask, const ComputeType<T>* scale, const ComputeType<T>* offset,
                      const ComputeType<T>* slope, T* dx) {
  if (rows * channels == 0) return;
  const Plan plan(rows, channels);
  const Widened<ComputeType<T>> means(plan, mean), scales(plan, scale), offsets(plan, offset), slopes(plan, slope);
  const WidenedMask<T> masks(plan, mask);
  plan.for_pieces<T>([&](Index at, Index count, Index width) {
    const Staged<T> from(x + at, count * width), gradient(dy + at, count * width);
    const auto to = Staged<T>::written(count * width);
    masks.with(at, count * width, [&](const auto& of_piece) {
      loops<T>().gradient(from.data(), gradient.data(), count, width, means.data(), of_piece, scales.data(),
                          offsets.data(), slopes.data(), to.room(dx + at));
    });
    to.store(dx + at);
  });
}

template <class T>
void channel_scale(const T* x, const T* dy, Index rows, Index channels, const ComputeType<T>* mean,
                   const ReluMask<T>& mask, const ComputeType<T>* scale, T* dx) {
  if (rows * channels == 0) return;
  const Plan plan(rows, channels);
  const Widened<ComputeType<T>> means(plan, mean), scales(plan, scale);
  const WidenedMask<T> masks(plan, mask);
  plan.for_pieces<T>([&](Index at, Index count, Index width) {
    const Staged<T> from(x != nullptr ? x + at : nullptr, count * width), gradient(dy + at, count * width);
    const auto to = Staged<T>::written(count * width);
    masks.with(at, count * width, [&](const auto& of_piece) {
      loops<T>().scale(from.data(), gradient.data(), count, width, means.data(), of_piece, scales.data(),
                       to.room(dx + at));
    });
    to.store(dx + at);
  });
}

template void channel_moments(const float*, Index, Index, double*, double*);
template void channel_moments(const double*, Index, Index, double*, double*);
template void channel_affine(const float*, Index, Index, const float*, const float*, const float*, const float*, bool,
                             float*);
template void channel_affine(const double*, Index, Index, const double*, const double*, const double*, const double*,
                             bool, double*);
template void channel_gradient_sums(const float*, const float*, Index, Index, const float*, const ReluMask<float>&,
                                    double*, double*);
template void channel_gradient_sums(const double*, const double*, Index, Index, const double*, const ReluMask<double>&,
                                    double*, double*);
template void channel_gradient(const float*, const float*, Index, Index, const float*, const ReluMask<float>&,
                               const float*, const float*, const float*, float*);
template void channel_gradient(const double*, const double*, Index, Index, const double*, const ReluMask<double>&,
                               const double*, const double*, const double*, double*);
template void channel_scale(const float*, const float*, Index, Index, const float*, const ReluMask<float>&,
                            const float*, float*);
template void channel_scale(const double*, const double*, Index, Index, const double*, const ReluMask<double>&,
                            const double*, double*);
template void channel_moments(const BFloat16*, Index, Index, double*, double*);
template void channel_affine(const BFloat16*, Index, Index, const float*, const float*, const float*, const BFloat16*,
                             bool, BFloat16*);
template void channel_gradient_sums(const BFloat16*, const BFloat16*, Index, Index, const float*,
                                    const ReluMask<BFloat16>&, double*, double*);
template void channel_gradient(const BFloat16*, const BFloat16*, Index, Index, const float*, const ReluMask<BFloat16>&,
                               const float*, const float*, const float*, BFloat16*);
template void channel_scale(const BFloat16*, const BFloat16*, Index, Index, const float*, const ReluMask<BFloat16>&,
                            const float*, BFloat16*);

}  // namespace tapestry::kernels
