#pragma once

#include <tapestry/autograd/memory/scratch.h>
#include <tapestry/ops/kernels/conv2d/shape.h>

/// Which input coordinates feed an output coordinate, along one axis. Private to ops/kernels.
///
/// The convolution and its input gradient differ in nothing else: both gather, for every output pixel, some input
/// pixels times some kernel taps. So stride, dilation, padding, flipping and the parity classes of a strided gradient
/// are all worked out here, once per call, and the loops over pixels only walk these lists.
namespace tapestry::kernels {

/// `count` input coordinates from `input` on, one after the other, times the kernel coordinates from `tap` on.
struct TapRun {
  Index input, tap, count;
};

/// Consecutive outputs in steps of `step` that use the same kernel coordinates, their inputs moving on by the table's
/// shift.
struct PixelRun {
  Index first, count;
};

class TapTable {
 public:
  /// Runs of output coordinate o.
  struct Runs {
    const TapRun *first, *last;
    [[nodiscard]] const TapRun* begin() const { return first; }
    [[nodiscard]] const TapRun* end() const { return last; }
  };

  /// Of the convolution: output o reads o stride - pad + t dilation. With `merge`, adjacent taps become one run.
  static TapTable forward(Index outputs, Index inputs, Index kernel, Index stride, Index pad, Index dilation,
                          bool merge);
  /// Of its input gradient, which reads dy and has the extents swapped: i reads (i + pad - t dilation) / stride where
  /// that is whole. Kernel coordinates are counted from the far end, so that both run upwards.
  static TapTable input_grad(Index outputs, Index inputs, Index kernel, Index stride, Index pad, Index dilation,
                             bool merge);

  [[nodiscard]] Index outputs() const { return static_cast<Index>(first_.size()) - 1; }
  [[nodiscard]] Runs operator[](Index o) const {
    return {runs_.data() + first_[at(o)], runs_.data() + first_[at(o + 1)]};
  }
  [[nodiscard]] const CountedVector<PixelRun>& pixel_runs() const { return pixel_runs_; }
  [[nodiscard]] Index step() const { return step_; }
  [[nodiscard]] Index shift() const { return shift_; }
  [[nodiscard]] Index longest() const { return longest_; }  ///< the most runs of any output
  [[nodiscard]] Index taps() const { return taps_; }        ///< of all outputs together

 private:
  static std::size_t at(Index i) { return static_cast<std::size_t>(i); }
  TapTable(Index step, Index shift) : first_{0}, step_(step), shift_(shift) {}
  void add_tap(Index input, Index tap, bool merge);
  void end_output();
  void find_pixel_runs();
  [[nodiscard]] bool continues(Index o) const;

  CountedVector<TapRun> runs_;
  CountedVector<std::size_t> first_;
  CountedVector<PixelRun> pixel_runs_;
  Index step_, shift_, longest_ = 0, taps_ = 0;
};

}  // namespace tapestry::kernels
