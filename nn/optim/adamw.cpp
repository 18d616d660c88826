#include <tapestry/nn/optim/adamw.h>

#include <fmt/format.h>

#include <tapestry/autograd/grad_mode.h>
#include <tapestry/nn/optim/detail/check.h>
#include <tapestry/ops/optimizer_step.h>

namespace tapestry::nn::optim {

Adam::Adam(const Parameters& parameters, const AdamOptions& options, Here here) {
  const CallSite site(here);
  add_group(parameters, options);
}

Adam::Adam(const std::vector<Group<AdamOptions>>& groups, Here here) {
  const CallSite site(here);
  for (const auto& group : groups) add_group(group.parameters, group.options);
}

void Adam::add_group(const Parameters& parameters, const AdamOptions& options, Here here) {
  const CallSite site(here);
  detail::check_not_negative(name_, "lr", options.lr);
  detail::check_beta(name_, "the first beta", options.betas[0]);
  detail::check_beta(name_, "the second beta", options.betas[1]);
  detail::check_not_negative(name_, "eps", options.eps);
  detail::check_not_negative(name_, "weight_decay", options.weight_decay);
  add_entries(name_, parameters, options.lr);
  options_.push_back(options);
}

void Adam::set_momentum(double beta1, std::size_t group, Here here) {
  const CallSite site(here);
  detail::check_beta(name_, "the first beta", beta1);
  options_.at(group).betas[0] = beta1;
}

std::vector<std::pair<std::string, std::string>> Adam::settings(std::size_t group) const {
  const AdamOptions& o = options_.at(group);
  return {{"optimizer", name_},
          {"beta2", fmt::format("{}", o.betas[1])},
          {"eps", fmt::format("{}", o.eps)},
          {"weight_decay", fmt::format("{}", o.weight_decay)},
          {"amsgrad", o.amsgrad ? "yes" : "no"},
          {"maximize", o.maximize ? "yes" : "no"}};
}

std::vector<std::string> Adam::slot_names(std::size_t group) const {
  if (options_.at(group).amsgrad) return {"exp_avg", "exp_avg_sq", "max_exp_avg_sq"};
  return {"exp_avg", "exp_avg_sq"};
}

void Adam::step(Here here) {
  const CallSite site(here);
  const NoGradGuard guard;
  warn_of_gaps(name_);
  make_missing_slots();
  for (std::size_t g = 0; g < groups(); ++g) {
    const AdamOptions& o = options_[g];
    for (Entry& entry : entries(g)) {
      const Tensor gradient = entry.parameter.grad();
      if (!gradient.defined()) continue;
      make_slots(entry, o.amsgrad ? 3 : 2);
      entry.fresh = false;
      Tensor largest = o.amsgrad ? entry.slots[2] : Tensor();
      adam_step(entry.parameter, gradient, entry.slots[0], entry.slots[1], largest, ++entry.step,
                {.lr = o.lr,
                 .beta1 = o.betas[0],
                 .beta2 = o.betas[1],
                 .eps = o.eps,
                 .weight_decay = o.weight_decay,
                 .decoupled = decoupled_,
                 .maximize = o.maximize});
    }
  }
}

namespace {

AdamOptions as_adam(const AdamWOptions& o) {
  return {.lr = o.lr,
          .betas = o.betas,
          .eps = o.eps,
          .weight_decay = o.weight_decay,
          .amsgrad = o.amsgrad,
          .maximize = o.maximize};
}

}  // namespace

AdamW::AdamW(const Parameters& parameters, const AdamWOptions& options, Here here) : Adam(true) {
  const CallSite site(here);
  add_group(parameters, options);
}

AdamW::AdamW(const std::vector<Group<AdamWOptions>>& groups, Here here) : Adam(true) {
  const CallSite site(here);
  for (const auto& group : groups) add_group(group.parameters, group.options);
}

void AdamW::add_group(const Parameters& parameters, const AdamWOptions& options, Here here) {
  const CallSite site(here);
  Adam::add_group(parameters, as_adam(options));
}

}  // namespace tapestry::nn::optim
