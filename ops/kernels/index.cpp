#include <tapestry/ops/kernels/index.h>

#include <algorithm>
#include <cstring>

#include <tapestry/ops/kernels/base/tasks.h>
#include <tapestry/ops/kernels/base/tuning.h>
#include <tapestry/ops/kernels/visit_size.h>

namespace tapestry::kernels {
namespace {

/// f(position in the index, offset in x without the indexed dimension) for positions [begin, end), in order.
template <class F>
void for_positions(const GatherShape& s, Index begin, Index end, const F& f) {
  for (Index at = begin; at < end; ++at) {
    Index rest = at, offset = 0, stride = 1;
    for (Index d = s.x.rank() - 1; d >= 0; --d) {
      if (d != s.dim) offset += rest % s.index[d] * stride;
      rest /= s.index[d];
      stride *= s.x[d];
    }
    f(at, offset);
  }
}

/// Elements of x between neighbours in the indexed dimension.
Index step_of(const GatherShape& s) { return s.x.numel(s.dim + 1, s.x.rank()); }

/// Cuts `outer` x `inner` lines, of n elements each, into tasks of whole outer rows, or, where there is one only, of
/// neighbouring lines: f(first outer, end, inner range). Elements of different lines never meet at a place, those of a
/// line do, and are in one task.
template <class F>
void for_lines(Index outer, Index n, Index inner, const F& f) {
  if (outer * n * inner == 0) return;
  if (outer > 1) {
    parallel_for(outer, tuning::rows_per_task(n * inner, tuning::kCostlyGrain), [&](Index begin, Index end) {
      f(begin, end, Range{0, inner});
    });
    return;
  }
  const Index grain = std::max(tuning::kFewestLines, tuning::rows_per_task(n, tuning::kCostlyGrain));
  parallel_for(inner, grain, [&](Index begin, Index end) { f(Index{0}, Index{1}, Range{begin, end}); });
}

}  // namespace

void gather(const GatherShape& s, const std::int64_t* at, const std::byte* x, std::byte* y, Index bytes) {
  const Index step = step_of(s);
  visit_size(bytes, [&]<class T>() {
    const T* const from = reinterpret_cast<const T*>(x);
    T* const to = reinterpret_cast<T*>(y);
    parallel_for(s.index.numel(), tuning::kCostlyGrain, [&](Index begin, Index end) {
      for_positions(s, begin, end, [&](Index i, Index offset) { to[i] = from[offset + at[i] * step]; });
    });
  });
}

template <class T>
void scatter_add(const GatherShape& s, const std::int64_t* at, const T* x, T* y) {
  const Index step = step_of(s);
  const Index outer = s.index.numel(0, s.dim), n = s.index[s.dim], inner = s.index.numel(s.dim + 1, s.index.rank());
  for_lines(outer, n, inner, [&](Index begin, Index end, Range lines) {
    for (Index row = begin * n; row < end * n; ++row) {
      for_positions(s, row * inner + lines.begin, row * inner + lines.end,
                    [&](Index i, Index offset) { y[offset + at[i] * step] += x[i]; });
    }
  });
}

void last_writer(const GatherShape& s, const std::int64_t* at, std::int64_t* writer) {
  const Index step = step_of(s);
  const Index outer = s.index.numel(0, s.dim), n = s.index[s.dim], inner = s.index.numel(s.dim + 1, s.index.rank());
  for_lines(outer, n, inner, [&](Index begin, Index end, Range lines) {
    for (Index row = begin * n; row < end * n; ++row) {
      for_positions(s, row * inner + lines.begin, row * inner + lines.end,
                    [&](Index i, Index offset) { writer[offset + at[i] * step] = i; });
    }
  });
}

Index true_positions(const bool* mask, Index n, std::int64_t* positions) {
  Index count = 0;
  for (Index i = 0; i < n; ++i) {
    if (positions != nullptr && mask[i]) positions[count] = i;
    count += mask[i] ? 1 : 0;
  }
  return count;
}

void index_select(const std::byte* x, Index outer, Index n, Index run, const std::int64_t* at, Index m, std::byte* y) {
  if (run == 0) return;
  parallel_for(outer * m, tuning::rows_per_task(run, 4 * tuning::kCostlyGrain), [=](Index begin, Index end) {
    for (Index row = begin; row < end; ++row) {
      std::memcpy(y + row * run, x + (row / m * n + at[row % m]) * run, static_cast<std::size_t>(run));
    }
  });
}

template <class T>
void index_add(const T* x, Index outer, Index m, Index run, const std::int64_t* at, Index n, T* y) {
  for_lines(outer, m, run, [=](Index begin, Index end, Range columns) {
    for (Index row = begin * m; row < end * m; ++row) {
      const T* const from = x + row * run;
      T* const sum = y + (row / m * n + at[row % m]) * run;
      for (Index j = columns.begin; j < columns.end; ++j) sum[j] += from[j];
    }
  });
}

void mark(const std::int64_t* label, Index n, Index classes, const std::byte* one, std::byte* y, Index bytes) {
  visit_size(bytes, [&]<class T>() {
    T value;
    std::memcpy(&value, one, sizeof(T));
    T* const to = reinterpret_cast<T*>(y);
    parallel_for(n, tuning::kCostlyGrain, [=](Index begin, Index end) {
      for (Index i = begin; i < end; ++i) to[i * classes + label[i]] = value;
    });
  });
}

template void scatter_add(const GatherShape&, const std::int64_t*, const float*, float*);
template void scatter_add(const GatherShape&, const std::int64_t*, const double*, double*);
template void index_add(const float*, Index, Index, Index, const std::int64_t*, Index, float*);
template void index_add(const double*, Index, Index, Index, const std::int64_t*, Index, double*);

}  // namespace tapestry::kernels
