#include <tapestry/autograd/memory/scratch.h>
#include <tapestry/ops/kernels/simd/targets.h>

#undef HWY_TARGET_INCLUDE
#define HWY_TARGET_INCLUDE "tapestry/ops/kernels/layer_norm.cpp"
#include <hwy/foreach_target.h>

#include <tapestry/ops/kernels/simd/vectors-inl.h>

#include <algorithm>
#include <cmath>
#include <type_traits>

#include <tapestry/ops/kernels/base/tuning.h>
#include <tapestry/ops/kernels/layer_norm.h>

#ifndef TAPESTRY_LAYER_NORM_ONCE
#define TAPESTRY_LAYER_NORM_ONCE
namespace tapestry::kernels {
namespace {

/// The loops over some rows, for one element type and instruction set. What may be null in the public functions may be
/// null here.
template <class T>
struct LayerNormTable {
  void (*forward)(const T* x, Index rows, Index n, const T* weight, const T* bias, double eps, T* y, T* mean, T* rstd);
  void (*input_gradient)(const T* x, const T* dy, Index rows, Index n, const T* weight, const T* mean, const T* rstd,
                         T* dx);
  void (*parameter_gradient)(const T* x, const T* dy, Index rows, Index n, const T* mean, const T* rstd, T* dweight,
                             T* dbias);
};

}  // namespace
}  // namespace tapestry::kernels
#endif

HWY_BEFORE_NAMESPACE();
namespace tapestry::kernels {
namespace HWY_NAMESPACE {
namespace {

template <class T>
void forward(const T* x, Index rows, Index n, const T* weight, const T* bias, double eps, T* y, T* mean, T* rstd) {
  for (Index row = 0; row < rows; ++row, x += n, y += n) {
    const T first = x[0];  // a constant row then has exactly its value as mean
    const T sum =
        sum_vectors<T>(n, [=](auto d, Index i) HWY_ATTR { return hn::Sub(hn::LoadU(d, x + i), hn::Set(d, first)); });
    const T centre = first + static_cast<T>(static_cast<double>(sum) / static_cast<double>(n));
    const T squares = sum_vectors<T>(n, [=](auto d, Index i) HWY_ATTR {
      const auto u = hn::Sub(hn::LoadU(d, x + i), hn::Set(d, centre));
      return hn::Mul(u, u);
    });
    const T scale = static_cast<T>(1 / std::sqrt(static_cast<double>(squares) / static_cast<double>(n) + eps));
    for_vectors<T>(n, [=](auto d, Index i) HWY_ATTR {
      const auto u = hn::Mul(hn::Sub(hn::LoadU(d, x + i), hn::Set(d, centre)), hn::Set(d, scale));
      hn::StoreU(hn::MulAdd(u, hn::LoadU(d, weight + i), hn::LoadU(d, bias + i)), d, y + i);
    });
    mean[row] = centre;
    rstd[row] = scale;
  }
}

template <class T>
void input_gradient(const T* x, const T* dy, Index rows, Index n, const T* weight, const T* mean, const T* rstd,
                    T* dx) {
  for (Index row = 0; row < rows; ++row, x += n, dy += n, dx += n) {
    const T centre = mean[row], scale = rstd[row];
    const T sum = sum_vectors<T>(
        n, [=](auto d, Index i) HWY_ATTR { return hn::Mul(hn::LoadU(d, dy + i), hn::LoadU(d, weight + i)); });
    const T sum_u = sum_vectors<T>(n, [=](auto d, Index i) HWY_ATTR {
      const auto u = hn::Mul(hn::Sub(hn::LoadU(d, x + i), hn::Set(d, centre)), hn::Set(d, scale));
      return hn::Mul(hn::Mul(hn::LoadU(d, dy + i), hn::LoadU(d, weight + i)), u);
    });
    const T average = sum / static_cast<T>(n), average_u = sum_u / static_cast<T>(n);
    for_vectors<T>(n, [=](auto d, Index i) HWY_ATTR {
      const auto u = hn::Mul(hn::Sub(hn::LoadU(d, x + i), hn::Set(d, centre)), hn::Set(d, scale));
      const auto g = hn::Sub(hn::Mul(hn::LoadU(d, dy + i), hn::LoadU(d, weight + i)), hn::Set(d, average));
      hn::StoreU(hn::Mul(hn::Set(d, scale), hn::Sub(g, hn::Mul(u, hn::Set(d, average_u)))), d, dx + i);
    });
  }
}

/// Adds to dweight and dbias.
template <class T>
void parameter_gradient(const T* x, const T* dy, Index rows, Index n, const T* mean, const T* rstd, T* dweight,
                        T* dbias) {
  for (Index row = 0; row < rows; ++row, x += n, dy += n) {
    const T centre = mean[row], scale = rstd[row];
    for_vectors<T>(n, [=](auto d, Index i) HWY_ATTR {
      const auto g = hn::LoadU(d, dy + i);
      const auto u = hn::Mul(hn::Sub(hn::LoadU(d, x + i), hn::Set(d, centre)), hn::Set(d, scale));
      hn::StoreU(hn::MulAdd(g, u, hn::LoadU(d, dweight + i)), d, dweight + i);
      hn::StoreU(hn::Add(hn::LoadU(d, dbias + i), g), d, dbias + i);
    });
  }
}

template <class T>
constexpr LayerNormTable<T> table_of() {
  return {forward<T>, input_gradient<T>, parameter_gradient<T>};
}

}  // namespace

const void* layer_norm_table(bool is_double) {
  static constexpr auto of_float = table_of<float>();
  static constexpr auto of_double = table_of<double>();
  return is_double ? static_cast<const void*>(&of_double) : static_cast<const void*>(&of_float);
}

}  // namespace HWY_NAMESPACE
}  // namespace tapestry::kernels
HWY_AFTER_NAMESPACE();

