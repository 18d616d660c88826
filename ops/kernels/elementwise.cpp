// Plain loops: inside HWY_NAMESPACE the compiler vectorises them for each instruction set in turn. Only transcendental
// functions are written on Highway's vectors. Longer than most files: each is compiled once per instruction set, and a
// second one would pay for Highway's mathematics as often again.
#include <tapestry/ops/kernels/simd/targets.h>

#undef HWY_TARGET_INCLUDE
#define HWY_TARGET_INCLUDE "tapestry/ops/kernels/elementwise.cpp"
#include <hwy/foreach_target.h>

#include <hwy/contrib/math/math-inl.h>
#include <hwy/highway.h>

#include <algorithm>
#include <cmath>
#include <cstdint>
#include <limits>
#include <numbers>
#include <type_traits>

#include <tapestry/ops/kernels/base/tuning.h>
#include <tapestry/ops/kernels/elementwise.h>

HWY_BEFORE_NAMESPACE();
namespace tapestry::kernels {
namespace HWY_NAMESPACE {
namespace {

namespace hn = hwy::HWY_NAMESPACE;

template <class T, class F>
HWY_INLINE void map(const T* HWY_RESTRICT x, T* HWY_RESTRICT y, Index n, const F& f) {
  for (Index i = 0; i < n; ++i) y[i] = f(x[i]);
}

/// y = f(x) on whole vectors; the rest passes through a padded buffer.
template <class T, class F>
HWY_INLINE void map_vectors(const T* HWY_RESTRICT x, T* HWY_RESTRICT y, Index n, const F& f) {
  const hn::ScalableTag<T> d;
  const auto lanes = static_cast<Index>(hn::Lanes(d));
  Index i = 0;
  for (; i + lanes <= n; i += lanes) hn::StoreU(f(d, hn::LoadU(d, x + i)), d, y + i);
  if (i == n) return;
  HWY_ALIGN T buffer[HWY_MAX_BYTES / sizeof(T)] = {};
  for (Index k = i; k < n; ++k) buffer[k - i] = x[k];
  hn::Store(f(d, hn::Load(d, buffer)), d, buffer);
  for (Index k = i; k < n; ++k) y[k] = buffer[k - i];
}

/// The same for two operands.
template <class T, class F>
HWY_INLINE void map_vectors(const T* HWY_RESTRICT a, const T* HWY_RESTRICT b, T* HWY_RESTRICT y, Index n, const F& f) {
  const hn::ScalableTag<T> d;
  const auto lanes = static_cast<Index>(hn::Lanes(d));
  Index i = 0;
  for (; i + lanes <= n; i += lanes) hn::StoreU(f(d, hn::LoadU(d, a + i), hn::LoadU(d, b + i)), d, y + i);
  if (i == n) return;
  HWY_ALIGN T u[HWY_MAX_BYTES / sizeof(T)] = {};
  HWY_ALIGN T v[HWY_MAX_BYTES / sizeof(T)] = {};
  std::copy(a + i, a + n, u);
  std::copy(b + i, b + n, v);
  hn::Store(f(d, hn::Load(d, u), hn::Load(d, v)), d, u);
  std::copy(u, u + (n - i), y + i);
}

/// Highway's Exp is defined up to 104 (706 in double), beyond the overflow to infinity, and for finite arguments.
template <class D, class V>
HWY_INLINE V exp_all(D d, V x) {
  using T = hn::TFromD<D>;
  const V high = hn::Set(d, static_cast<T>(sizeof(T) == 4 ? 104 : 706));
  const V low = hn::Set(d, std::numeric_limits<T>::lowest());
  V y = hn::Exp(d, hn::Max(hn::Min(x, high), low));
  if constexpr (sizeof(T) == 8) {  // 706 < log(DBL_MAX) = 709.78: the last steps by hand
    const V beyond = hn::Sub(hn::Min(x, hn::Set(d, T{711})), high);
    y = hn::IfThenElse(hn::Gt(x, high), hn::Mul(y, hn::Exp(d, hn::Max(beyond, hn::Zero(d)))), y);
  }
  return hn::IfThenElse(hn::IsNaN(x), x, y);
}

template <class D, class V>
HWY_INLINE V log_all(D d, V x) {
  using T = hn::TFromD<D>;
  const V inf = hn::Set(d, std::numeric_limits<T>::infinity());
  V y = hn::Log(d, x);
  y = hn::IfThenElse(hn::Eq(x, inf), inf, y);
  y = hn::IfThenElse(hn::Eq(x, hn::Zero(d)), hn::Neg(inf), y);
  y = hn::IfThenElse(hn::Lt(x, hn::Zero(d)), hn::Set(d, std::numeric_limits<T>::quiet_NaN()), y);
  return hn::IfThenElse(hn::IsNaN(x), x, y);
}

/// 1 / (1 + exp(-x)).
template <class D, class V>
HWY_INLINE V sigmoid_all(D d, V x) {
  const V one = hn::Set(d, hn::TFromD<D>{1});
  return hn::Div(one, hn::Add(one, exp_all(d, hn::Neg(x))));
}

/// Beyond 20 tanh rounds to 1 in double; the clamp keeps infinities out of Highway's Tanh.
template <class D, class V>
HWY_INLINE V tanh_all(D d, V x) {
  using T = hn::TFromD<D>;
  const V y = hn::Tanh(d, hn::Max(hn::Min(x, hn::Set(d, T{20})), hn::Set(d, T{-20})));
  return hn::IfThenElse(hn::IsNaN(x), x, y);
}

/// Horner's scheme, highest power first.
template <class D, class V, std::size_t N>
HWY_INLINE V polynomial(D d, V x, const float (&coefficients)[N]) {
  V y = hn::Set(d, coefficients[0]);
  for (std::size_t i = 1; i < N; ++i) y = hn::MulAdd(y, x, hn::Set(d, coefficients[i]));
  return y;
}

/// The error function in f32: x P(x^2) up to 1, beyond it 1 - exp(-x^2) Q(1 / (1 + x/2)). P and Q interpolate
/// erf(x) / x and exp(x^2) erfc(x) at Chebyshev points, to 1.3e-10. From 4 on the result rounds to 1.
template <class D, class V>
HWY_INLINE V erf_all(D d, V x) {
  constexpr float p[] = {-9.66704465e-06F, 0.000112659589F, -0.000848408032F, 0.00522103161F,
                         -0.0268654302F,   0.112837821F,    -0.376126379F,    1.12837923F};
  constexpr float q[] = {0.120852433F, -0.476525277F, 0.571265161F, -0.110208295F,
                         0.35103032F,  0.258751363F,  0.285061628F, -0.000164236393F};
  const V one = hn::Set(d, 1.0F), size = hn::Min(hn::Abs(x), hn::Set(d, 4.0F));
  const V squared = hn::Mul(size, size);
  const V near_zero = hn::Mul(size, polynomial(d, squared, p));
  const V t = hn::Div(one, hn::MulAdd(size, hn::Set(d, 0.5F), one));
  const V tail = hn::NegMulAdd(hn::Exp(d, hn::Neg(squared)), polynomial(d, t, q), one);
  const V y = hn::CopySign(hn::IfThenElse(hn::Lt(size, one), near_zero, tail), x);
  return hn::IfThenElse(hn::IsNaN(x), x, y);
}

/// Phi(x), the standard normal distribution function.
template <class D, class V>
HWY_INLINE V normal_cdf(D d, V x) {
  const V half = hn::Set(d, 0.5F);
  return hn::MulAdd(half, erf_all(d, hn::Mul(x, hn::Set(d, static_cast<float>(std::numbers::sqrt2 / 2)))), half);
}

template <class D, class V>
HWY_INLINE V gelu_tanh_all(D d, V x) {
  using T = hn::TFromD<D>;
  const V k = hn::Set(d, static_cast<T>(0.7978845608028654));  // sqrt(2 / pi)
  const V cubic = hn::Mul(hn::Set(d, static_cast<T>(0.044715)), hn::Mul(x, hn::Mul(x, x)));
  const V t = tanh_all(d, hn::Mul(k, hn::Add(x, cubic)));
  return hn::Mul(hn::Mul(x, hn::Set(d, T(0.5))), hn::Add(hn::Set(d, T{1}), t));
}

template <class T>
HWY_INLINE T gelu_of(T x) {
  return x * T(0.5) * (T(1) + std::erf(x * static_cast<T>(std::numbers::sqrt2 / 2)));
}

/// As in Python: from the exact remainder, since u / v may round up to the next whole number.
template <class T>
HWY_INLINE T floor_divide(T u, T v) {
  if constexpr (std::is_floating_point_v<T>) {
    if (v == 0) return u / v;
    const T rest = std::fmod(u, v), towards_zero = (u - rest) / v;
    const T quotient = rest != 0 && (rest < 0) != (v < 0) ? towards_zero - 1 : towards_zero;
    if (quotient == 0) return std::copysign(T{0}, u / v);
    const T below = std::floor(quotient);
    return quotient - below > T(0.5) ? below + 1 : below;  // the quotient itself has been rounded
  } else if constexpr (std::is_signed_v<T>) {
    if (v == -1) return static_cast<T>(std::uint64_t{0} - static_cast<std::uint64_t>(u));  // the least one wraps around
    return static_cast<T>(u / v - (u % v != 0 && (u < 0) != (v < 0) ? 1 : 0));
  } else {
    return static_cast<T>(u / v);
  }
}

/// As in Python: the sign is that of v, and 0 where v divides u.
template <class T>
HWY_INLINE T remainder(T u, T v) {
  if constexpr (std::is_floating_point_v<T>) {
    const T rest = std::fmod(u, v);
    if (rest == 0) return std::copysign(rest, v);
    return (rest < 0) != (v < 0) ? rest + v : rest;
  } else if constexpr (std::is_signed_v<T>) {
    if (v == -1) return 0;  // the least number divided by it has no quotient
    const T rest = static_cast<T>(u % v);
    return rest != 0 && (rest < 0) != (v < 0) ? static_cast<T>(rest + v) : rest;
  } else {
    return static_cast<T>(u % v);
  }
}

template <class T>
HWY_INLINE T fmod(T u, T v) {
  if constexpr (std::is_floating_point_v<T>) return std::fmod(u, v);
  else if constexpr (std::is_signed_v<T>) return v == -1 ? T{0} : static_cast<T>(u % v);
  else return static_cast<T>(u % v);
}

/// u^v of integers, v >= 0, by squaring; wraps around.
template <class T>
HWY_INLINE T power(T u, T v) {
  auto square = static_cast<std::uint64_t>(u);
  std::uint64_t product = 1;
  for (auto left = static_cast<std::uint64_t>(v); left != 0; left >>= 1) {
    if ((left & 1) != 0) product *= square;
    square *= square;
  }
  return static_cast<T>(product);
}

template <class T>
void unary_float(Unary op, const T* x, T* y, Index n) {
  switch (op) {
    case Unary::neg: return map(x, y, n, [](T v) HWY_ATTR { return -v; });
    case Unary::abs: return map(x, y, n, [](T v) HWY_ATTR { return std::abs(v); });
    case Unary::sign: return map(x, y, n, [](T v) HWY_ATTR { return static_cast<T>((v > 0) - (v < 0)); });
    case Unary::square: return map(x, y, n, [](T v) HWY_ATTR { return v * v; });
    case Unary::sqrt: return map_vectors(x, y, n, [](auto, auto v) HWY_ATTR { return hn::Sqrt(v); });
    case Unary::rsqrt:
      return map_vectors(x, y, n, [](auto d, auto v) HWY_ATTR { return hn::Div(hn::Set(d, T{1}), hn::Sqrt(v)); });
    case Unary::reciprocal: return map(x, y, n, [](T v) HWY_ATTR { return T{1} / v; });
    case Unary::exp: return map_vectors(x, y, n, [](auto d, auto v) HWY_ATTR { return exp_all(d, v); });
    case Unary::expm1: return map(x, y, n, [](T v) HWY_ATTR { return std::expm1(v); });
    case Unary::log: return map_vectors(x, y, n, [](auto d, auto v) HWY_ATTR { return log_all(d, v); });
    case Unary::log1p: return map(x, y, n, [](T v) HWY_ATTR { return std::log1p(v); });
    case Unary::log2: return map(x, y, n, [](T v) HWY_ATTR { return std::log2(v); });
    case Unary::log10: return map(x, y, n, [](T v) HWY_ATTR { return std::log10(v); });
    case Unary::sin: return map(x, y, n, [](T v) HWY_ATTR { return std::sin(v); });
    case Unary::cos: return map(x, y, n, [](T v) HWY_ATTR { return std::cos(v); });
    case Unary::tan: return map(x, y, n, [](T v) HWY_ATTR { return std::tan(v); });
    case Unary::asin: return map(x, y, n, [](T v) HWY_ATTR { return std::asin(v); });
    case Unary::acos: return map(x, y, n, [](T v) HWY_ATTR { return std::acos(v); });
    case Unary::atan: return map(x, y, n, [](T v) HWY_ATTR { return std::atan(v); });
    case Unary::sinh: return map(x, y, n, [](T v) HWY_ATTR { return std::sinh(v); });
    case Unary::cosh: return map(x, y, n, [](T v) HWY_ATTR { return std::cosh(v); });
    case Unary::asinh: return map(x, y, n, [](T v) HWY_ATTR { return std::asinh(v); });
    case Unary::acosh: return map(x, y, n, [](T v) HWY_ATTR { return std::acosh(v); });
    case Unary::atanh: return map(x, y, n, [](T v) HWY_ATTR { return std::atanh(v); });
    case Unary::tanh: return map_vectors(x, y, n, [](auto d, auto v) HWY_ATTR { return tanh_all(d, v); });
    case Unary::sigmoid: return map_vectors(x, y, n, [](auto d, auto v) HWY_ATTR { return sigmoid_all(d, v); });
    case Unary::erf:
      if constexpr (sizeof(T) == 4) {
        return map_vectors(x, y, n, [](auto d, auto v) HWY_ATTR { return erf_all(d, v); });
      } else {
        return map(x, y, n, [](T v) HWY_ATTR { return std::erf(v); });
      }
    case Unary::floor: return map(x, y, n, [](T v) HWY_ATTR { return std::floor(v); });
    case Unary::ceil: return map(x, y, n, [](T v) HWY_ATTR { return std::ceil(v); });
    case Unary::round: return map(x, y, n, [](T v) HWY_ATTR { return std::nearbyint(v); });
    case Unary::trunc: return map(x, y, n, [](T v) HWY_ATTR { return std::trunc(v); });
    case Unary::relu: return map(x, y, n, [](T v) HWY_ATTR { return v <= 0 ? T{0} : v; });
    case Unary::silu:
      return map_vectors(x, y, n, [](auto d, auto v) HWY_ATTR { return hn::Mul(v, sigmoid_all(d, v)); });
    case Unary::gelu:
      if constexpr (sizeof(T) == 4) {
        return map_vectors(x, y, n, [](auto d, auto v) HWY_ATTR { return hn::Mul(v, normal_cdf(d, v)); });
      } else {
        return map(x, y, n, [](T v) HWY_ATTR { return gelu_of(v); });
      }
    case Unary::gelu_tanh: return map_vectors(x, y, n, [](auto d, auto v) HWY_ATTR { return gelu_tanh_all(d, v); });
  }
}

/// Integers wrap around: arithmetic is done on the unsigned type.
template <class T>
void unary_integer(Unary op, const T* x, T* y, Index n) {
  using U = std::make_unsigned_t<T>;
  switch (op) {
    case Unary::neg: return map(x, y, n, [](T v) HWY_ATTR { return static_cast<T>(U{0} - static_cast<U>(v)); });
    case Unary::abs:
      return map(x, y, n, [](T v) HWY_ATTR { return v < 0 ? static_cast<T>(U{0} - static_cast<U>(v)) : v; });
    case Unary::sign: return map(x, y, n, [](T v) HWY_ATTR { return static_cast<T>((v > 0) - (v < 0)); });
    case Unary::square:
      return map(x, y, n, [](T v) HWY_ATTR {
        return static_cast<T>(static_cast<std::uint64_t>(v) * static_cast<std::uint64_t>(v));
      });
    case Unary::sqrt:
    case Unary::rsqrt:
    case Unary::reciprocal:
    case Unary::exp:
    case Unary::expm1:
    case Unary::log:
    case Unary::log1p:
    case Unary::log2:
    case Unary::log10:
    case Unary::sin:
    case Unary::cos:
    case Unary::tan:
    case Unary::asin:
    case Unary::acos:
    case Unary::atan:
    case Unary::sinh:
    case Unary::cosh:
    case Unary::asinh:
    case Unary::acosh:
    case Unary::atanh:
    case Unary::tanh:
    case Unary::sigmoid:
    case Unary::erf:
    case Unary::floor:
    case Unary::ceil:
    case Unary::round:
    case Unary::trunc:
    case Unary::relu:
    case Unary::silu:
    case Unary::gelu:
    case Unary::gelu_tanh: break;  // ops refuse integers before they come here
  }
  HWY_ABORT("no loop over integers for unary operation %d", static_cast<int>(op));
}

template <class T>
void with_number_float(WithNumber op, const T* x, T number, T* y, Index n) {
  switch (op) {
    case WithNumber::pow: return map(x, y, n, [=](T v) HWY_ATTR { return std::pow(v, number); });
    case WithNumber::leaky_relu: return map(x, y, n, [=](T v) HWY_ATTR { return v > 0 ? v : v * number; });
    case WithNumber::elu: return map(x, y, n, [=](T v) HWY_ATTR { return v > 0 ? v : number * std::expm1(v); });
    case WithNumber::clamp_low: return map(x, y, n, [=](T v) HWY_ATTR { return v < number ? number : v; });
    case WithNumber::clamp_high: return map(x, y, n, [=](T v) HWY_ATTR { return v > number ? number : v; });
  }
}

/// Runs over one row with the steps as constants, so that each form is a loop the compiler can vectorise.
template <class T, class R, class F>
HWY_INLINE void row_loop(const T* a, Index a_step, const T* b, Index b_step, R* HWY_RESTRICT y, Index n, const F& f) {
  if (a_step == 1 && b_step == 1) {
    for (Index i = 0; i < n; ++i) y[i] = f(a[i], b[i]);
  } else if (a_step == 1) {
    const T number = *b;
    for (Index i = 0; i < n; ++i) y[i] = f(a[i], number);
  } else if (b_step == 1) {
    const T number = *a;
    for (Index i = 0; i < n; ++i) y[i] = f(number, b[i]);
  } else {
    const R value = f(*a, *b);
    for (Index i = 0; i < n; ++i) y[i] = value;
  }
}

/// Both values are loaded before one is chosen: the compiler then blends vectors.
template <class T>
void select_run(const std::uint8_t* HWY_RESTRICT condition, const T* HWY_RESTRICT a, Index a_step,
                const T* HWY_RESTRICT b, Index b_step, T* HWY_RESTRICT y, Index n) {
  const auto run = [&](const auto& u, const auto& v) HWY_ATTR {
    for (Index i = 0; i < n; ++i) {
      const T first = u(i), second = v(i);
      y[i] = condition[i] != 0 ? first : second;
    }
  };
  const T number_a = n > 0 ? *a : T{}, number_b = n > 0 ? *b : T{};
  const auto each_a = [=](Index i) HWY_ATTR { return a[i]; };
  const auto each_b = [=](Index i) HWY_ATTR { return b[i]; };
  const auto same_a = [=](Index) HWY_ATTR { return number_a; };
  const auto same_b = [=](Index) HWY_ATTR { return number_b; };
  if (a_step == 1 && b_step == 1) run(each_a, each_b);
  else if (a_step == 1) run(each_a, same_b);
  else if (b_step == 1) run(same_a, each_b);
  else run(same_a, same_b);
}

/// Rows [begin, end) of a broadcast.
template <class T, class R, class F>
HWY_INLINE void rows_loop(const Broadcast& p, Index begin, Index end, const T* a, const T* b, R* y, const F& f) {
  p.for_rows(begin, end, [&](Index at_a, Index at_b, Index at_y) HWY_ATTR {
    row_loop(a + at_a, p.a_step, b + at_b, p.b_step, y + at_y, p.length, f);
  });
}

template <class T>
HWY_INLINE T phi(T x) {  // density of the standard normal distribution
  return static_cast<T>(0.3989422804014327) * std::exp(T(-0.5) * x * x);
}

template <class T>
void binary_float(Binary op, const Broadcast& p, Index begin, Index end, const T* a, const T* b, T* y) {
  const auto run = [&](const auto& f) HWY_ATTR { rows_loop(p, begin, end, a, b, y, f); };
  switch (op) {
    case Binary::add: return run([](T u, T v) HWY_ATTR { return u + v; });
    case Binary::sub: return run([](T u, T v) HWY_ATTR { return u - v; });
    case Binary::mul: return run([](T u, T v) HWY_ATTR { return u * v; });
    case Binary::div: return run([](T u, T v) HWY_ATTR { return u / v; });
    case Binary::maximum: return run([](T u, T v) HWY_ATTR { return u != u ? u : (v <= u ? u : v); });
    case Binary::minimum: return run([](T u, T v) HWY_ATTR { return u != u ? u : (v >= u ? u : v); });
    case Binary::relu_grad: return run([](T u, T v) HWY_ATTR { return v <= 0 ? T{0} : u; });
    case Binary::abs_grad: return run([](T u, T v) HWY_ATTR { return v > 0 ? u : (v < 0 ? -u : T{0}); });
    case Binary::sqrt_grad: return run([](T u, T v) HWY_ATTR { return u / (T{2} * v); });
    case Binary::tanh_grad: return run([](T u, T v) HWY_ATTR { return u * (T{1} - v * v); });
    case Binary::sigmoid_grad: return run([](T u, T v) HWY_ATTR { return u * (v * (T{1} - v)); });
    case Binary::silu_grad:
      return map_vectors(a, b, y, p.length, [](auto d, auto u, auto v) HWY_ATTR {
        const auto one = hn::Set(d, T{1}), s = sigmoid_all(d, v);
        return hn::Mul(u, hn::Mul(s, hn::Add(one, hn::Mul(v, hn::Sub(one, s)))));
      });
    case Binary::gelu_grad:
      if constexpr (sizeof(T) == 4) {
        return map_vectors(a, b, y, p.length, [](auto d, auto u, auto v) HWY_ATTR {
          constexpr float inv_sqrt_2pi = 0.3989422804014327F;
          const auto density = exp_all(d, hn::Mul(hn::Set(d, -0.5F), hn::Mul(v, v)));
          return hn::Mul(u, hn::Add(normal_cdf(d, v), hn::Mul(v, hn::Mul(hn::Set(d, inv_sqrt_2pi), density))));
        });
      } else {
        return run([](T u, T v) HWY_ATTR {
          return u * (T(0.5) * (T{1} + std::erf(v * static_cast<T>(std::numbers::sqrt2 / 2))) + v * phi(v));
        });
      }
    case Binary::floor_divide: return run([](T u, T v) HWY_ATTR { return floor_divide(u, v); });
    case Binary::remainder: return run([](T u, T v) HWY_ATTR { return remainder(u, v); });
    case Binary::fmod: return run([](T u, T v) HWY_ATTR { return fmod(u, v); });
    case Binary::pow: return run([](T u, T v) HWY_ATTR { return std::pow(u, v); });
    case Binary::fmax: return run([](T u, T v) HWY_ATTR { return v != v || u >= v ? u : v; });
    case Binary::fmin: return run([](T u, T v) HWY_ATTR { return v != v || u <= v ? u : v; });
    case Binary::atan2: return run([](T u, T v) HWY_ATTR { return std::atan2(u, v); });
    case Binary::hypot: return run([](T u, T v) HWY_ATTR { return std::hypot(u, v); });
  }
}

template <class T>
void binary_integer(Binary op, const Broadcast& p, Index begin, Index end, const T* a, const T* b, T* y) {
  using U = std::uint64_t;  // wide enough for all, so that nothing overflows in a signed type
  const auto run = [&](const auto& f) HWY_ATTR { rows_loop(p, begin, end, a, b, y, f); };
  switch (op) {
    case Binary::add:
      return run([](T u, T v) HWY_ATTR { return static_cast<T>(static_cast<U>(u) + static_cast<U>(v)); });
    case Binary::sub:
      return run([](T u, T v) HWY_ATTR { return static_cast<T>(static_cast<U>(u) - static_cast<U>(v)); });
    case Binary::mul:
      return run([](T u, T v) HWY_ATTR { return static_cast<T>(static_cast<U>(u) * static_cast<U>(v)); });
    case Binary::maximum: return run([](T u, T v) HWY_ATTR { return u < v ? v : u; });
    case Binary::minimum: return run([](T u, T v) HWY_ATTR { return v < u ? v : u; });
    case Binary::floor_divide: return run([](T u, T v) HWY_ATTR { return floor_divide(u, v); });
    case Binary::remainder: return run([](T u, T v) HWY_ATTR { return remainder(u, v); });
    case Binary::fmod: return run([](T u, T v) HWY_ATTR { return fmod(u, v); });
    case Binary::pow: return run([](T u, T v) HWY_ATTR { return power(u, v); });
    case Binary::fmax:
    case Binary::fmin:
    case Binary::atan2:
    case Binary::hypot:
    case Binary::div:
    case Binary::relu_grad:
    case Binary::abs_grad:
    case Binary::sqrt_grad:
    case Binary::tanh_grad:
    case Binary::sigmoid_grad:
    case Binary::silu_grad:
    case Binary::gelu_grad: break;  // ops refuse integers before they come here
  }
  HWY_ABORT("no loop over integers for binary operation %d", static_cast<int>(op));
}

template <class T>
void compare_rows(Compare op, const Broadcast& p, Index begin, Index end, const T* a, const T* b, bool* y) {
  const auto run = [&](const auto& f) HWY_ATTR { rows_loop(p, begin, end, a, b, y, f); };
  switch (op) {
    case Compare::eq: return run([](T u, T v) HWY_ATTR { return u == v; });
    case Compare::ne: return run([](T u, T v) HWY_ATTR { return u != v; });
    case Compare::lt: return run([](T u, T v) HWY_ATTR { return u < v; });
    case Compare::le: return run([](T u, T v) HWY_ATTR { return u <= v; });
    case Compare::gt: return run([](T u, T v) HWY_ATTR { return u > v; });
    case Compare::ge: return run([](T u, T v) HWY_ATTR { return u >= v; });
  }
}

template <class T>
constexpr ElementwiseTable<T> table_of() {
  if constexpr (std::is_same_v<T, bool>) return {nullptr, nullptr, nullptr, compare_rows<T>};
  else if constexpr (std::is_integral_v<T>) return {unary_integer<T>, nullptr, binary_integer<T>, compare_rows<T>};
  else return {unary_float<T>, with_number_float<T>, binary_float<T>, compare_rows<T>};
}

}  // namespace

void select_u8(const std::uint8_t* c, const std::uint8_t* a, Index sa, const std::uint8_t* b, Index sb, std::uint8_t* y,
               Index n) {
  select_run(c, a, sa, b, sb, y, n);
}
void select_u16(const std::uint8_t* c, const std::uint16_t* a, Index sa, const std::uint16_t* b, Index sb,
                std::uint16_t* y, Index n) {
  select_run(c, a, sa, b, sb, y, n);
}
void select_u32(const std::uint8_t* c, const std::uint32_t* a, Index sa, const std::uint32_t* b, Index sb,
                std::uint32_t* y, Index n) {
  select_run(c, a, sa, b, sb, y, n);
}
void select_u64(const std::uint8_t* c, const std::uint64_t* a, Index sa, const std::uint64_t* b, Index sb,
                std::uint64_t* y, Index n) {
  select_run(c, a, sa, b, sb, y, n);
}

const void* table_for(int type) {
  static constexpr auto t0 = table_of<float>();
  static constexpr auto t1 = table_of<double>();
  static constexpr auto t2 = table_of<std::int64_t>();
  static constexpr auto t3 = table_of<std::int32_t>();
  static constexpr auto t4 = table_of<std::uint8_t>();
  static constexpr auto t5 = table_of<bool>();
  const void* const tables[] = {&t0, &t1, &t2, &t3, &t4, &t5};
  return tables[type];
}

}  // namespace HWY_NAMESPACE
}  // namespace tapestry::kernels
HWY_AFTER_NAMESPACE();

