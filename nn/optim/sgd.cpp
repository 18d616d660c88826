#include <tapestry/nn/optim/sgd.h>

#include <fmt/format.h>

#include <cmath>
#include <utility>

#include <tapestry/autograd/base/check.h>
#include <tapestry/autograd/grad_mode.h>
#include <tapestry/nn/optim/detail/check.h>
#include <tapestry/ops/optimizer_step.h>

namespace tapestry::nn::optim {

SGD::SGD(const Parameters& parameters, const SGDOptions& options, Here here) {
  const CallSite site(here);
  add_group(parameters, options);
}

SGD::SGD(const std::vector<Group<SGDOptions>>& groups, Here here) {
  const CallSite site(here);
  for (const auto& group : groups) add_group(group.parameters, group.options);
}

void SGD::add_group(const Parameters& parameters, const SGDOptions& options, Here here) {
  const CallSite site(here);
  if (std::isnan(options.lr)) throw_invalid("SGD: lr must be given");
  detail::check_not_negative("SGD", "lr", options.lr);
  detail::check_not_negative("SGD", "momentum", options.momentum);
  detail::check_not_negative("SGD", "weight_decay", options.weight_decay);
  if (options.nesterov && (options.momentum == 0 || options.dampening != 0)) {
    throw_invalid("SGD: nesterov needs momentum and no dampening; got momentum {}, dampening {}", options.momentum,
                  options.dampening);
  }
  add_entries("SGD", parameters, options.lr);
  options_.push_back(options);
}

void SGD::set_momentum(double momentum, std::size_t group, Here here) {
  const CallSite site(here);
  detail::check_not_negative("SGD", "momentum", momentum);
  options_.at(group).momentum = momentum;
}

std::vector<std::pair<std::string, std::string>> SGD::settings(std::size_t group) const {
  const SGDOptions& o = options_.at(group);
  return {{"optimizer", "SGD"},
          {"dampening", fmt::format("{}", o.dampening)},
          {"weight_decay", fmt::format("{}", o.weight_decay)},
          {"nesterov", o.nesterov ? "yes" : "no"},
          {"maximize", o.maximize ? "yes" : "no"}};
}

std::vector<std::string> SGD::slot_names(std::size_t group) const {
  if (options_.at(group).momentum == 0) return {};
  return {"momentum_buffer"};
}

void SGD::step(Here here) {
  const CallSite site(here);
  const NoGradGuard guard;
  warn_of_gaps("SGD");
  make_missing_slots();
  for (std::size_t g = 0; g < groups(); ++g) {
    const SGDOptions& o = options_[g];
    for (Entry& entry : entries(g)) {
      const Tensor gradient = entry.parameter.grad();
      if (!gradient.defined()) continue;
      const bool first = std::exchange(entry.fresh, false);
      Tensor buffer = o.momentum != 0 ? entry.slots[0] : Tensor();
      sgd_step(entry.parameter, gradient, buffer, first,
               {.lr = o.lr,
                .momentum = o.momentum,
                .dampening = o.dampening,
                .weight_decay = o.weight_decay,
                .nesterov = o.nesterov,
                .maximize = o.maximize});
      ++entry.step;
    }
  }
}

}  // namespace tapestry::nn::optim