#if HWY_ONCE

namespace tapestry::kernels {

HWY_EXPORT(layer_norm_table);

namespace {

template <class T>
const LayerNormTable<T>& table() {
  return *static_cast<const LayerNormTable<T>*>(HWY_DYNAMIC_DISPATCH(layer_norm_table)(std::is_same_v<T, double>));
}

using tuning::kLayerNormBlock;

}  // namespace

template <class T>
void layer_norm(const T* x, Index rows, Index n, const T* weight, const T* bias, double eps, T* y, T* mean, T* rstd) {
  if (n == 0) return;
  parallel_for(rows, tuning::rows_per_task(n), [&](Index begin, Index end) {
    table<T>().forward(x + begin * n, end - begin, n, weight, bias, eps, y + begin * n, mean + begin, rstd + begin);
  });
}

template <class T>
void layer_norm_gradient(const T* x, const T* dy, Index rows, Index n, const T* weight, const T* mean, const T* rstd,
                         T* dx, T* dweight, T* dbias) {
  if (n == 0) return;
  const Index group = std::max(kLayerNormBlock, tuning::kGrain / n);
  const Index groups = (rows + group - 1) / group;
  const Scratch<double> partial(dweight ? groups * 2 * n : 0);  // [groups] x (dweight [n], dbias [n])
  std::fill_n(partial.data(), dweight ? groups * 2 * n : 0, 0.0);
  parallel_for(groups, 1, [&](Index first, Index last) {
    const Scratch<T> sums(2 * n);
    for (Index i = first; i < last; ++i) {
      const Index end = std::min(rows, (i + 1) * group);
      for (Index row = i * group; row < end; row += kLayerNormBlock) {
        const Index count = std::min(kLayerNormBlock, end - row);
        const T* const block_x = x + row * n;
        const T* const block_dy = dy + row * n;
        if (dx) table<T>().input_gradient(block_x, block_dy, count, n, weight, mean + row, rstd + row, dx + row * n);
        if (!dweight) continue;
        std::fill_n(sums.data(), 2 * n, T{0});
        table<T>().parameter_gradient(block_x, block_dy, count, n, mean + row, rstd + row, sums.data(),
                                      sums.data() + n);
        double* const of_group = partial.data() + i * 2 * n;
        for (Index k = 0; k < 2 * n; ++k) of_group[k] += static_cast<double>(sums[k]);
      }
    }
  });
  if (!dweight) return;
  for (Index k = 0; k < n; ++k) {
    double of_weight = 0, of_bias = 0;
    for (Index i = 0; i < groups; ++i) {
      of_weight += partial[i * 2 * n + k];
      of_bias += partial[i * 2 * n + n + k];
    }
    dweight[k] = static_cast<T>(of_weight);
    dbias[k] = static_cast<T>(of_bias);
  }
}

template void layer_norm(const float*, Index, Index, const float*, const float*, double, float*, float*, float*);
template void layer_norm(const double*, Index, Index, const double*, const double*, double, double*, double*, double*);
template void layer_norm_gradient(const float*, const float*, Index, Index, const float*, const float*, const float*,
                                  float*, float*, float*);
template void layer_norm_gradient(const double*, const double*, Index, Index, const double*, const double*,
                                  const double*, double*, double*, double*);

}  // namespace tapestry::kernels
#endif
