#include <tapestry/ops/interpolate.h>

#include <algorithm>
#include <cmath>
#include <memory>

#include <tapestry/autograd/base/check.h>
#include <tapestry/autograd/base/extent.h>
#include <tapestry/autograd/memory/scratch.h>
#include <tapestry/autograd/record.h>
#include <tapestry/ops/cast.h>
#include <tapestry/ops/detail/common.h>
#include <tapestry/ops/kernels/resample.h>
#include <tapestry/ops/pool2d.h>
#include <tapestry/ops/shape_ops.h>

namespace tapestry {
namespace {

using Mode = InterpolateMode;

constexpr const char* kOp = "interpolate";

/// A linear map along one axis: each output is a sum of neighbouring inputs with weights.
class Axis {
 public:
  Axis(Index inputs, Index outputs) : inputs_(inputs) {
    begins_.reserve(static_cast<std::size_t>(outputs));
    ends_.reserve(static_cast<std::size_t>(outputs));
  }

  /// The next output: a sum of inputs begin, begin + 1, ... with weights that follow by add_weight().
  void begin_output(Index begin) {
    begins_.push_back(begin);
    ends_.push_back(static_cast<Index>(weights_.size()));
  }
  void add_weight(double weight) {
    weights_.push_back(weight);
    ++ends_.back();
  }

  [[nodiscard]] Index inputs() const { return inputs_; }
  [[nodiscard]] Index outputs() const { return static_cast<Index>(begins_.size()); }

  /// As the kernel wants it; valid as long as this.
  [[nodiscard]] CountedVector<kernels::ResampleTaps> taps() const {
    CountedVector<kernels::ResampleTaps> taps;
    taps.reserve(begins_.size());
    for (std::size_t i = 0; i < begins_.size(); ++i) {
      const Index from = i == 0 ? 0 : ends_[i - 1];
      taps.push_back({begins_[i], weights_.data() + from, ends_[i] - from});
    }
    return taps;
  }

  /// The transpose: where an input's weights stand in the outputs. Neither begins nor ends of ranges ever move back, so
  /// that the outputs that an input has a share in are neighbours as well.
  [[nodiscard]] Axis transposed() const {
    Axis axis(outputs(), inputs_);
    const CountedVector<kernels::ResampleTaps> own = taps();
    std::size_t first = 0;  // of the outputs, the first one that does not end before this input
    for (Index input = 0; input < inputs_; ++input) {
      while (first < own.size() && own[first].begin + own[first].count <= input) ++first;
      axis.begin_output(std::min(static_cast<Index>(first), outputs() - 1));  // of none, any place will do
      for (std::size_t i = first; i < own.size() && own[i].begin <= input; ++i) {
        axis.add_weight(own[i].weights[input - own[i].begin]);
      }
    }
    return axis;
  }

 private:
  Index inputs_;
  CountedVector<Index> begins_, ends_;
  CountedVector<double> weights_;
};

/// Inputs per output: exact where it follows from the sizes.
struct Step {
  Index in, out;
  std::optional<double> given;  ///< 1 / scale_factor

