#include <tapestry/ops/kernels/simd/targets.h>

#undef HWY_TARGET_INCLUDE
#define HWY_TARGET_INCLUDE "tapestry/ops/kernels/loss.cpp"
#include <hwy/foreach_target.h>

#include <tapestry/ops/kernels/simd/vectors-inl.h>

#include <algorithm>
#include <cmath>
#include <type_traits>

#include <tapestry/ops/kernels/base/tuning.h>
#include <tapestry/ops/kernels/loss.h>

#ifndef TAPESTRY_LOSS_ONCE
#define TAPESTRY_LOSS_ONCE
namespace tapestry::kernels {
namespace {

/// The loops over one row, for one element type and instruction set.
template <class T>
struct LossTable {
  T (*sum_exp)(const T* x, Index n, T* shift);  ///< sum of exp(x - shift), shift = the largest
  T (*store_exp)(const T* x, Index n, T* e);    ///< the same; e = exp(x - shift)
  void (*scale)(T* x, Index n, T factor);       ///< x *= factor
};

}  // namespace
}  // namespace tapestry::kernels
#endif

HWY_BEFORE_NAMESPACE();
namespace tapestry::kernels {
namespace HWY_NAMESPACE {
namespace {

template <class T>
T sum_exp(const T* x, Index n, T* shift) {
  const T most = largest(x, n);
  *shift = most;
  return sum_vectors<T>(
      n, [=](auto d, Index i) HWY_ATTR { return exp_negative(d, hn::Sub(hn::LoadU(d, x + i), hn::Set(d, most))); });
}

template <class T>
T store_exp(const T* x, Index n, T* e) {
  const T most = largest(x, n);
  return sum_vectors<T>(n, [=](auto d, Index i) HWY_ATTR {
    const auto v = exp_negative(d, hn::Sub(hn::LoadU(d, x + i), hn::Set(d, most)));
    hn::StoreU(v, d, e + i);
    return v;
  });
}

template <class T>
void scale(T* x, Index n, T factor) {
  for (Index i = 0; i < n; ++i) x[i] *= factor;
}

template <class T>
constexpr LossTable<T> table_of() {
  return {sum_exp<T>, store_exp<T>, scale<T>};
}

}  // namespace

const void* loss_table(bool is_double) {
  static constexpr auto of_float = table_of<float>();
  static constexpr auto of_double = table_of<double>();
  return is_double ? static_cast<const void*>(&of_double) : static_cast<const void*>(&of_float);
}

}  // namespace HWY_NAMESPACE
}  // namespace tapestry::kernels
HWY_AFTER_NAMESPACE();

#if HWY_ONCE
namespace tapestry::kernels {

HWY_EXPORT(loss_table);

namespace {

template <class T>
const LossTable<T>& table() {
  return *static_cast<const LossTable<T>*>(HWY_DYNAMIC_DISPATCH(loss_table)(std::is_same_v<T, double>));
}

/// The target of one row.
template <class T>
class Row {
 public:
  Row(const CrossEntropyTarget<T>& target, Index row, Index classes)
      : target_(target),
        label_(target.labels ? target.labels[row] : -1),
        probabilities_(target.labels ? nullptr : target.probabilities + row * classes),
        spread_(target.smoothing / static_cast<double>(classes)) {}

  [[nodiscard]] bool ignored() const { return target_.labels && label_ == target_.ignore_index; }

  /// Only the label counts.
  [[nodiscard]] bool is_plain() const { return target_.labels && target_.smoothing == 0; }
  [[nodiscard]] Index label() const { return label_; }
  [[nodiscard]] double weight(Index c) const { return target_.weight ? static_cast<double>(target_.weight[c]) : 1; }

  /// The factor t[c] of a row that is not ignored.
  [[nodiscard]] double factor(Index c) const {
    const double kept = 1 - target_.smoothing;
    const double mine = target_.labels ? (c == label_ ? 1.0 : 0.0) : static_cast<double>(probabilities_[c]);
    return weight(c) * (kept * mine + spread_);
  }
  [[nodiscard]] double sum_of_factors(Index classes) const {
    if (is_plain()) return weight(label_);
    double sum = 0;
    for (Index c = 0; c < classes; ++c) sum += factor(c);
    return sum;
  }

