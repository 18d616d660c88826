#include <tapestry/nn/optim/clip.h>

#include <cmath>
#include <functional>
#include <stdexcept>

#include <tapestry/autograd/base/check.h>
#include <tapestry/autograd/base/parallel.h>
#include <tapestry/autograd/grad_mode.h>

namespace tapestry::nn::optim {
namespace {

constexpr Index kGrain = 32 * 1024;  // elements: below this one core is done before a second wakes

double sum_of_squares(const Tensor& x) {
  return visit_float(x.dtype(), [&]<class T>() {
    const T* data = x.data<T>();
    const auto part = [data](Index begin, Index end) {
      double lanes[8] = {};  // independent sums, so that additions need not wait for each other
      Index i = begin;
      for (; i + 8 <= end; i += 8) {
        for (Index k = 0; k < 8; ++k) lanes[k] += static_cast<double>(data[i + k]) * static_cast<double>(data[i + k]);
      }
      for (; i < end; ++i) lanes[0] += static_cast<double>(data[i]) * static_cast<double>(data[i]);
      return ((lanes[0] + lanes[1]) + (lanes[2] + lanes[3])) + ((lanes[4] + lanes[5]) + (lanes[6] + lanes[7]));
    };
    return parallel_reduce(x.numel(), kGrain, 0.0, part, std::plus<>());
  });
}

template <class F>
void change_gradients(const std::vector<Tensor>& parameters, const F& f) {
  const NoGradGuard guard;
  for (const Tensor& parameter : parameters) {
    const Tensor gradient = parameter.grad();
    if (!gradient.defined()) continue;
    Tensor plain = gradient.detach();  // a gradient with history (create_graph) has to be written past it
    visit_float(plain.dtype(), [&]<class T>() {
      T* data = plain.mutable_data<T>();
      parallel_for(plain.numel(), kGrain, [&](Index begin, Index end) {
        for (Index i = begin; i < end; ++i) data[i] = f(data[i]);
      });
    });
  }
}

}  // namespace

double clip_grad_norm(const std::vector<Tensor>& parameters, double max_norm, const ClipGradNormOptions& options) {
  if (!(max_norm >= 0)) throw_invalid("clip_grad_norm: max_norm must be at least 0; got {}", max_norm);
  double sum = 0;
  for (const Tensor& parameter : parameters) {
    const Tensor gradient = parameter.grad();
    if (gradient.defined()) sum += sum_of_squares(gradient);
  }
  const double norm = std::sqrt(sum);
  if (!std::isfinite(norm) && options.error_if_nonfinite) {
    throw std::runtime_error(format_message("clip_grad_norm: the norm of all gradients must be finite; got {}", norm));
  }
  const double factor = max_norm / (norm + 1e-6);
  if (!(factor >= 1))
    change_gradients(parameters, [=]<class T>(T x) { return static_cast<T>(x * static_cast<T>(factor)); });
  return norm;
}

void clip_grad_value(const std::vector<Tensor>& parameters, double limit) {
  if (!(limit >= 0)) throw_invalid("clip_grad_value: limit must be at least 0; got {}", limit);
  change_gradients(parameters, [=]<class T>(T x) {
    const T bound = static_cast<T>(limit);
    return x > bound ? bound : x < -bound ? -bound : x;
  });
}

}  // namespace tapestry::nn::optim
