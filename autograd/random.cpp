#include <tapestry/autograd/random.h>

#include <algorithm>
#include <cmath>
#include <limits>
#include <mutex>
#include <numbers>

#include <tapestry/autograd/base/check.h>
#include <tapestry/autograd/base/parallel.h>
#include <tapestry/autograd/philox.h>

namespace tapestry {

struct Generator::Shared {
  std::mutex mutex;
  State state;
};

Generator::Generator(std::uint64_t seed, std::uint64_t stream) : shared_(make_handle<Shared>()) {
  shared_->state = {seed, stream, 0};
}

Generator::State Generator::state() const {
  const std::scoped_lock lock(shared_->mutex);
  return shared_->state;
}

void Generator::set_state(const State& state) {
  const std::scoped_lock lock(shared_->mutex);
  shared_->state = state;
}

Generator Generator::fork(std::uint64_t stream) const { return Generator(state().seed, stream); }

Generator::State Generator::advance(std::uint64_t blocks) {
  const std::scoped_lock lock(shared_->mutex);
  const State before = shared_->state;
  shared_->state.offset += blocks;
  return before;
}

namespace {

/// Words 2 i and 2 i + 1 as one.
std::uint64_t word64(const std::uint32_t* words, Index i) {
  return (static_cast<std::uint64_t>(words[2 * i + 1]) << 32) | words[2 * i];
}

double unit53(std::uint64_t word) { return static_cast<double>(word >> 11) * 0x1p-53; }
/// Of a signed number, which vectors of every processor convert.
float unit24(std::uint32_t word) { return static_cast<float>(static_cast<std::int32_t>(word >> 8)) * 0x1p-24F; }

/// Two normal deviates from two words: the radius takes 1 - u, which is never zero.
std::array<double, 2> box_muller(double u, double v) {
  const double radius = std::sqrt(-2 * std::log1p(-u));
  const double angle = 2 * std::numbers::pi * v;
  return {radius * std::cos(angle), radius * std::sin(angle)};
}

/// The high half of word * range: [0, range) with a bias below range / 2^64.
std::uint64_t below(std::uint64_t range, std::uint64_t word) {
  __extension__ using Wide = unsigned __int128;
  return static_cast<std::uint64_t>((static_cast<Wide>(word) * range) >> 64);
}

Generator& generator_of(const RandomOptions& options) {
  return options.generator ? *options.generator : default_generator();
}

/// Fills n elements, kWords random words each: fill(words, first element, count).
template <Index kWords, class F>
void draw(Generator& generator, Index n, const F& fill) {
  constexpr Index kPerBlock = 4 / kWords;
  constexpr Index kBlocksPerTask = 4096;  // 20 us and more
  constexpr Index kBlocksAtOnce = 256;    // 4 KiB of words, which stay in L1 until they are used
  const Index blocks = (n + kPerBlock - 1) / kPerBlock;
  const Generator::State at = generator.advance(static_cast<std::uint64_t>(blocks));
  parallel_for(blocks, kBlocksPerTask, [&](Index begin, Index end) {
    std::array<std::uint32_t, 4 * kBlocksAtOnce> words;
    for (Index b = begin; b < end; b += kBlocksAtOnce) {
      const Index count = std::min(kBlocksAtOnce, end - b);
      philox_blocks(at.seed, at.offset + static_cast<std::uint64_t>(b), at.stream, count, words.data());
      fill(static_cast<const std::uint32_t*>(words.data()), b * kPerBlock,
           std::min(count * kPerBlock, n - b * kPerBlock));
    }
  });
}

Dtype float_dtype(const char* op, const RandomOptions& options) {
  const Dtype dtype = options.dtype.value_or(default_dtype());
  if (!is_float(dtype)) throw_invalid("{}: the dtype must be f32, f64 or bf16; got {}", op, dtype);
  return dtype;
}

float step_down(float x) { return std::nextafter(x, -std::numeric_limits<float>::infinity()); }
double step_down(double x) { return std::nextafter(x, -std::numeric_limits<double>::infinity()); }
BFloat16 step_down(BFloat16 x) {
  constexpr std::uint16_t sign = 0x8000;
  if ((x.bits & ~sign) == 0) x.bits = sign | 1;  // of either zero the smallest number below
  else x.bits = static_cast<std::uint16_t>((x.bits & sign) != 0 ? x.bits + 1 : x.bits - 1);
  return x;
}

/// The largest T below `high`.
template <class T>
ComputeType<T> largest_below(double high) {
  const T nearest = detail::converted<T>(high);
  return static_cast<ComputeType<T>>(detail::converted<double>(nearest) < high ? nearest : step_down(nearest));
}

/// low + (high - low) * u, which rounds to high now and then, and is put below it. f32 and bf16 take one word per
/// element, f64 two.
template <class T>
void fill_uniform(Tensor& y, double low, double high, Generator& generator) {
  using C = ComputeType<T>;
  constexpr Index kWords = sizeof(C) / sizeof(std::uint32_t);
  T* out = y.mutable_data<T>();
  const auto base = static_cast<C>(low), width = static_cast<C>(high - low);
  const C top = low < high ? largest_below<T>(high) : static_cast<C>(detail::converted<T>(low));
  draw<kWords>(generator, y.numel(), [=](const std::uint32_t* words, Index at, Index count) {
    for (Index i = 0; i < count; ++i) {
      C u;
      if constexpr (kWords == 1) u = unit24(words[i]);
      else u = unit53(word64(words, i));
      out[at + i] = static_cast<T>(std::min(static_cast<C>(detail::converted<T>(base + width * u)), top));
    }
  });
}

template <class T>
void fill_normal(Tensor& y, double mean, double std, Generator& generator) {
  T* out = y.mutable_data<T>();
  draw<2>(generator, y.numel(), [=](const std::uint32_t* words, Index at, Index count) {
    for (Index i = 0; i < count; i += 2) {
      const auto pair = box_muller(unit53(word64(words, i)), unit53(word64(words, i + 1)));
      out[at + i] = detail::converted<T>(mean + std * pair[0]);
      if (i + 1 < count) out[at + i + 1] = detail::converted<T>(mean + std * pair[1]);
    }
  });
}

Tensor finish(Tensor y, const RandomOptions& options) {
  if (options.requires_grad) y.requires_grad(true);
  return y;
}

}  // namespace

std::uint64_t Generator::next_u64() {
  const State at = advance(1);
  return word64(philox(at.seed, at.offset, at.stream).data(), 0);
}

double Generator::uniform(double low, double high) {
  const double value = low + (high - low) * unit53(next_u64());
  return value < high ? value : std::max(low, step_down(high));  // where the sum was rounded up
}

std::int64_t Generator::randint(std::int64_t low, std::int64_t high, Here here) {
  const CallSite site(here);
  if (low >= high) throw_invalid("randint: low must be below high; got {} and {}", low, high);
  const std::uint64_t range = static_cast<std::uint64_t>(high) - static_cast<std::uint64_t>(low);
  return static_cast<std::int64_t>(static_cast<std::uint64_t>(low) + below(range, next_u64()));
}

double Generator::normal() {
  const State at = advance(1);
  const auto words = philox(at.seed, at.offset, at.stream);
  return box_muller(unit53(word64(words.data(), 0)), unit53(word64(words.data(), 1)))[0];
}

Generator& default_generator() {
  static Generator generator(0);
  return generator;
}

void manual_seed(std::uint64_t seed) { default_generator().set_state({seed, 0, 0}); }

Tensor uniform(const Shape& shape, double low, double high, const RandomOptions& options, Here here) {
  const CallSite site(here);
  if (!(low <= high)) throw_invalid("uniform: low must be at most high; got {} and {}", low, high);
  Tensor y = empty(shape, float_dtype("uniform", options));
  visit_any_float(y.dtype(), [&]<class T>() { fill_uniform<T>(y, low, high, generator_of(options)); });
  return finish(std::move(y), options);
}

Tensor rand(const Shape& shape, const RandomOptions& options, Here here) {
  const CallSite site(here);
  static_cast<void>(float_dtype("rand", options));
  return uniform(shape, 0, 1, options);
}

Tensor normal(const Shape& shape, double mean, double std, const RandomOptions& options, Here here) {
  const CallSite site(here);
  if (!(std >= 0)) throw_invalid("normal: std must not be negative; got {}", std);
  Tensor y = empty(shape, float_dtype("normal", options));
  visit_any_float(y.dtype(), [&]<class T>() { fill_normal<T>(y, mean, std, generator_of(options)); });
  return finish(std::move(y), options);
}

Tensor randn(const Shape& shape, const RandomOptions& options, Here here) {
  const CallSite site(here);
  static_cast<void>(float_dtype("randn", options));
  return normal(shape, 0, 1, options);
}

Tensor randint(Index low, Index high, const Shape& shape, const RandomOptions& options, Here here) {
  const CallSite site(here);
  if (low >= high) throw_invalid("randint: low must be below high; got {} and {}", low, high);
  const Dtype dtype = options.dtype.value_or(i64);
  visit(dtype, [&]<class T>() {
    if (!detail::holds<T>(low) || !detail::holds<T>(high - 1)) {
      throw_invalid("randint: the range must be one that {} can hold; got [{}, {})", dtype, low, high);
    }
  });
  Tensor y = empty(shape, dtype);
  const std::uint64_t range = static_cast<std::uint64_t>(high) - static_cast<std::uint64_t>(low);
  visit(y.dtype(), [&]<class T>() {
    T* out = y.mutable_data<T>();
    draw<2>(generator_of(options), y.numel(), [=](const std::uint32_t* words, Index at, Index count) {
      for (Index i = 0; i < count; ++i) {
        const auto value = static_cast<Index>(static_cast<std::uint64_t>(low) + below(range, word64(words, i)));
        out[at + i] = detail::converted<T>(value);
      }
    });
  });
  return finish(std::move(y), options);
}

Tensor randperm(Index n, const RandomOptions& options, Here here) {
  const CallSite site(here);
  if (n < 0) throw_invalid("randperm: n must not be negative; got {}", n);
  const Dtype dtype = options.dtype.value_or(i64);
  if (dtype != i64 && dtype != i32) throw_invalid("randperm: the dtype must be i64 or i32; got {}", dtype);
  if (dtype == i32 && !detail::holds<std::int32_t>(n)) {
    throw_invalid("randperm: n must be one that i32 can hold; got {}", n);
  }
  Tensor y = empty({n}, dtype);
  const Generator::State at = generator_of(options).advance(static_cast<std::uint64_t>(n));
  const auto shuffle = [&]<class T>(T* out) {
    for (Index i = 0; i < n; ++i) out[i] = static_cast<T>(i);
    for (Index i = n - 1; i > 0; --i) {
      const auto words = philox(at.seed, at.offset + static_cast<std::uint64_t>(i), at.stream);
      std::swap(out[i], out[below(static_cast<std::uint64_t>(i) + 1, word64(words.data(), 0))]);
    }
  };
  if (dtype == i64) shuffle(y.mutable_data<std::int64_t>());
  else shuffle(y.mutable_data<std::int32_t>());
  return y;
}

Tensor bernoulli(const Shape& shape, double p, const RandomOptions& options, Here here) {
  const CallSite site(here);
  if (!(p >= 0 && p <= 1)) throw_invalid("bernoulli: p must be in [0, 1]; got {}", p);
  if (options.dtype.value_or(boolean) != boolean) {
    throw_invalid("bernoulli: the dtype must be bool; got {}", *options.dtype);
  }
  Tensor y = empty(shape, boolean);
  bool* out = y.mutable_data<bool>();
  const auto threshold = static_cast<float>(p);
  draw<1>(generator_of(options), y.numel(), [=](const std::uint32_t* words, Index at, Index count) {
    for (Index i = 0; i < count; ++i) out[at + i] = unit24(words[i]) < threshold;
  });
  return y;
}

}  // namespace tapestry
