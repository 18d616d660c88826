#include <tapestry/nn/optim/lookahead.h>

#include <fmt/format.h>

#include <string_view>
#include <utility>

#include <tapestry/autograd/base/check.h>
#include <tapestry/autograd/grad_mode.h>
#include <tapestry/ops/optimizer_step.h>

namespace tapestry::nn::optim {
namespace {

using TensorMap = std::map<std::string, Tensor>;

constexpr const char* kOwn = "lookahead:";  // before the keys of this optimizer's part of a state; no name of a module

void check_alpha(double alpha) {
  if (!(alpha >= 0 && alpha <= 1)) throw_invalid("Lookahead: alpha must be in [0, 1]; got {}", alpha);
}

/// What the state holds of this optimizer, and what of the inner one.
std::pair<TensorMap, TensorMap> parted(const TensorMap& state) {
  std::pair<TensorMap, TensorMap> parts;
  for (const auto& [key, value] : state) {
    if (key.starts_with(kOwn)) parts.first.emplace(key.substr(std::string_view(kOwn).size()), value);
    else parts.second.emplace(key, value);
  }
  return parts;
}

}  // namespace

Lookahead::Lookahead(Optimizer& inner, const LookaheadOptions& options, Here here) : inner_(inner), options_(options) {
  const CallSite site(here);
  if (options.k < 1) throw_invalid("Lookahead: k must be at least 1; got {}", options.k);
  check_alpha(options.alpha);
  for (std::size_t g = 0; g < inner.groups(); ++g) {
    add_entries("Lookahead", inner.parameters(g), inner.initial_lr(g));
  }
}

void Lookahead::set_momentum(double momentum, std::size_t group, Here here) {
  const CallSite site(here);
  inner_.set_momentum(momentum, group);
}

void Lookahead::set_alpha(double alpha, Here here) {
  const CallSite site(here);
  check_alpha(alpha);
  options_.alpha = alpha;
}

std::vector<std::pair<std::string, std::string>> Lookahead::settings(std::size_t group) const {
  auto all = inner_.settings(group);
  all.emplace_back("lookahead k", fmt::format("{}", options_.k));
  all.emplace_back("lookahead alpha", fmt::format("{}", options_.alpha));
  return all;
}

void Lookahead::step(Here here) {
  const CallSite site(here);
  const NoGradGuard guard;
  if (inner_.groups() != groups()) {
    throw_logic("Lookahead: the inner optimizer must have the groups that it had at first, {}; got {}", groups(),
                inner_.groups());
  }
  make_missing_slots();
  for (std::size_t g = 0; g < groups(); ++g) {
    for (Entry& entry : entries(g)) {
      if (std::exchange(entry.fresh, false)) copy_in_place(entry.slots[0], entry.parameter);
    }
  }
  inner_.step();
  for (std::size_t g = 0; g < groups(); ++g) {
    for (Entry& entry : entries(g)) {
      if (entry.slots.empty() || ++entry.step % options_.k != 0) continue;
      lerp_in_place(entry.slots[0], entry.parameter, options_.alpha);
      copy_in_place(entry.parameter, entry.slots[0]);
    }
  }
}

TensorMap Lookahead::state(Here here) const {
  const CallSite site(here);
  TensorMap all = inner_.state();
  for (auto& [key, value] : Optimizer::state()) all.emplace(kOwn + key, value);
  return all;
}

void Lookahead::load_state(const TensorMap& state, Here here) {
  const CallSite site(here);
  const auto [own, inner] = parted(state);
  const std::string problems = state_differences(state);
  if (!problems.empty()) throw_invalid("load_state: the state must be this optimizer's{}", problems);
  Optimizer::load_state(own);
  inner_.load_state(inner);
}

std::string Lookahead::state_differences(const TensorMap& state) const {
  const auto [own, inner] = parted(state);
  return inner_.state_differences(inner) + Optimizer::state_differences(own);
}

}  // namespace tapestry::nn::optim
