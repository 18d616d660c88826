#pragma once

#include <boost/test/unit_test.hpp>

#include <algorithm>
#include <cmath>
#include <exception>
#include <sstream>
#include <string>
#include <string_view>
#include <typeinfo>
#include <utility>
#include <vector>

#include <tapestry/autograd/tensor.h>

/// What tests of all folders say over and over.
namespace tapestry::test {

/// The first line of what f throws as an E; "no error", or the error's own text marked, when it throws something else.
/// The second line, the place in the source, is checked where that is the subject.
template <class E, class F>
std::string error(F&& f) {
  try {
    std::forward<F>(f)();
  } catch (const E& e) {
    if (typeid(e) != typeid(E)) return std::string("another type: ") + e.what();
    const std::string text = e.what();
    return text.substr(0, text.find("\n  at "));
  } catch (const std::exception& e) {
    return std::string("another type: ") + e.what();
  }
  return "no error";
}

/// All elements as doubles, row-major.
inline std::vector<double> values(const Tensor& x) {
  std::vector<double> out;
  visit(x.dtype(), [&]<class T>() {
    for (const T& v : x.span<T>()) {
      if constexpr (std::is_same_v<T, BFloat16>) out.push_back(static_cast<float>(v));
      else out.push_back(static_cast<double>(v));
    }
  });
  return out;
}

/// Equal within |a - b| <= atol + rtol * |b|; NaN equals NaN, infinities equal themselves. The message lists the worst
/// elements. rtol = atol = 0 asks for equality (-0 equals 0).
inline boost::test_tools::predicate_result all_close(const std::vector<double>& a, const std::vector<double>& b,
                                                     double rtol, double atol = 0) {
  boost::test_tools::predicate_result result(true);
  if (a.size() != b.size()) {
    result = false;
    result.message() << "sizes differ: " << a.size() << " and " << b.size();
    return result;
  }
  std::vector<std::pair<double, std::size_t>> bad;
  for (std::size_t i = 0; i < a.size(); ++i) {
    if ((std::isnan(a[i]) && std::isnan(b[i])) || a[i] == b[i]) continue;
    const double error = std::abs(a[i] - b[i]);
    if (!(error <= atol + rtol * std::abs(b[i]))) bad.emplace_back(std::isnan(error) ? INFINITY : error, i);
  }
  if (bad.empty()) return result;
  result = false;
  std::sort(bad.begin(), bad.end(), [](const auto& x, const auto& y) { return x.first > y.first; });
  result.message() << bad.size() << " of " << a.size() << " elements differ; the worst:";
  for (std::size_t k = 0; k < std::min<std::size_t>(5, bad.size()); ++k) {
    const std::size_t i = bad[k].second;
    std::ostringstream line;
    line.precision(10);
    line << " [" << i << "] " << a[i] << " != " << b[i] << ";";
    result.message() << line.str();
  }
  return result;
}

inline boost::test_tools::predicate_result all_close(const Tensor& a, const std::vector<double>& b, double rtol,
                                                     double atol = 0) {
  return all_close(values(a), b, rtol, atol);
}

inline boost::test_tools::predicate_result all_close(const Tensor& a, const Tensor& b, double rtol, double atol = 0) {
  boost::test_tools::predicate_result result(true);
  if (a.shape() != b.shape() || a.dtype() != b.dtype()) {
    result = false;
    result.message() << name_of(a.dtype()) << ' ' << to_string(a.shape()) << " is not " << name_of(b.dtype()) << ' '
                     << to_string(b.shape());
    return result;
  }
  return all_close(values(a), values(b), rtol, atol);
}

/// Same shape, dtype and bits, NaN payloads and signs of zero included.
inline bool same_bits(const Tensor& a, const Tensor& b) {
  const auto bytes = static_cast<std::size_t>(a.numel() * item_bytes(a.dtype()));
  return a.shape() == b.shape() && a.dtype() == b.dtype() &&
         std::equal(a.impl().bytes(), a.impl().bytes() + bytes, b.impl().bytes());
}

}  // namespace tapestry::test

namespace tapestry {
/// How Boost.Test prints shapes and dtypes.
inline std::ostream& operator<<(std::ostream& out, const Shape& shape) { return out << to_string(shape); }
inline std::ostream& operator<<(std::ostream& out, Dtype dtype) { return out << name_of(dtype); }
}  // namespace tapestry
