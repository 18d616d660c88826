#include <tapestry/ops/pad.h>

#include <algorithm>

#include <tapestry/autograd/base/check.h>
#include <tapestry/autograd/base/extent.h>
#include <tapestry/autograd/record.h>
#include <tapestry/ops/detail/common.h>
#include <tapestry/ops/detail/strided.h>
#include <tapestry/ops/index.h>
#include <tapestry/ops/kernels/copy.h>

namespace tapestry {
namespace {

using Widths = std::vector<std::pair<Index, Index>>;

/// pad with a constant, checked: crops where widths are negative, then adds. Its transpose is itself, widths negated.
Tensor pad_constant(const Tensor& x, const Widths& widths, Number value) {
  std::vector<Index> kept(x.shape().begin(), x.shape().end()), extents;
  Extents before{}, after{};
  const Extents strides = strides_of(x.shape());
  Index skipped = 0;
  for (std::size_t i = 0; i < widths.size(); ++i) {
    skipped -= std::min<Index>(widths[i].first, 0) * strides[i];
    kept[i] += std::min<Index>(widths[i].first, 0) + std::min<Index>(widths[i].second, 0);
    before[i] = std::max<Index>(widths[i].first, 0);
    after[i] = std::max<Index>(widths[i].second, 0);
  }
  for (std::size_t i = 0; i < kept.size(); ++i) {
    extents.push_back(checked_sum("pad", checked_sum("pad", before[i], after[i]), kept[i]));
  }
  const Shape kept_shape{std::span<const Index>(kept)}, shape{std::span<const Index>(extents)};
  Tensor y = kept_shape == x.shape() ? x : strided(x, kept_shape, strides, skipped);
  if (shape != kept_shape) {
    const Tensor fill = full({}, value, {.dtype = x.dtype()});
    Tensor wide = empty(shape, x.dtype());
    kernels::pad_copy(y.impl().bytes(), wide.impl().bytes(), kept_shape.begin(), before.data(), after.data(), x.dim(),
                      item_bytes(x.dtype()), fill.impl().bytes());
    y = std::move(wide);
  }
  return record("pad", std::move(y),
                wrt(
                    x,
                    [widths](const Tensor& dy) {
                      Widths back = widths;
                      for (auto& [first, second] : back) first = -first, second = -second;
                      return pad_constant(dy, back, 0);
                    },
                    [&](const Tensor& t) { return pad_constant(t, widths, 0); }));
}

const char* name_of(PadMode mode) {
  switch (mode) {
    case PadMode::constant: return "constant";
    case PadMode::reflect: return "reflected";
    case PadMode::replicate: return "replicated";
    case PadMode::circular: return "circular";
  }
  return "";
}

/// Positions of the source of each element along a padded dimension; negative widths crop.
Tensor source_index(PadMode mode, Index extent, Index before, Index after) {
  const Index length = checked_sum("pad", checked_sum("pad", before, after), extent);
  const Index first = std::max<Index>(-before, 0), kept = extent - first - std::max<Index>(-after, 0);
  Tensor index = empty({length}, i64);
  auto* out = index.mutable_data<std::int64_t>();
  for (Index i = 0; i < length; ++i) out[i] = first + padded_source(mode, i - std::max<Index>(before, 0), kept);
  return index;
}

}  // namespace

Tensor pad(const Tensor& x, const std::vector<std::pair<Index, Index>>& widths, const PadOptions& options, Here here) {
  const CallSite site(here);
  if (static_cast<Index>(widths.size()) > x.dim()) {
    throw_invalid("pad: there must be at most {} pairs, one per dim; got {}", x.dim(), widths.size());
  }
  bool changes = false;
  for (std::size_t i = 0; i < widths.size(); ++i) {
    const auto [before, after] = widths[i];
    const auto d = static_cast<Index>(i);
    const Index extent = x.shape()[d];
    const Index cut = checked_sum("pad", std::min<Index>(before, 0), std::min<Index>(after, 0));
    const Index kept = extent + cut;
    if (kept < 0) {
      throw_invalid("pad: what is left must not be negative; got {} with ({}, {}) in dim {}", extent, before, after, d);
    }
    const Index widest = widest_pad(options.mode, kept);
    if (widest >= 0 && std::max(before, after) > widest) {
      throw_invalid("pad: a {} width must be at most {} beside an extent of {}; got ({}, {}) in dim {}",
                    name_of(options.mode), widest, kept, before, after, d);
    }
    changes = changes || before != 0 || after != 0;
  }
  if (options.mode == PadMode::constant) {
    visit(x.dtype(), [&]<class T>() { (void)number_as<T>("pad", options.value); });
    return changes ? pad_constant(x, widths, options.value) : x;
  }
  Tensor y = x;
  for (std::size_t i = 0; i < widths.size(); ++i) {
    if (widths[i].first == 0 && widths[i].second == 0) continue;
    const auto d = static_cast<Index>(i);
    y = index_select(y, source_index(options.mode, y.shape()[d], widths[i].first, widths[i].second), {.dim = d});
  }
  return y;
}

Tensor pad2d(const Tensor& x, const Pad2dOptions& options, Here here) {
  const CallSite site(here);
  check_image("pad2d", x.shape());
  return pad(x, {{0, 0}, {options.top, options.bottom}, {options.left, options.right}},
             {.mode = options.mode, .value = options.value});
}

}  // namespace tapestry
