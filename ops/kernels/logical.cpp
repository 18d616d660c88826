#include <tapestry/ops/kernels/logical.h>

#include <tapestry/ops/kernels/base/tuning.h>

namespace tapestry::kernels {
namespace {

template <class F>
void for_all(const bool* a, const bool* b, bool* y, Index n, const F& f) {
  parallel_for(n, tuning::kGrain, [=](Index begin, Index end) {
    for (Index i = begin; i < end; ++i) y[i] = f(a[i], b[i]);
  });
}

}  // namespace

void logical(Logical op, const bool* a, const bool* b, bool* y, Index n) {
  switch (op) {
    case Logical::both: return for_all(a, b, y, n, [](bool u, bool v) { return u && v; });
    case Logical::either: return for_all(a, b, y, n, [](bool u, bool v) { return u || v; });
    case Logical::one: return for_all(a, b, y, n, [](bool u, bool v) { return u != v; });
    default: return for_all(a, b, y, n, [](bool u, bool v) { return !u && !v; });
  }
}

}  // namespace tapestry::kernels
