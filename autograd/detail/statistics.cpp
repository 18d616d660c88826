#include <tapestry/autograd/detail/statistics.h>

#include <fmt/format.h>

#include <algorithm>
#include <array>
#include <cmath>
#include <limits>

#include <tapestry/autograd/base/parallel.h>

namespace tapestry::detail {
namespace {

constexpr Index kGrain = 32 * 1024;  // elements: below this one core is done before a second wakes
constexpr std::size_t kLanes = 32;   // independent minima and maxima, which compilers keep in vectors
constexpr Index kRow = Index{kLanes};

template <class T>
double value_of(T x) {
  if constexpr (std::is_same_v<T, BFloat16>) return static_cast<float>(x);
  else return static_cast<double>(x);
}

Statistics joined(Statistics a, const Statistics& b) {
  if (b.finite > 0) {
    a.low = a.finite > 0 ? std::min(a.low, b.low) : b.low;
    a.high = a.finite > 0 ? std::max(a.high, b.high) : b.high;
  }
  a.finite += b.finite;
  a.nan += b.nan;
  a.infinite += b.infinite;
  return a;
}

/// Element by element, for what is not all finite.
template <class T>
Statistics counted(const T* x, Index n) {
  Statistics s;
  for (Index i = 0; i < n; ++i) {
    const double value = value_of(x[i]);
    if (std::isfinite(value)) s = joined(s, {value, value, 1, 0, 0});
    else if (std::isnan(value)) ++s.nan;
    else ++s.infinite;
  }
  return s;
}

/// All finite? Then low and high, in one pass; else with the count.
template <class T>
Statistics chunk(const T* x, Index n) {
  if constexpr (std::is_same_v<T, BFloat16>) {
    return counted(x, n);
  } else {
    if (n < kRow) return counted(x, n);
    std::array<T, kLanes> low, high, rest;  // rest: 0 while all is finite, NaN from then on
    low.fill(x[0]);
    high.fill(x[0]);
    rest.fill(0);
    for (Index i = 0; i + kRow <= n; i += kRow) {
      for (std::size_t k = 0; k < kLanes; ++k) {
        const T value = x[i + static_cast<Index>(k)];
        low[k] = value < low[k] ? value : low[k];
        high[k] = value > high[k] ? value : high[k];
        rest[k] += value * 0;
      }
    }
    T sum = 0;
    for (const T one : rest) sum += one;
    if (!(sum == 0)) return counted(x, n);
    const Index whole = n / kRow * kRow;
    return joined({static_cast<double>(*std::min_element(low.begin(), low.end())),
                   static_cast<double>(*std::max_element(high.begin(), high.end())), whole, 0, 0},
                  counted(x + whole, n - whole));
  }
}

}  // namespace

Statistics statistics_of(const Tensor& x) {
  if (!x.defined() || !is_float(x.dtype())) return {};
  return visit_any_float(x.dtype(), [&]<class T>() {
    const T* const data = x.data<T>();
    return parallel_reduce(
        x.numel(), kGrain, Statistics{}, [=](Index begin, Index end) { return chunk(data + begin, end - begin); },
        joined);
  });
}

std::string faults_of(const Statistics& s) {
  if (s.nan > 0 && s.infinite > 0) return fmt::format("{} NaN and {} Inf", s.nan, s.infinite);
  return s.nan > 0 ? fmt::format("{} NaN", s.nan) : fmt::format("{} Inf", s.infinite);
}

std::string to_string(const Statistics& s) {
  if (s.finite + s.nan + s.infinite == 0) return "no elements";
  std::string text = s.finite > 0 ? fmt::format("min {:.6g}, max {:.6g}, ", s.low, s.high) : std::string();
  if (s.nan + s.infinite == 0) return text + "all finite";
  return text + faults_of(s);
}

}  // namespace tapestry::detail