  [[nodiscard]] double value() const { return given.value_or(static_cast<double>(in) / static_cast<double>(out)); }
  /// floor((i + halves / 2) step).
  [[nodiscard]] Index floor_at(Index i, Index halves) const {
    if (!given) return (2 * i + halves) * in / (2 * out);
    return static_cast<Index>(std::floor((static_cast<double>(i) + 0.5 * static_cast<double>(halves)) * *given));
  }
};

Axis nearest_axis(const Step& s, bool exact) {
  Axis axis(s.in, s.out);
  for (Index i = 0; i < s.out; ++i) {
    axis.begin_output(std::min(s.floor_at(i, exact ? 1 : 0), s.in - 1));
    axis.add_weight(1);
  }
  return axis;
}

/// A weight of 0 is left out: an infinity or a NaN beside a pixel that is hit exactly does not count.
Axis linear_axis(const Step& s, bool align_corners) {
  Axis axis(s.in, s.out);
  const double last = static_cast<double>(s.in - 1);
  const double step = align_corners ? (s.out > 1 ? last / static_cast<double>(s.out - 1) : 0) : s.value();
  for (Index i = 0; i < s.out; ++i) {
    const double at = static_cast<double>(i);
    const double place = std::clamp(align_corners ? at * step : (at + 0.5) * step - 0.5, 0.0, last);
    const double before = std::floor(place);
    axis.begin_output(static_cast<Index>(before));
    axis.add_weight(1 - (place - before));
    if (place > before) axis.add_weight(place - before);
  }
  return axis;
}

/// A triangle as wide as two steps, cut to the image and made to add up to 1.
Axis triangle_axis(const Step& s) {
  const double step = s.value();
  if (step <= 1) return linear_axis(s, false);
  Axis axis(s.in, s.out);
  for (Index i = 0; i < s.out; ++i) {
    const double centre = (static_cast<double>(i) + 0.5) * step - 0.5;  // inside the image, since the step is above 1
    const double lowest = std::floor(centre - step) + 1, highest = std::ceil(centre + step) - 1;  // nearer than a step
    const Index begin = std::max<Index>(0, static_cast<Index>(lowest));
    const Index end = std::min(s.in, static_cast<Index>(std::min(highest, static_cast<double>(s.in))) + 1);
    const auto weight = [&](Index at) { return 1 - std::abs(static_cast<double>(at) - centre) / step; };
    double total = 0;
    for (Index at = begin; at < end; ++at) total += weight(at);
    axis.begin_output(begin);
    for (Index at = begin; at < end; ++at) axis.add_weight(weight(at) / total);
  }
  return axis;
}

Axis axis_of(const Step& s, const InterpolateOptions& o) {
  if (o.mode != Mode::bilinear) return nearest_axis(s, o.mode == Mode::nearest_exact);
  return o.antialias ? triangle_axis(s) : linear_axis(s, o.align_corners);
}

/// Both axes. Rules share two: the map and its transpose.
struct Plan {
  Axis rows, columns;
};
using SharedPlan = std::shared_ptr<const Plan>;

Tensor resample(const char* name, const Tensor& x, const SharedPlan& plan, const SharedPlan& back) {
  const auto rows = plan->rows.taps(), columns = plan->columns.taps();
  const Shape& s = x.shape();
  Tensor y = empty({s[0], plan->rows.outputs(), plan->columns.outputs(), s[3]}, x.dtype());
  const kernels::ResampleShape shape{.n = s[0],
                                     .h = s[1],
                                     .w = s[2],
                                     .c = s[3],
                                     .oh = y.size(1),
                                     .ow = y.size(2),
                                     .rows = rows.data(),
                                     .columns = columns.data()};
  visit_float(x.dtype(), [&]<class T>() { kernels::resample(shape, x.data<T>(), y.mutable_data<T>()); });
  const char* const transposed = name == kOp ? "interpolate_grad" : kOp;
  return record(name, std::move(y),
                wrt(
                    x, [transposed, plan, back](const Tensor& dy) { return resample(transposed, dy, back, plan); },
                    [&](const Tensor& t) { return resample(name, t, plan, back); }));
}

/// The size of the new image.
Pair2 output_size(const Shape& x, const InterpolateOptions& o) {
  if (o.size.has_value() == o.scale_factor.has_value()) {
    throw_invalid("{}: either size or scale_factor must be given; got {}", kOp, o.size ? "both" : "none");
  }
  if (o.size) {
    if (o.size->h < 1 || o.size->w < 1 || o.size->h > kLongestSide || o.size->w > kLongestSide) {
      throw_invalid("{}: the size must be from 1 to 2^40; got {{{}, {}}}", kOp, o.size->h, o.size->w);
    }
    return *o.size;
  }
  const Scale2 factor = *o.scale_factor;
  if (!(factor.h > 0 && std::isfinite(factor.h) && factor.w > 0 && std::isfinite(factor.w))) {
    throw_invalid("{}: scale_factor must be positive and finite; got {{{}, {}}}", kOp, factor.h, factor.w);
  }
  const double h = std::floor(static_cast<double>(x[1]) * factor.h);
  const double w = std::floor(static_cast<double>(x[2]) * factor.w);
  const auto longest = static_cast<double>(kLongestSide);
  if (h < 1 || w < 1 || h > longest || w > longest) {
    throw_invalid("{}: the new image's sides must be from 1 to 2^40; they would be {} and {}", kOp, h, w);
  }
  return {static_cast<Index>(h), static_cast<Index>(w)};
}

void check_factor(const char* op, Index factor) {
  if (factor < 1) throw_invalid("{}: the factor must be at least 1; got {}", op, factor);
}

}  // namespace

Tensor interpolate(const Tensor& x, const InterpolateOptions& o, Here here) {
  const CallSite site(here);
  check_any_float(kOp, x);
  check_image(kOp, x.shape());
  if (x.size(1) == 0 || x.size(2) == 0) throw_invalid("{}: the input must have a pixel; got {}", kOp, x.shape());
  if (o.mode != Mode::bilinear && (o.align_corners || o.antialias)) {
    throw_invalid("{}: {} must stand beside InterpolateMode::bilinear; got another mode", kOp,
                  o.align_corners ? "align_corners" : "antialias");
  }
  if (o.align_corners && o.antialias) {
    throw_invalid("{}: antialias must stand without align_corners; got both", kOp);
  }
  const Pair2 size = output_size(x.shape(), o);
  if (o.mode == Mode::area) return adaptive_avg_pool2d(x, size);
  if (x.dtype() == bf16) return to(interpolate(to(x, f32), o), bf16);
  // Places are found in whole numbers, up to twice the product of both sizes.
  static_cast<void>(checked_product(kOp, 2 * size.h + 1, x.size(1)));
  static_cast<void>(checked_product(kOp, 2 * size.w + 1, x.size(2)));
  static_cast<void>(Shape{x.size(0), size.h, size.w, x.size(3)});  // refused before its axes are made
  const auto given = [&](double Scale2::*side) {
    return o.scale_factor ? std::optional<double>(1 / (*o.scale_factor.*side)) : std::nullopt;
  };
  const auto plan = std::make_shared<const Plan>(
      Plan{axis_of({x.size(1), size.h, given(&Scale2::h)}, o), axis_of({x.size(2), size.w, given(&Scale2::w)}, o)});
  const auto back = std::make_shared<const Plan>(Plan{plan->rows.transposed(), plan->columns.transposed()});
  return resample(kOp, x, plan, back);
}

Tensor pixel_shuffle(const Tensor& x, Index r, Here here) {
  constexpr const char* op = "pixel_shuffle";
  const CallSite site(here);
  check_defined(op, "x", x);
  check_image(op, x.shape());
  check_factor(op, r);
  const Shape& s = x.shape();
  const Index square = checked_product(op, r, r), channels = s[3] / square;
  if (channels * square != s[3]) throw_invalid("{}: the square of {} must divide the channels; got {}", op, r, s);
  const Tensor parts = reshape(x, Shape{s[0], s[1], s[2], channels, r, r});
  return reshape(permute(parts, {0, 1, 4, 2, 5, 3}), Shape{s[0], s[1] * r, s[2] * r, channels});
}

Tensor pixel_unshuffle(const Tensor& x, Index r, Here here) {
  constexpr const char* op = "pixel_unshuffle";
  const CallSite site(here);
  check_defined(op, "x", x);
  check_image(op, x.shape());
  check_factor(op, r);
  const Shape& s = x.shape();
  if (s[1] % r != 0 || s[2] % r != 0) throw_invalid("{}: {} must divide both sides of the image; got {}", op, r, s);
  const Tensor parts = reshape(x, Shape{s[0], s[1] / r, r, s[2] / r, r, s[3]});
  return reshape(permute(parts, {0, 1, 3, 5, 2, 4}),
                 Shape{s[0], s[1] / r, s[2] / r, checked_product(op, s[3], checked_product(op, r, r))});
}

Tensor channel_shuffle(const Tensor& x, Index groups, Here here) {
  constexpr const char* op = "channel_shuffle";
  const CallSite site(here);
  check_defined(op, "x", x);
  if (x.dim() == 0) throw_invalid("{}: the input must have a channel dimension; got shape []", op);
  const Index channels = x.size(-1);
  if (groups < 1 || channels % groups != 0) {
    throw_invalid("{}: groups must divide the channels; got {} groups, {} channels", op, groups, channels);
  }
  const Index pixels = x.shape().numel(0, x.dim() - 1);
  return reshape(transpose(reshape(x, Shape{pixels, groups, channels / groups}), 1, 2), x.shape());
}

}  // namespace tapestry
