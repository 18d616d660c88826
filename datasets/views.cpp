#include <tapestry/datasets/views.h>

#include <algorithm>

#include <tapestry/autograd/base/check.h>
#include <tapestry/autograd/base/parallel.h>

namespace tapestry::datasets {
namespace {

/// Position of the pixel that stands for position i of a row of n, which may lie one outside: mirrored at the ends.
Index mirrored(Index i, Index n) {
  if (i < 0) return -i;
  return i < n ? i : 2 * (n - 1) - i;
}

/// Images whose pixel (y, x) is pixel (y + move, x + move) of the ones given, or of their mirror images.
Tensor view_of(const Tensor& images, bool is_flipped, Index move) {
  const Index h = images.size(1);
  const Index w = images.size(2);
  const Index pixel = images.size(3) * item_bytes(images.dtype());
  Tensor y = empty(images.shape(), images.dtype());
  const std::byte* const from = images.impl().bytes();
  std::byte* const to = y.impl().bytes();
  constexpr Index kRowsPerTask = 256;
  parallel_for(images.size(0) * h, kRowsPerTask, [&](Index begin, Index end) {
    for (Index row = begin; row < end; ++row) {
      const Index line = row / h * h + mirrored(row % h + move, h);
      for (Index x = 0; x < w; ++x) {
        const Index source = mirrored(x + move, w);
        std::copy_n(from + (line * w + (is_flipped ? w - 1 - source : source)) * pixel, pixel,
                    to + (row * w + x) * pixel);
      }
    }
  });
  return y;
}

}  // namespace

ProgressiveSize::ProgressiveSize(std::initializer_list<Stage> stages, Here here) : stages_(stages) {
  const CallSite site(here);
  if (stages_.empty() || stages_.front().from != 0) {
    throw_invalid("progressive_size: the first stage must begin at 0; got {}",
                  stages_.empty() ? "none" : format_message("{}", stages_.front().from));
  }
  for (std::size_t i = 0; i < stages_.size(); ++i) {
    const auto [from, size] = stages_[i];
    if (size < 1) throw_invalid("progressive_size: sizes must be at least 1; got {}", size);
    if (!(from < 1) || (i > 0 && !(from > stages_[i - 1].from))) {
      throw_invalid("progressive_size: stages must begin one after the other, below 1; got {}", from);
    }
  }
}

Index ProgressiveSize::at(double progress, Here here) const {
  const CallSite site(here);
  if (!(progress >= 0 && progress <= 1))
    throw_invalid("progressive_size: progress must be in [0, 1]; got {}", progress);
  const auto after = std::ranges::upper_bound(stages_, progress, {}, &Stage::from);
  return std::prev(after)->size;
}

Tensor ProgressiveSize::operator()(const Tensor& images, double progress, Here here) const {
  const CallSite site(here);
  const Index size = at(progress);
  return resize(images, size, size);
}

std::vector<View> test_time_views(const Tensor& images, TestTimeViews views, Here here) {
  const CallSite site(here);
  const bool shifts = views == TestTimeViews::flip_and_shift;
  if (images.dim() != 4) throw_invalid("test_time_views: images must be [B, H, W, C]; got {}", images.shape());
  if (shifts && (images.size(1) < 2 || images.size(2) < 2)) {
    throw_invalid("test_time_views: images that are moved must have at least 2 x 2 pixels; got {}", images.shape());
  }
  const double weight = shifts ? 0.25 : 0.5;
  std::vector<View> all{{tapestry::detail::without_history(images), weight}, {view_of(images, true, 0), weight}};
  if (!shifts) return all;
  for (const Index move : {1, -1}) {
    for (const bool is_flipped : {false, true}) all.push_back({view_of(images, is_flipped, move), 0.125});
  }
  return all;
}

}  // namespace tapestry::datasets
