#include <tapestry/ops/optimizer_step.h>

#include <cmath>

#include <tapestry/ops/detail/common.h>
#include <tapestry/ops/kernels/optimizer_step.h>

namespace tapestry {
namespace {

void check_same(const char* op, const char* what, const Tensor& x, const Tensor& parameter) {
  check_same_dtype(op, parameter, x);
  check_shape(op, what, x, parameter.shape());
}

}  // namespace

void sgd_step(Tensor& parameter, const Tensor& gradient, Tensor& momentum_buffer, bool first, const SgdStepOptions& o) {
  check_float("sgd_step", parameter);
  check_same("sgd_step", "the gradient", gradient, parameter);
  const bool has_buffer = momentum_buffer.defined();
  if (has_buffer) check_same("sgd_step", "the momentum buffer", momentum_buffer, parameter);
  visit_float(parameter.dtype(), [&]<class T>() {
    const auto as = [](double value) { return static_cast<T>(value); };
    const kernels::SgdStep<T> step{.lr = as(o.lr),
                                   .momentum = as(o.momentum),
                                   .keep = as(1 - o.dampening),
                                   .weight_decay = as(o.weight_decay),
                                   .sign = as(o.maximize ? -1 : 1),
                                   .first = first,
                                   .nesterov = o.nesterov,
                                   .has_buffer = has_buffer};
    kernels::sgd_step<T>(step, parameter.mutable_data<T>(), gradient.data<T>(),
                         has_buffer ? momentum_buffer.mutable_data<T>() : nullptr, parameter.numel());
  });
}

void adam_step(Tensor& parameter, const Tensor& gradient, Tensor& m, Tensor& v, Tensor& max_v, Index step,
               const AdamStepOptions& o) {
  check_float("adam_step", parameter);
  check_same("adam_step", "the gradient", gradient, parameter);
  check_same("adam_step", "m", m, parameter);
  check_same("adam_step", "v", v, parameter);
  if (max_v.defined()) check_same("adam_step", "max_v", max_v, parameter);
  const auto t = static_cast<double>(step);
  visit_float(parameter.dtype(), [&]<class T>() {
    const auto as = [](double value) { return static_cast<T>(value); };
    const kernels::AdamStep<T> s{.rate = as(o.lr / (1 - std::pow(o.beta1, t))),
                                 .beta1 = as(o.beta1),
                                 .beta2 = as(o.beta2),
                                 .one_minus_beta1 = as(1 - o.beta1),
                                 .one_minus_beta2 = as(1 - o.beta2),
                                 .root_correction2 = as(std::sqrt(1 - std::pow(o.beta2, t))),
                                 .eps = as(o.eps),
                                 .shrink = as(o.decoupled ? 1 - o.lr * o.weight_decay : 1),
                                 .weight_decay = as(o.decoupled ? 0 : o.weight_decay),
                                 .sign = as(o.maximize ? -1 : 1)};
    kernels::adam_step<T>(s, parameter.mutable_data<T>(), gradient.data<T>(), m.mutable_data<T>(), v.mutable_data<T>(),
                          max_v.defined() ? max_v.mutable_data<T>() : nullptr, parameter.numel());
  });
}

double sum_of_squares(const Tensor& x) {
  check_float("sum_of_squares", x);
  return visit_float(x.dtype(), [&]<class T>() { return kernels::sum_of_squares(x.data<T>(), x.numel()); });
}

void scale_in_place(Tensor& x, double factor) {
  check_float("scale_in_place", x);
  visit_float(x.dtype(),
              [&]<class T>() { kernels::scale_in_place(x.mutable_data<T>(), static_cast<T>(factor), x.numel()); });
}

void clamp_in_place(Tensor& x, double limit) {
  check_float("clamp_in_place", x);
  visit_float(x.dtype(),
              [&]<class T>() { kernels::clamp_in_place(x.mutable_data<T>(), static_cast<T>(limit), x.numel()); });
}

}  // namespace tapestry
