#include <tapestry/nn/optim/clip.h>

#include <cmath>
#include <stdexcept>

#include <tapestry/autograd/base/check.h>
#include <tapestry/autograd/grad_mode.h>
#include <tapestry/nn/optim/detail/check.h>
#include <tapestry/ops/optimizer_step.h>

namespace tapestry::nn::optim {
namespace {

template <class F>
void change_gradients(const std::vector<Tensor>& parameters, const F& f) {
  const NoGradGuard guard;
  for (const Tensor& parameter : parameters) {
    const Tensor gradient = parameter.grad();
    if (!gradient.defined()) continue;
    // A gradient with history (create_graph) has to be written past it.
    Tensor plain = tapestry::detail::without_history(gradient);
    f(plain, parameter);
  }
}

}  // namespace

double clip_grad_norm(const std::vector<Tensor>& parameters, double max_norm, const ClipGradNormOptions& options,
                      Here here) {
  const CallSite site(here);
  if (!(max_norm >= 0)) throw_invalid("clip_grad_norm: max_norm must be at least 0; got {}", max_norm);
  double sum = 0;
  for (const Tensor& parameter : parameters) {
    const Tensor gradient = parameter.grad();
    if (gradient.defined()) sum += sum_of_squares(gradient);
  }
  const double norm = std::sqrt(sum);
  if (!std::isfinite(norm) && options.error_if_nonfinite) {
    throw std::runtime_error(format_message("clip_grad_norm: the norm of all gradients must be finite; got {}", norm) +
                             place_lines());
  }
  const double factor = max_norm / (norm + 1e-6);
  if (!(factor >= 1))
    change_gradients(parameters, [=](Tensor& gradient, const Tensor&) { scale_in_place(gradient, factor); });
  return norm;
}

void clip_grad_value(const std::vector<Tensor>& parameters, double limit, Here here) {
  const CallSite site(here);
  if (!(limit >= 0)) throw_invalid("clip_grad_value: limit must be at least 0; got {}", limit);
  change_gradients(parameters, [=](Tensor& gradient, const Tensor&) { clamp_in_place(gradient, limit); });
}

void clip_grad_adaptive(const std::vector<Tensor>& parameters, const ClipGradAdaptiveOptions& options, Here here) {
  const CallSite site(here);
  detail::check_not_negative("clip_grad_adaptive", "clip_factor", options.clip_factor);
  detail::check_not_negative("clip_grad_adaptive", "eps", options.eps);
  double sum = 0;
  for (const Tensor& parameter : parameters) {
    const Tensor gradient = parameter.grad();
    if (gradient.defined()) sum += sum_of_squares(gradient);
  }
  if (!std::isfinite(sum)) {
    throw std::runtime_error(
        format_message("clip_grad_adaptive: the norm of all gradients must be finite; got {}", std::sqrt(sum)) +
        place_lines());
  }
  change_gradients(parameters, [&](Tensor& gradient, const Tensor& parameter) {
    clip_rows_to_parameter(gradient, parameter, options.clip_factor, options.eps);
  });
}

}  // namespace tapestry::nn::optim
