#include <tapestry/ops/kernels/sort.h>

#include <algorithm>
#include <cmath>
#include <numeric>
#include <type_traits>

#include <tapestry/autograd/memory/scratch.h>
#include <tapestry/ops/kernels/base/tuning.h>

namespace tapestry::kernels {
namespace {

/// a stands before b: NaN is the largest.
template <class T>
bool is_less(T a, T b) {
  if constexpr (std::is_same_v<T, BFloat16>) return is_less(static_cast<float>(a), static_cast<float>(b));
  else if constexpr (std::is_floating_point_v<T>) return a < b || (std::isnan(b) && !std::isnan(a));
  else return a < b;
}

template <class T>
void sort_order(const T* x, Index outer, Index n, Index inner, bool descending, Index count, std::int64_t* order) {
  const auto grain = tuning::rows_per_task(n, tuning::kCostlyGrain);
  parallel_for(outer * inner, grain, [=](Index begin, Index end) {
    const Scratch<Index> order_of_line(n);
    Index* const position = order_of_line.data();
    for (Index line = begin; line < end; ++line) {
      const T* const from = x + line / inner * n * inner + line % inner;
      const auto before = [&](Index a, Index b) {
        const T u = from[a * inner], v = from[b * inner];
        if (descending ? is_less(v, u) : is_less(u, v)) return true;
        return !(descending ? is_less(u, v) : is_less(v, u)) && a < b;
      };
      std::iota(position, position + n, Index{0});
      if (count == n) std::sort(position, position + n, before);
      else std::partial_sort(position, position + count, position + n, before);
      for (Index i = 0; i < count; ++i) order[(line / inner * count + i) * inner + line % inner] = position[i];
    }
  });
}

}  // namespace

void sort_order(Elements x, Index outer, Index n, Index inner, bool descending, Index count, std::int64_t* order) {
  visit(x.dtype, [&]<class T>() { sort_order(x.as<T>(), outer, n, inner, descending, count, order); });
}

}  // namespace tapestry::kernels
