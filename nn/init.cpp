#include <tapestry/nn/init.h>

#include <algorithm>
#include <cmath>
#include <numbers>
#include <vector>

#include <tapestry/autograd/base/check.h>
#include <tapestry/autograd/grad_mode.h>
#include <tapestry/autograd/random.h>
#include <tapestry/ops/binary.h>
#include <tapestry/ops/cast.h>
#include <tapestry/ops/linalg.h>
#include <tapestry/ops/matmul.h>
#include <tapestry/ops/reduce.h>
#include <tapestry/ops/shape_ops.h>
#include <tapestry/ops/unary.h>
#include <tapestry/ops/unfold.h>

namespace tapestry::nn::init {

Fans fans(const Shape& shape, Here here) {
  const CallSite site(here);
  if (shape.rank() < 2) throw_invalid("init: fans need a shape of at least 2 dimensions; got {}", shape);
  return {shape.numel(1, shape.rank()), shape[0] * shape.numel(1, shape.rank() - 1)};
}

double gain(Nonlinearity nonlinearity, double slope) {
  switch (nonlinearity) {
    case Nonlinearity::tanh: return 5.0 / 3;
    case Nonlinearity::relu: return std::numbers::sqrt2;
    case Nonlinearity::leaky_relu: return std::sqrt(2 / (1 + slope * slope));
    case Nonlinearity::selu: return 0.75;
    default: return 1;
  }
}

Tensor zeros(const Shape& shape, Dtype dtype, Here here) {
  const CallSite site(here);
  return tapestry::zeros(shape, {.dtype = dtype});
}
Tensor ones(const Shape& shape, Dtype dtype, Here here) {
  const CallSite site(here);
  return tapestry::ones(shape, {.dtype = dtype});
}
Tensor constant(const Shape& shape, double value, Dtype dtype, Here here) {
  const CallSite site(here);
  return full(shape, value, {.dtype = dtype});
}

Tensor uniform(const Shape& shape, double low, double high, const InitOptions& options, Here here) {
  const CallSite site(here);
  return tapestry::uniform(shape, low, high, {.dtype = options.dtype, .generator = options.generator});
}

Tensor normal(const Shape& shape, double mean, double std, const InitOptions& options, Here here) {
  const CallSite site(here);
  return tapestry::normal(shape, mean, std, {.dtype = options.dtype, .generator = options.generator});
}

// --- by fans

namespace {

double xavier_std(const Shape& shape, double gain_of) {
  const Fans f = fans(shape);
  return f.in + f.out == 0 ? 0 : gain_of * std::sqrt(2 / static_cast<double>(f.in + f.out));
}

double kaiming_std(const Shape& shape, const KaimingOptions& options) {
  const Index fan = options.mode == Fan::in ? fans(shape).in : fans(shape).out;
  return fan == 0 ? 0 : gain(options.nonlinearity, options.slope) / std::sqrt(static_cast<double>(fan));
}

/// The uniform distribution with this deviation.
Tensor uniform_of_std(const Shape& shape, double std, const InitOptions& options) {
  const double bound = std::sqrt(3.0) * std;
  return uniform(shape, -bound, bound, options);
}

}  // namespace

Tensor xavier_uniform(const Shape& shape, const XavierOptions& options, Here here) {
  const CallSite site(here);
  return uniform_of_std(shape, xavier_std(shape, options.gain), {options.dtype, options.generator});
}

Tensor xavier_normal(const Shape& shape, const XavierOptions& options, Here here) {
  const CallSite site(here);
  return normal(shape, 0, xavier_std(shape, options.gain), InitOptions{options.dtype, options.generator});
}

Tensor kaiming_uniform(const Shape& shape, const KaimingOptions& options, Here here) {
  const CallSite site(here);
  return uniform_of_std(shape, kaiming_std(shape, options), {options.dtype, options.generator});
}

Tensor kaiming_normal(const Shape& shape, const KaimingOptions& options, Here here) {
  const CallSite site(here);
  return normal(shape, 0, kaiming_std(shape, options), InitOptions{options.dtype, options.generator});
}

Tensor fan_in_uniform(const Shape& shape, Index fan_in, const InitOptions& options, Here here) {
  const CallSite site(here);
  const double bound = fan_in > 0 ? 1 / std::sqrt(static_cast<double>(fan_in)) : 0;
  return uniform(shape, -bound, bound, options);
}

// --- truncated normal

namespace {

double normal_cdf(double x) { return 0.5 * std::erfc(-x / std::numbers::sqrt2); }

/// The x in [low, high] with normal_cdf(x) = p, by bisection: 16 / 2^60 is below the spacing of doubles.
double normal_quantile(double p, double low, double high) {
  for (int i = 0; i < 60; ++i) {
    const double middle = 0.5 * (low + high);
    if (normal_cdf(middle) > p) high = middle;
    else low = middle;
  }
  return 0.5 * (low + high);
}

}  // namespace

Tensor trunc_normal(const Shape& shape, const TruncNormalOptions& options, Here here) {
  const CallSite site(here);
  if (!(options.std > 0)) throw_invalid("trunc_normal: std must be above 0; got {}", options.std);
  if (!(options.low < options.high)) {
    throw_invalid("trunc_normal: low must be below high; got {} and {}", options.low, options.high);
  }
  // Beyond 8 deviations, nothing is left of the distribution in double precision.
  const double low = std::max((options.low - options.mean) / options.std, -8.0);
  const double high = std::min((options.high - options.mean) / options.std, 8.0);
  if (!(low < high)) {
    throw_invalid("trunc_normal: [low, high] must reach within 8 std of the mean; got [{}, {}] for mean {}, std {}",
                  options.low, options.high, options.mean, options.std);
  }
  const Tensor draws =
      tapestry::uniform(shape, normal_cdf(low), normal_cdf(high), {.dtype = f64, .generator = options.generator});
  Tensor y = empty(shape, options.dtype);
  visit_float(y.dtype(), [&]<class T>() {
    T* out = y.mutable_data<T>();
    for (const double p : draws.span<double>()) {
      const double x = options.mean + options.std * normal_quantile(p, low, high);
      *out++ = static_cast<T>(std::clamp(x, options.low, options.high));
    }
  });
  return y;
}

// --- matrices and kernels of a given form

namespace {

double dot(const std::vector<double>& a, const std::vector<double>& b) {
  double sum = 0;
  for (std::size_t i = 0; i < a.size(); ++i) sum += a[i] * b[i];
  return sum;
}

/// Makes the vectors orthonormal in turn (Gram and Schmidt; twice is enough, as Kahan found). The diagonal of the
/// implied triangular factor is positive, which is what makes the result of normal draws uniformly distributed.
void orthonormalize(std::vector<std::vector<double>>& vectors) {
  for (std::size_t i = 0; i < vectors.size(); ++i) {
    std::vector<double>& v = vectors[i];
    for (int pass = 0; pass < 2; ++pass) {
      for (std::size_t j = 0; j < i; ++j) {
        const double projection = dot(v, vectors[j]);
        for (std::size_t k = 0; k < v.size(); ++k) v[k] -= projection * vectors[j][k];
      }
    }
    const double length = std::sqrt(dot(v, v));
    for (double& x : v) x /= length;
  }
}

}  // namespace

Tensor orthogonal(const Shape& shape, const OrthogonalOptions& options, Here here) {
  const CallSite site(here);
  if (shape.rank() < 2) throw_invalid("orthogonal: the shape must have at least 2 dimensions; got {}", shape);
  Tensor y = empty(shape, options.dtype);
  if (shape.numel() == 0) return y;
  const Index rows = shape[0];
  const Index columns = shape.numel() / rows;
  const bool tall = rows > columns;
  const auto count = static_cast<std::size_t>(std::min(rows, columns));
  const auto length = static_cast<std::size_t>(std::max(rows, columns));
  const Tensor draws =
      normal({static_cast<Index>(count), static_cast<Index>(length)}, 0, 1, InitOptions{f64, options.generator});
  std::vector<std::vector<double>> vectors;
  for (std::size_t i = 0; i < count; ++i) {
    const double* row = draws.data<double>() + i * length;
    vectors.emplace_back(row, row + length);
  }
  orthonormalize(vectors);
  visit_float(y.dtype(), [&]<class T>() {
    T* out = y.mutable_data<T>();
    for (std::size_t i = 0; i < static_cast<std::size_t>(rows); ++i) {
      for (std::size_t j = 0; j < static_cast<std::size_t>(columns); ++j) {
        *out++ = static_cast<T>(options.gain * (tall ? vectors[j][i] : vectors[i][j]));
      }
    }
  });
  return y;
}

Tensor dirac(const Shape& shape, const DiracOptions& options, Here here) {
  const CallSite site(here);
  if (shape.rank() != 4) throw_invalid("dirac: the shape must be [K, R, S, C/groups]; got {}", shape);
  if (options.groups < 1 || shape[0] % options.groups != 0) {
    throw_invalid("dirac: groups must divide the {} filters; got {}", shape[0], options.groups);
  }
  Tensor y = zeros(shape, options.dtype);
  if (shape.numel() == 0) return y;
  const Index per_group = shape[0] / options.groups;
  const Index centre = (shape[1] / 2 * shape[2] + shape[2] / 2) * shape[3];
  visit_float(y.dtype(), [&]<class T>() {
    T* out = y.mutable_data<T>();
    for (Index g = 0; g < options.groups; ++g) {
      for (Index i = 0; i < std::min(per_group, shape[3]); ++i) {
        out[(g * per_group + i) * shape.numel(1, 4) + centre + i] = T{1};
      }
    }
  });
  return y;
}

Tensor eye(const Shape& shape, Dtype dtype, Here here) {
  const CallSite site(here);
  if (shape.rank() != 2) throw_invalid("eye: the shape must have 2 dimensions; got {}", shape);
  Tensor y = zeros(shape, dtype);
  visit_float(y.dtype(), [&]<class T>() {
    T* out = y.mutable_data<T>();
    for (Index i = 0; i < std::min(shape[0], shape[1]); ++i) out[i * shape[1] + i] = T{1};
  });
  return y;
}

Tensor whitening(const Tensor& images, const WhiteningOptions& options, Here here) {
  const CallSite site(here);
  const Index k = options.kernel;
  if (images.dim() != 4 || images.shape()[0] < 1 || k < 1 || images.shape()[1] < k || images.shape()[2] < k) {
    throw_invalid("whitening: images must be [N, H, W, C] with a patch of {} x {} at least; got {}", k, k,
                  images.shape());
  }
  return no_grad([&] {
    constexpr Index kTogether = 64;  // images whose patches are in memory at a time
    const Index channels = images.shape()[3], n = k * k * channels;
    Tensor sum_of = tapestry::zeros({n}, {.dtype = f64}), products = tapestry::zeros({n, n}, {.dtype = f64});
    Index count = 0;
    for (const Tensor& some : split(images, kTogether)) {
      const Tensor patches = reshape(unfold(to(some, f64), {.kernel = k}), {-1, n});
      sum_of = sum_of + sum(patches, {.dim = 0});
      products = products + matmul(patches, patches, {.transpose_a = true});
      count += patches.shape()[0];
    }
    const Tensor mean_of = sum_of / count;
    const Tensor covariance = products / count - reshape(mean_of, {n, 1}) * mean_of;
    const auto [values, vectors] = eigh(covariance);
    const Tensor scaled = flip(vectors * rsqrt(values + options.eps), {1});  // one per column, largest first
    const Tensor filters = reshape(transpose(scaled, 0, 1), {n, k, k, channels});
    return cat({filters, neg(filters)});
  });
}

}  // namespace tapestry::nn::init
