#include <tapestry/nn/optim/rmsprop.h>

#include <fmt/format.h>

#include <tapestry/autograd/grad_mode.h>
#include <tapestry/nn/optim/detail/check.h>
#include <tapestry/ops/optimizer_step.h>

namespace tapestry::nn::optim {

RMSprop::RMSprop(const Parameters& parameters, const RMSpropOptions& options, Here here) {
  const CallSite site(here);
  add_group(parameters, options);
}

RMSprop::RMSprop(const std::vector<Group<RMSpropOptions>>& groups, Here here) {
  const CallSite site(here);
  for (const auto& group : groups) add_group(group.parameters, group.options);
}

void RMSprop::add_group(const Parameters& parameters, const RMSpropOptions& options, Here here) {
  const CallSite site(here);
  detail::check_not_negative("RMSprop", "lr", options.lr);
  detail::check_beta("RMSprop", "alpha", options.alpha);
  detail::check_not_negative("RMSprop", "eps", options.eps);
  detail::check_not_negative("RMSprop", "weight_decay", options.weight_decay);
  detail::check_not_negative("RMSprop", "momentum", options.momentum);
  add_entries("RMSprop", parameters, options.lr);
  options_.push_back(options);
}

void RMSprop::set_momentum(double momentum, std::size_t group, Here here) {
  const CallSite site(here);
  detail::check_not_negative("RMSprop", "momentum", momentum);
  options_.at(group).momentum = momentum;
}

std::vector<std::pair<std::string, std::string>> RMSprop::settings(std::size_t group) const {
  const RMSpropOptions& o = options_.at(group);
  return {{"optimizer", "RMSprop"},
          {"alpha", fmt::format("{}", o.alpha)},
          {"eps", fmt::format("{}", o.eps)},
          {"weight_decay", fmt::format("{}", o.weight_decay)},
          {"centered", o.centered ? "yes" : "no"},
          {"maximize", o.maximize ? "yes" : "no"}};
}

// The momentum buffer stands last: a schedule may ask for one, or give it up, while the others are in use.
std::vector<std::string> RMSprop::slot_names(std::size_t group) const {
  std::vector<std::string> names{"square_avg"};
  if (options_.at(group).centered) names.emplace_back("grad_avg");
  if (options_.at(group).momentum != 0) names.emplace_back("momentum_buffer");
  return names;
}

void RMSprop::step(Here here) {
  const CallSite site(here);
  const NoGradGuard guard;
  warn_of_gaps("RMSprop");
  make_missing_slots();
  for (std::size_t g = 0; g < groups(); ++g) {
    const RMSpropOptions& o = options_[g];
    for (Entry& entry : entries(g)) {
      const Tensor gradient = entry.parameter.grad();
      if (!gradient.defined()) continue;
      entry.fresh = false;
      Tensor mean = o.centered ? entry.slots[1] : Tensor();
      Tensor buffer = o.momentum != 0 ? entry.slots[o.centered ? 2 : 1] : Tensor();
      rmsprop_step(entry.parameter, gradient, entry.slots[0], mean, buffer,
                   {.lr = o.lr,
                    .alpha = o.alpha,
                    .eps = o.eps,
                    .weight_decay = o.weight_decay,
                    .momentum = o.momentum,
                    .maximize = o.maximize});
      ++entry.step;
    }
  }
}

}  // namespace tapestry::nn::optim
