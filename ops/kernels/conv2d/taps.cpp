#include <tapestry/ops/kernels/conv2d/taps.h>

#include <algorithm>

namespace tapestry::kernels {

TapTable TapTable::forward(Index outputs, Index inputs, Index kernel, Index stride, Index pad, Index dilation,
                           bool merge) {
  TapTable table(1, stride);
  for (Index o = 0; o < outputs; ++o) {
    for (Index t = 0; t < kernel; ++t) {
      const Index i = o * stride - pad + t * dilation;
      if (i >= 0 && i < inputs) table.add_tap(i, t, merge);
    }
    table.end_output();
  }
  table.find_pixel_runs();
  return table;
}

TapTable TapTable::input_grad(Index outputs, Index inputs, Index kernel, Index stride, Index pad, Index dilation,
                              bool merge) {
  TapTable table(stride, 1);
  for (Index o = 0; o < outputs; ++o) {
    for (Index t = kernel - 1; t >= 0; --t) {
      const Index distance = o + pad - t * dilation;
      if (distance >= 0 && distance % stride == 0 && distance / stride < inputs) {
        table.add_tap(distance / stride, kernel - 1 - t, merge);
      }
    }
    table.end_output();
  }
  table.find_pixel_runs();
  return table;
}

void TapTable::add_tap(Index input, Index tap, bool merge) {
  ++taps_;
  if (merge && runs_.size() > first_.back()) {
    TapRun& last = runs_.back();
    if (input == last.input + last.count && tap == last.tap + last.count) {
      ++last.count;
      return;
    }
  }
  runs_.push_back({input, tap, 1});
}

void TapTable::end_output() {
  longest_ = std::max(longest_, static_cast<Index>(runs_.size() - first_.back()));
  first_.push_back(runs_.size());
}

bool TapTable::continues(Index o) const {
  const Runs now = (*this)[o], before = (*this)[o - step_];
  return std::equal(now.begin(), now.end(), before.begin(), before.end(), [&](const TapRun& a, const TapRun& b) {
    return a.input == b.input + shift_ && a.tap == b.tap && a.count == b.count;
  });
}

void TapTable::find_pixel_runs() {
  for (Index start = 0; start < std::min(step_, outputs()); ++start) {
    for (Index o = start; o < outputs(); o += step_) {
      if (o > start && continues(o)) {
        ++pixel_runs_.back().count;
      } else {
        pixel_runs_.push_back({o, 1});
      }
    }
  }
}

}  // namespace tapestry::kernels
