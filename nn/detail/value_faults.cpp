#include <tapestry/nn/detail/value_faults.h>

#include <fmt/format.h>

#include <cmath>

namespace tapestry::nn::detail {

std::string value_faults(const std::string& name, const Tensor& x, Sign sign) {
  Index not_finite = 0, negative = 0;
  visit(x.dtype(), [&]<class T>() {
    if constexpr (std::is_floating_point_v<T> || std::is_same_v<T, BFloat16>) {
      for (const T& element : x.span<T>()) {
        const auto value = static_cast<std::conditional_t<std::is_same_v<T, double>, double, float>>(element);
        not_finite += std::isfinite(value) ? 0 : 1;
        negative += value < 0 ? 1 : 0;
      }
    }
  });
  std::string out;
  const auto tell = [&](Index count, const char* what) {
    if (count > 0) out += fmt::format("\n  {}: {} of {} values are {}", name, count, x.numel(), what);
  };
  tell(not_finite, "not finite");
  if (sign == Sign::not_negative) tell(negative, "negative");
  return out;
}

}  // namespace tapestry::nn::detail
