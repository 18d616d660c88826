#include <tapestry/nn/train/detail/checkpoint_parts.h>

#include <fmt/format.h>

namespace tapestry::nn::train {
namespace {

std::string value_in(const Settings& settings, const std::string& name) {
  const auto found = std::find_if(settings.begin(), settings.end(), [&](const auto& s) { return s.first == name; });
  return found == settings.end() ? kNothing : found->second;
}

}  // namespace

TensorMap as_map(const State& state) {
  TensorMap out;
  for (const NamedTensor& x : state.tensors) out.emplace(x.name, x.tensor);
  return out;
}

std::vector<NamedTensor> as_list(const TensorMap& tensors) {
  std::vector<NamedTensor> out;
  for (const auto& [name, x] : tensors) out.push_back({name, x});
  return out;
}

bool is_among(const std::string& name, const std::vector<std::string>& names) {
  return std::find(names.begin(), names.end(), name) != names.end();
}

std::string setting_differences(const Settings& theirs, const Settings& ours,
                                const std::vector<std::string>& may_differ) {
  std::string out;
  const auto tell = [&](const std::string& name, const std::string& there, const std::string& here) {
    if (there != here && !is_among(name, may_differ))
      out += fmt::format("\n  {}: {} there, {} here", name, there, here);
  };
  for (const auto& [name, value] : ours) tell(name, value_in(theirs, name), value);
  for (const auto& [name, value] : theirs) {
    if (value_in(ours, name) == kNothing) tell(name, value, kNothing);
  }
  return out;
}

}  // namespace tapestry::nn::train