#if HWY_ONCE
namespace tapestry::kernels {
namespace {

HWY_EXPORT(table_for);
HWY_EXPORT(select_u8);
HWY_EXPORT(select_u16);
HWY_EXPORT(select_u32);
HWY_EXPORT(select_u64);

template <class T>
constexpr int type_index = std::is_same_v<T, float>          ? 0
                           : std::is_same_v<T, double>       ? 1
                           : std::is_same_v<T, std::int64_t> ? 2
                           : std::is_same_v<T, std::int32_t> ? 3
                           : std::is_same_v<T, std::uint8_t> ? 4
                                                             : 5;

template <class T>
const ElementwiseTable<T>& table() {
  return *static_cast<const ElementwiseTable<T>*>(HWY_DYNAMIC_DISPATCH(table_for)(type_index<T>));
}

/// f(begin, end) over the rows of a broadcast; a single long row is cut into pieces instead.
template <class F>
void for_broadcast(const Broadcast& p, const F& f) {
  const Index total = p.rows * p.length;
  if (total <= tuning::kGrain) {
    if (total > 0) f(p, Index{0}, p.rows, Index{0});
    return;
  }
  if (p.rows == 1) {
    parallel_for(p.length, tuning::kGrain, [&](Index begin, Index end) {
      Broadcast piece = p;
      piece.length = end - begin;
      f(piece, Index{0}, Index{1}, begin);
    });
    return;
  }
  parallel_for(p.rows, tuning::rows_per_task(p.length), [&](Index begin, Index end) { f(p, begin, end, Index{0}); });
}

}  // namespace

template <class T>
void unary(Unary op, const T* x, T* y, Index n) {
  const auto kernel = table<T>().unary;
  parallel_for(n, tuning::kGrain, [=](Index begin, Index end) { kernel(op, x + begin, y + begin, end - begin); });
}

template <class T>
void with_number(WithNumber op, const T* x, T number, T* y, Index n) {
  const auto kernel = table<T>().with_number;
  parallel_for(n, tuning::kGrain,
               [=](Index begin, Index end) { kernel(op, x + begin, number, y + begin, end - begin); });
}

template <class T>
void binary(Binary op, const Broadcast& broadcast, const T* a, const T* b, T* y) {
  const auto kernel = table<T>().binary;
  for_broadcast(broadcast, [=](const Broadcast& p, Index begin, Index end, Index at) {
    kernel(op, p, begin, end, a + at * p.a_step, b + at * p.b_step, y + at);
  });
}

template <class T>
void compare(Compare op, const Broadcast& broadcast, const T* a, const T* b, bool* y) {
  const auto kernel = table<T>().compare;
  for_broadcast(broadcast, [=](const Broadcast& p, Index begin, Index end, Index at) {
    kernel(op, p, begin, end, a + at * p.a_step, b + at * p.b_step, y + at);
  });
}

template <class T>
void select(const bool* condition, const T* a, Index a_step, const T* b, Index b_step, T* y, Index n) {
  const auto* chosen = reinterpret_cast<const std::uint8_t*>(condition);
  parallel_for(n, tuning::kGrain, [=](Index begin, Index end) {
    const T* u = a + begin * a_step;
    const T* v = b + begin * b_step;
    const Index count = end - begin;
    if constexpr (sizeof(T) == 1)
      HWY_DYNAMIC_DISPATCH(select_u8)(chosen + begin, u, a_step, v, b_step, y + begin, count);
    else if constexpr (sizeof(T) == 2)
      HWY_DYNAMIC_DISPATCH(select_u16)(chosen + begin, u, a_step, v, b_step, y + begin, count);
    else if constexpr (sizeof(T) == 4)
      HWY_DYNAMIC_DISPATCH(select_u32)(chosen + begin, u, a_step, v, b_step, y + begin, count);
    else HWY_DYNAMIC_DISPATCH(select_u64)(chosen + begin, u, a_step, v, b_step, y + begin, count);
  });
}

template <class T>
void scale(const T* x, T number, T* y, Index n) {
  binary(Binary::mul, Broadcast(n, 1, 0), x, &number, y);
}

template void unary(Unary, const float*, float*, Index);
template void unary(Unary, const double*, double*, Index);
template void unary(Unary, const std::int64_t*, std::int64_t*, Index);
template void unary(Unary, const std::int32_t*, std::int32_t*, Index);
template void unary(Unary, const std::uint8_t*, std::uint8_t*, Index);
template void with_number(WithNumber, const float*, float, float*, Index);
template void with_number(WithNumber, const double*, double, double*, Index);
template void binary(Binary, const Broadcast&, const float*, const float*, float*);
template void binary(Binary, const Broadcast&, const double*, const double*, double*);
template void binary(Binary, const Broadcast&, const std::int64_t*, const std::int64_t*, std::int64_t*);
template void binary(Binary, const Broadcast&, const std::int32_t*, const std::int32_t*, std::int32_t*);
template void binary(Binary, const Broadcast&, const std::uint8_t*, const std::uint8_t*, std::uint8_t*);
template void compare(Compare, const Broadcast&, const float*, const float*, bool*);
template void compare(Compare, const Broadcast&, const double*, const double*, bool*);
template void compare(Compare, const Broadcast&, const std::int64_t*, const std::int64_t*, bool*);
template void compare(Compare, const Broadcast&, const std::int32_t*, const std::int32_t*, bool*);
template void compare(Compare, const Broadcast&, const std::uint8_t*, const std::uint8_t*, bool*);
template void compare(Compare, const Broadcast&, const bool*, const bool*, bool*);
template void select(const bool*, const std::uint8_t*, Index, const std::uint8_t*, Index, std::uint8_t*, Index);
template void select(const bool*, const std::uint16_t*, Index, const std::uint16_t*, Index, std::uint16_t*, Index);
template void select(const bool*, const std::uint32_t*, Index, const std::uint32_t*, Index, std::uint32_t*, Index);
template void select(const bool*, const std::uint64_t*, Index, const std::uint64_t*, Index, std::uint64_t*, Index);
template void scale(const float*, float, float*, Index);
template void scale(const double*, double, double*, Index);

}  // namespace tapestry::kernels
#endif
