#include <tapestry/nn/optim/optimizer.h>

#include <fmt/format.h>

#include <algorithm>

#include <tapestry/autograd/base/check.h>
#include <tapestry/autograd/base/warning.h>
#include <tapestry/autograd/coverage.h>
#include <tapestry/autograd/grad_mode.h>
#include <tapestry/nn/optim/detail/check.h>
#include <tapestry/ops/cast.h>

namespace tapestry::nn::optim {

Parameters::Parameters(const std::vector<Tensor>& tensors) {
  for (std::size_t i = 0; i < tensors.size(); ++i) list_.push_back({std::to_string(i), tensors[i]});
}

void Optimizer::zero_grad(Here here) const {
  const CallSite site(here);
  for (const auto& group : entries_) {
    for (const Entry& entry : group) entry.parameter.zero_grad();
  }
}

Parameters Optimizer::parameters(std::size_t group) const {
  std::vector<NamedTensor> list;
  for (const Entry& entry : entries_.at(group)) list.push_back({entry.name, entry.parameter});
  return list;
}

void Optimizer::set_lr(double lr, std::size_t group, Here here) {
  const CallSite site(here);
  detail::check_not_negative("set_lr", "lr", lr);
  assign_lr(lr, group);
}

std::size_t Optimizer::add_entries(const char* optimizer, const Parameters& parameters, double lr) {
  std::vector<Entry> added;
  std::size_t before = 0;
  for (const auto& group : entries_) before += group.size();
  const auto clash = [&](const auto& same) {
    const auto in = [&](const std::vector<Entry>& list) { return std::any_of(list.begin(), list.end(), same); };
    return in(added) || std::any_of(entries_.begin(), entries_.end(), in);
  };
  if (parameters.list().empty()) {
    throw_invalid("{}: there must be a parameter to train; got an empty list", optimizer);
  }
  for (const NamedTensor& x : parameters.list()) {
    if (!x.tensor.defined()) throw_invalid("{}: parameter {} must be defined", optimizer, x.name);
    if (!x.tensor.is_leaf()) {
      throw_invalid("{}: parameter {} must be a leaf, not the result of an op; its shape is {}", optimizer, x.name,
                    x.tensor.shape());
    }
    if (x.tensor.dtype() != f32 && x.tensor.dtype() != f64) {
      throw_invalid("{}: parameter {} must be f32 or f64; got {}", optimizer, x.name, x.tensor.dtype());
    }
    if (clash([&](const Entry& e) { return e.parameter.is_same(x.tensor); })) {
      throw_invalid("{}: a parameter must be given once; {} {} comes again", optimizer, x.name, x.tensor.shape());
    }
    // Positions go on counting through the groups.
    const bool is_position = x.name == std::to_string(added.size());
    std::string name = is_position ? std::to_string(before + added.size()) : x.name;
    if (clash([&](const Entry& e) { return e.name == name; })) {
      throw_invalid("{}: names of parameters must differ; got {} twice", optimizer, name);
    }
    added.push_back({std::move(name), x.tensor, {}, 0});
  }
  entries_.push_back(std::move(added));
  initial_lr_.push_back(lr);
  return entries_.size() - 1;
}

void Optimizer::make_slots(Entry& entry, std::size_t count) {
  while (entry.slots.size() < count) entry.slots.push_back(zeros_like(entry.parameter));
}

void Optimizer::make_missing_slots() {
  std::vector<std::pair<Entry*, std::vector<Tensor>>> made;
  for (std::size_t g = 0; g < entries_.size(); ++g) {
    for (Entry& entry : entries_[g]) {
      const std::size_t count = slot_names(g).size();
      if (entry.slots.size() >= count || !entry.parameter.grad().defined()) continue;
      std::vector<Tensor> slots = entry.slots;  // a momentum that a schedule has set later adds one to those in use
      while (slots.size() < count) slots.push_back(zeros_like(entry.parameter));
      made.emplace_back(&entry, std::move(slots));
    }
  }
  for (auto& [entry, slots] : made) {
    entry->fresh = entry->slots.empty();
    entry->slots = std::move(slots);
  }
}

void Optimizer::warn_of_gaps(const char* optimizer) {
  if (std::exchange(asked_for_gaps_, true)) return;
  std::vector<Tensor> parameters;
  for (const auto& group : entries_) {
    for (const Entry& entry : group) parameters.push_back(entry.parameter);
  }
  Coverage found = coverage(parameters);
  if (found.complete()) return;
  if (found.empty()) {
    warn(fmt::format("{}: no parameter has received a gradient; backward() comes before step(){}", optimizer,
                     place_lines()));
    return;
  }
  std::erase_if(found.gaps, [](const CoverageGap& gap) { return gap.why == NoGradient::frozen; });
  std::string text = to_string(found);
  text = text.substr(0, text.find_last_of('\n', text.size() - 2));  // without the count, which stands in front
  for (auto at = text.find('\n'); at != std::string::npos; at = text.find('\n', at + 1)) text.insert(at + 1, "  ");
  warn(fmt::format("{}: {} of {} parameters have received no gradient, and step() leaves them as they are:\n  {}{}",
                   optimizer, found.gaps.size(), found.parameters, text, place_lines()));
}

std::vector<std::pair<std::string, std::string>> Optimizer::settings(std::size_t) const { return {}; }

std::map<std::string, Tensor> Optimizer::state(Here here) const {
  const CallSite site(here);
  const NoGradGuard guard;
  std::map<std::string, Tensor> out;
  for (std::size_t g = 0; g < entries_.size(); ++g) {
    const std::vector<std::string> names = slot_names(g);
    for (const Entry& entry : entries_[g]) {
      if (entry.step == 0) continue;
      out[entry.name + ".step"] = full({}, static_cast<double>(entry.step), {.dtype = i64});
      for (std::size_t s = 0; !entry.fresh && s < std::min(names.size(), entry.slots.size()); ++s)
        out[entry.name + '.' + names[s]] = clone(entry.slots[s]);
    }
  }
  return out;
}

std::vector<std::vector<Optimizer::Entry>> Optimizer::with_state(const std::map<std::string, Tensor>& state,
                                                                 std::string& problems) const {
  std::size_t used = 0;
  const auto find = [&](const std::string& key, const Shape& shape, Dtype dtype) -> const Tensor* {
    const auto found = state.find(key);
    if (found == state.end()) {
      problems += fmt::format("\n  missing: {}", key);
      return nullptr;
    }
    ++used;
    const Tensor& x = found->second;
    if (x.shape() == shape && x.dtype() == dtype) return &x;
    problems += fmt::format("\n  {}: must be {} {}; got {} {}", key, name_of(dtype), to_string(shape),
                            name_of(x.dtype()), to_string(x.shape()));
    return nullptr;
  };
  std::vector<std::vector<Entry>> loaded = entries_;
  std::map<std::string, int> known;
  for (std::size_t g = 0; g < loaded.size(); ++g) {
    const std::vector<std::string> names = slot_names(g);
    for (Entry& entry : loaded[g]) {
      entry.slots.clear();
      entry.fresh = false;
      entry.step = 0;
      const auto begins = state.lower_bound(entry.name + '.');
      known[entry.name + ".step"];
      for (const std::string& name : names) known[entry.name + '.' + name];
      const bool any = state.count(entry.name + ".step") != 0 ||
                       std::any_of(names.begin(), names.end(),
                                   [&](const auto& name) { return state.count(entry.name + '.' + name) != 0; });
      if (begins == state.end() || !any) continue;  // it had no gradient when the state was taken
      if (const Tensor* step = find(entry.name + ".step", {}, i64)) entry.step = step->item<Index>();
      if (entry.step < 0) problems += fmt::format("\n  {}.step: must be at least 0; got {}", entry.name, entry.step);
      for (const std::string& name : names) {
        const Tensor* slot = find(entry.name + '.' + name, entry.parameter.shape(), entry.parameter.dtype());
        if (slot) entry.slots.push_back(no_grad([&] { return clone(*slot); }));
      }
    }
  }
  if (used != state.size()) {
    for (const auto& [key, value] : state) {
      if (known.count(key) == 0) problems += fmt::format("\n  unexpected: {}", key);
    }
  }
  return loaded;
}

void Optimizer::load_state(const std::map<std::string, Tensor>& state, Here here) {
  const CallSite site(here);
  std::string problems;
  auto loaded = with_state(state, problems);
  if (!problems.empty()) throw_invalid("load_state: the state must be this optimizer's{}", problems);
  entries_ = std::move(loaded);
}

std::string Optimizer::state_differences(const std::map<std::string, Tensor>& state) const {
  std::string problems;
  (void)with_state(state, problems);
  return problems;
}

}  // namespace tapestry::nn::optim
