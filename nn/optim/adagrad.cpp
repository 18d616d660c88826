#include <tapestry/nn/optim/adagrad.h>

#include <fmt/format.h>

#include <algorithm>

#include <tapestry/autograd/grad_mode.h>
#include <tapestry/nn/optim/detail/check.h>
#include <tapestry/ops/optimizer_step.h>

namespace tapestry::nn::optim {

Adagrad::Adagrad(const Parameters& parameters, const AdagradOptions& options, Here here) {
  const CallSite site(here);
  add_group(parameters, options);
}

Adagrad::Adagrad(const std::vector<Group<AdagradOptions>>& groups, Here here) {
  const CallSite site(here);
  for (const auto& group : groups) add_group(group.parameters, group.options);
}

void Adagrad::add_group(const Parameters& parameters, const AdagradOptions& options, Here here) {
  const CallSite site(here);
  detail::check_not_negative("Adagrad", "lr", options.lr);
  detail::check_not_negative("Adagrad", "lr_decay", options.lr_decay);
  detail::check_not_negative("Adagrad", "weight_decay", options.weight_decay);
  detail::check_not_negative("Adagrad", "initial_accumulator_value", options.initial_accumulator_value);
  detail::check_not_negative("Adagrad", "eps", options.eps);
  add_entries("Adagrad", parameters, options.lr);
  options_.push_back(options);
}

void Adagrad::set_momentum(double momentum, std::size_t, Here here) {
  const CallSite site(here);
  detail::check_no_momentum("Adagrad", momentum);
}

std::vector<std::pair<std::string, std::string>> Adagrad::settings(std::size_t group) const {
  const AdagradOptions& o = options_.at(group);
  return {{"optimizer", "Adagrad"},
          {"lr_decay", fmt::format("{}", o.lr_decay)},
          {"weight_decay", fmt::format("{}", o.weight_decay)},
          {"initial_accumulator_value", fmt::format("{}", o.initial_accumulator_value)},
          {"eps", fmt::format("{}", o.eps)},
          {"maximize", o.maximize ? "yes" : "no"}};
}

void Adagrad::step(Here here) {
  const CallSite site(here);
  const NoGradGuard guard;
  warn_of_gaps("Adagrad");
  make_missing_slots();
  for (std::size_t g = 0; g < groups(); ++g) {
    const AdagradOptions& o = options_[g];
    for (Entry& entry : entries(g)) {
      const Tensor gradient = entry.parameter.grad();
      if (!gradient.defined()) continue;
      if (std::exchange(entry.fresh, false)) {
        visit_float(gradient.dtype(), [&]<class T>() {
          std::fill_n(entry.slots[0].mutable_data<T>(), gradient.numel(), static_cast<T>(o.initial_accumulator_value));
        });
      }
      adagrad_step(
          entry.parameter, gradient, entry.slots[0], ++entry.step,
          {.lr = o.lr, .lr_decay = o.lr_decay, .weight_decay = o.weight_decay, .eps = o.eps, .maximize = o.maximize});
    }
  }
}

}  // namespace tapestry::nn::optim
