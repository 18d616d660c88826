#include <tapestry/ops/optimizer_step.h>

#include <algorithm>
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

void rmsprop_step(Tensor& parameter, const Tensor& gradient, Tensor& square, Tensor& mean, Tensor& buffer,
                  const RmspropStepOptions& o) {
  check_float("rmsprop_step", parameter);
  check_same("rmsprop_step", "the gradient", gradient, parameter);
  check_same("rmsprop_step", "the average square", square, parameter);
  if (mean.defined()) check_same("rmsprop_step", "the average gradient", mean, parameter);
  if (buffer.defined()) check_same("rmsprop_step", "the momentum buffer", buffer, parameter);
  visit_float(parameter.dtype(), [&]<class T>() {
    const auto as = [](double value) { return static_cast<T>(value); };
    const kernels::RmspropStep<T> s{.lr = as(o.lr),
                                    .alpha = as(o.alpha),
                                    .one_minus_alpha = as(1 - o.alpha),
                                    .eps = as(o.eps),
                                    .momentum = as(o.momentum),
                                    .weight_decay = as(o.weight_decay),
                                    .sign = as(o.maximize ? -1 : 1)};
    kernels::rmsprop_step<T>(s, parameter.mutable_data<T>(), gradient.data<T>(), square.mutable_data<T>(),
                             mean.defined() ? mean.mutable_data<T>() : nullptr,
                             buffer.defined() ? buffer.mutable_data<T>() : nullptr, parameter.numel());
  });
}

void adagrad_step(Tensor& parameter, const Tensor& gradient, Tensor& sum, Index step, const AdagradStepOptions& o) {
  check_float("adagrad_step", parameter);
  check_same("adagrad_step", "the gradient", gradient, parameter);
  check_same("adagrad_step", "the sum", sum, parameter);
  const double rate = o.lr / (1 + static_cast<double>(step - 1) * o.lr_decay);
  visit_float(parameter.dtype(), [&]<class T>() {
    const auto as = [](double value) { return static_cast<T>(value); };
    const kernels::AdagradStep<T> s{
        .rate = as(rate), .eps = as(o.eps), .weight_decay = as(o.weight_decay), .sign = as(o.maximize ? -1 : 1)};
    kernels::adagrad_step<T>(s, parameter.mutable_data<T>(), gradient.data<T>(), sum.mutable_data<T>(),
                             parameter.numel());
  });
}

Tensor momentum_direction(const Tensor& gradient, const Tensor& buffer, double momentum, bool nesterov) {
  check_float("momentum_direction", gradient);
  check_same("momentum_direction", "the momentum buffer", buffer, gradient);
  Tensor direction = empty(gradient.shape(), gradient.dtype());
  visit_float(gradient.dtype(), [&]<class T>() {
    kernels::momentum_direction(static_cast<T>(momentum), nesterov, gradient.data<T>(), buffer.data<T>(),
                                direction.mutable_data<T>(), gradient.numel());
  });
  return direction;
}

void scale_and_add_in_place(Tensor& x, double factor, const Tensor& y, double weight) {
  check_float("scale_and_add_in_place", x);
  check_same("scale_and_add_in_place", "y", y, x);
  visit_float(x.dtype(), [&]<class T>() {
    kernels::scale_and_add_in_place(x.mutable_data<T>(), static_cast<T>(factor), y.data<T>(), static_cast<T>(weight),
                                    x.numel());
  });
}

void lerp_in_place(Tensor& x, const Tensor& y, double weight) {
  check_float("lerp_in_place", x);
  check_same("lerp_in_place", "y", y, x);
  if (weight == 1) return copy_in_place(x, y);
  visit_float(x.dtype(), [&]<class T>() {
    kernels::lerp_in_place(x.mutable_data<T>(), y.data<T>(), static_cast<T>(weight), x.numel());
  });
}

void copy_in_place(Tensor& x, const Tensor& y) {
  check_defined("copy_in_place", "x", x);
  check_same("copy_in_place", "y", y, x);
  visit(x.dtype(), [&]<class T>() { std::copy_n(y.data<T>(), x.numel(), x.mutable_data<T>()); });
}

void swap_in_place(Tensor& x, Tensor& y) {
  check_defined("swap_in_place", "x", x);
  check_same("swap_in_place", "y", y, x);
  visit(x.dtype(), [&]<class T>() {
    T* const first = x.mutable_data<T>();
    std::swap_ranges(first, first + x.numel(), y.mutable_data<T>());
  });
}

double sum_of_products(const Tensor& x, const Tensor& y) {
  check_float("sum_of_products", x);
  check_same("sum_of_products", "y", y, x);
  return visit_float(x.dtype(),
                     [&]<class T>() { return kernels::sum_of_products(x.data<T>(), y.data<T>(), x.numel()); });
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

void clip_rows_to_parameter(Tensor& gradient, const Tensor& parameter, double factor, double eps) {
  check_float("clip_rows_to_parameter", gradient);
  check_same("clip_rows_to_parameter", "the parameter", parameter, gradient);
  if (gradient.numel() == 0) return;
  const Index rows = gradient.dim() > 1 ? gradient.shape()[0] : 1;
  visit_float(gradient.dtype(), [&]<class T>() {
    kernels::clip_rows_to_parameter(gradient.mutable_data<T>(), parameter.data<T>(), rows, gradient.numel() / rows,
                                    factor, eps);
  });
}

void clamp_in_place(Tensor& x, double limit) {
  check_float("clamp_in_place", x);
  visit_float(x.dtype(),
              [&]<class T>() { kernels::clamp_in_place(x.mutable_data<T>(), static_cast<T>(limit), x.numel()); });
}

}  // namespace tapestry