 private:
  const CrossEntropyTarget<T>& target_;
  Index label_;
  const T* probabilities_;
  double spread_;
};

/// f(row) for all rows, in parallel.
template <class F>
void for_rows(Index rows, Index classes, const F& f) {
  parallel_for(rows, tuning::rows_per_task(classes, tuning::kCostlyGrain), [&](Index begin, Index end) {
    for (Index row = begin; row < end; ++row) f(row);
  });
}

}  // namespace

template <class T>
void cross_entropy(const T* logits, Index rows, Index classes, const CrossEntropyTarget<T>& target, double* loss) {
  const LossTable<T>& t = table<T>();
  for_rows(rows, classes, [&](Index row) {
    const Row<T> mine(target, row, classes);
    const T* const x = logits + row * classes;
    loss[row] = 0;
    if (mine.ignored()) return;
    T shift;
    const double log_sum = std::log(static_cast<double>(t.sum_exp(x, classes, &shift)));
    const auto add = [&](Index c, double factor) {  // -log p[c] = (shift - x[c]) + log_sum, with no large terms left
      if (factor != 0) loss[row] += factor * ((static_cast<double>(shift) - static_cast<double>(x[c])) + log_sum);
    };
    if (mine.is_plain()) return add(mine.label(), mine.weight(mine.label()));
    for (Index c = 0; c < classes; ++c) add(c, mine.factor(c));
  });
}

template <class T>
void cross_entropy_gradient(const T* logits, Index rows, Index classes, const CrossEntropyTarget<T>& target,
                            double factor, const T* dy, Index dy_step, T* dlogits) {
  const LossTable<T>& t = table<T>();
  for_rows(rows, classes, [&](Index row) {
    const Row<T> mine(target, row, classes);
    T* const dx = dlogits + row * classes;
    if (mine.ignored()) {
      std::fill_n(dx, classes, T{0});
      return;
    }
    const double scale = factor * static_cast<double>(dy[row * dy_step]);
    const double sum = static_cast<double>(t.store_exp(logits + row * classes, classes, dx));
    t.scale(dx, classes, static_cast<T>(mine.sum_of_factors(classes) * scale / sum));
    if (mine.is_plain()) {
      dx[mine.label()] -= static_cast<T>(mine.weight(mine.label()) * scale);
    } else {
      for (Index c = 0; c < classes; ++c) dx[c] -= static_cast<T>(mine.factor(c) * scale);
    }
  });
}

template <class T>
void cross_entropy_factors(Index rows, Index classes, const CrossEntropyTarget<T>& target, double scale, T* t, T* sum) {
  for_rows(rows, classes, [&](Index row) {
    const Row<T> mine(target, row, classes);
    T* const out = t + row * classes;
    if (mine.ignored()) {
      std::fill_n(out, classes, T{0});
      sum[row] = 0;
      return;
    }
    for (Index c = 0; c < classes; ++c) out[c] = static_cast<T>(mine.factor(c) * scale);
    sum[row] = static_cast<T>(mine.sum_of_factors(classes) * scale);
  });
}

template void cross_entropy(const float*, Index, Index, const CrossEntropyTarget<float>&, double*);
template void cross_entropy(const double*, Index, Index, const CrossEntropyTarget<double>&, double*);
template void cross_entropy_gradient(const float*, Index, Index, const CrossEntropyTarget<float>&, double, const float*,
                                     Index, float*);
template void cross_entropy_gradient(const double*, Index, Index, const CrossEntropyTarget<double>&, double,
                                     const double*, Index, double*);
template void cross_entropy_factors(Index, Index, const CrossEntropyTarget<float>&, double, float*, float*);
template void cross_entropy_factors(Index, Index, const CrossEntropyTarget<double>&, double, double*, double*);

}  // namespace tapestry::kernels
#endif
