#include <tapestry/ops/kernels/find.h>

#include <algorithm>
#include <cstdint>

#include <tapestry/ops/kernels/base/tuning.h>

namespace tapestry::kernels {

template <class T>
Index first_outside(const T* x, Index n, T least, T most) {
  const auto is_outside = [=](T value) { return value < least || value > most; };
  return parallel_reduce(
      n, tuning::kGrain, n,
      [=](Index begin, Index end) {
        const T* const found = std::find_if(x + begin, x + end, is_outside);
        return found == x + end ? n : static_cast<Index>(found - x);
      },
      [](Index a, Index b) { return std::min(a, b); });
}

template Index first_outside(const float*, Index, float, float);
template Index first_outside(const double*, Index, double, double);
template Index first_outside(const std::int64_t*, Index, std::int64_t, std::int64_t);

}  // namespace tapestry::kernels
