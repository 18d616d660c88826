#include <tapestry/datasets/mix.h>

#include <algorithm>
#include <cmath>
#include <cstring>

#include <tapestry/autograd/base/check.h>
#include <tapestry/autograd/base/parallel.h>
#include <tapestry/autograd/random.h>
#include <tapestry/datasets/detail/purposes.h>

namespace tapestry::datasets {
namespace {

/// A draw from the gamma distribution of that shape (Marsaglia and Tsang, 2000).
double draw_gamma(Generator& generator, double shape) {
  if (shape < 1) {
    const double u = 1 - generator.uniform();
    return draw_gamma(generator, shape + 1) * std::pow(u, 1 / shape);
  }
  const double d = shape - 1.0 / 3;
  const double c = 1 / std::sqrt(9 * d);
  for (;;) {
    const double z = generator.normal();
    const double u = 1 - generator.uniform();
    const double v = std::pow(1 + c * z, 3);
    if (v > 0 && std::log(u) < 0.5 * z * z + d * (1 - v + std::log(v))) return d * v;
  }
}

/// A draw from Beta(alpha, alpha).
double draw_beta(Generator& generator, double alpha) {
  const double a = draw_gamma(generator, alpha);
  const double b = draw_gamma(generator, alpha);
  const double u = generator.uniform();
  if (a + b > 0) return a / (a + b);
  return u < 0.5 ? 0 : 1;  // both were too small for a double, as for a tiny alpha: one of the two ends
}

void check(const char* transform, const Batch& batch, bool may_be_bytes, Index least_rank, Index num_classes,
           double alpha) {
  const Tensor& x = batch.images;
  const bool fits = x.dtype() == f32 || (may_be_bytes && x.dtype() == u8);
  if (x.dim() < least_rank || x.numel() == 0 || !fits || (may_be_bytes && x.dim() != least_rank)) {
    throw_invalid("{}: images must be {}, not empty; got {} {}", transform,
                  may_be_bytes ? "u8 or f32 [B, H, W, C]" : "f32 [B, ...]", x.dtype(), x.shape());
  }
  if (batch.labels.dtype() != i64 || batch.labels.shape() != Shape({x.size(0)})) {
    throw_invalid("{}: labels must be i64 [{}], one for each image; got {} {}", transform, x.size(0),
                  batch.labels.dtype(), batch.labels.shape());
  }
  if (num_classes < 1) throw_invalid("{}: num_classes must be at least 1; got {}", transform, num_classes);
  if (!(alpha > 0 && alpha <= 1e6))
    throw_invalid("{}: alpha must be above 0 and up to 1000000; got {}", transform, alpha);
  for (const std::int64_t label : batch.labels.span<std::int64_t>()) {
    if (label < 0 || label >= num_classes) {
      throw_out_of_range("{}: labels must be in [0, {}); got {}", transform, num_classes, label);
    }
  }
}

Index partner_of(Index i, Index count) { return i == 0 ? count - 1 : i - 1; }

/// The share `own` to each image's class, the rest to its partner's.
Tensor mixed_targets(const Tensor& labels, Index num_classes, double own) {
  const Index count = labels.numel();
  Tensor y = empty({count, num_classes}, f32);
  auto* const to = y.mutable_data<float>();
  std::fill_n(to, y.numel(), 0.0F);
  const auto* label = labels.data<std::int64_t>();
  for (Index i = 0; i < count; ++i) {
    to[i * num_classes + label[i]] += static_cast<float>(own);
    to[i * num_classes + label[partner_of(i, count)]] += static_cast<float>(1 - own);
  }
  return y;
}

}  // namespace

MixedBatch Mixup::operator()(const Batch& batch, const SampleKey& key) const {
  check("mixup", batch, false, 1, num_classes, alpha);
  Generator generator = key.generator(detail::kMixupPurpose);
  const double lambda = draw_beta(generator, alpha);
  const auto own = static_cast<float>(lambda);
  const auto rest = static_cast<float>(1 - lambda);
  const Tensor& x = batch.images;
  const Index count = x.size(0);
  const Index each = x.numel() / count;
  Tensor y = empty(x.shape(), f32);
  const auto* from = x.data<float>();
  auto* const to = y.mutable_data<float>();
  constexpr Index kPerTask = 65536;  // elements
  parallel_for(count, std::max<Index>(1, kPerTask / each), [&](Index begin, Index end) {
    for (Index i = begin; i < end; ++i) {
      const float* const mine = from + i * each;
      const float* const other = from + partner_of(i, count) * each;
      for (Index k = 0; k < each; ++k) to[i * each + k] = own * mine[k] + rest * other[k];
    }
  });
  return {std::move(y), mixed_targets(batch.labels, num_classes, lambda)};
}

MixedBatch CutMix::operator()(const Batch& batch, const SampleKey& key) const {
  check("cutmix", batch, true, 4, num_classes, alpha);
  Generator generator = key.generator(detail::kCutMixPurpose);
  const double lambda = draw_beta(generator, alpha);
  const Tensor& x = batch.images;
  const Index count = x.size(0);
  const Index h = x.size(1);
  const Index w = x.size(2);
  const double half = 0.5 * std::sqrt(1 - lambda);
  const auto half_h = static_cast<Index>(half * static_cast<double>(h));
  const auto half_w = static_cast<Index>(half * static_cast<double>(w));
  const Index y0 = generator.randint(0, h);
  const Index x0 = generator.randint(0, w);
  const Index top = std::max<Index>(y0 - half_h, 0);
  const Index left = std::max<Index>(x0 - half_w, 0);
  const Index bottom = std::min(y0 + half_h, h);
  const Index right = std::min(x0 + half_w, w);
  const double covered = static_cast<double>((bottom - top) * (right - left)) / static_cast<double>(h * w);

  Tensor y = empty(x.shape(), x.dtype());
  const Index pixel = x.size(3) * item_bytes(x.dtype());
  const Index image = h * w * pixel;
  const std::byte* const from = x.impl().bytes();
  std::byte* const to = y.impl().bytes();
  std::memcpy(to, from, static_cast<std::size_t>(count * image));
  for (Index i = 0; i < count; ++i) {
    for (Index row = top; row < bottom; ++row) {
      const Index at = (row * w + left) * pixel;
      std::memcpy(to + i * image + at, from + partner_of(i, count) * image + at,
                  static_cast<std::size_t>((right - left) * pixel));
    }
  }
  return {std::move(y), mixed_targets(batch.labels, num_classes, 1 - covered)};
}

}  // namespace tapestry::datasets
