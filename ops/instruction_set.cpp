#include <tapestry/ops/instruction_set.h>

#include <cstddef>
#include <string>

#include <tapestry/autograd/check.h>
#include <tapestry/ops/kernels/instruction_set.h>

namespace tapestry {
namespace {

using kernels::kInstructionSetNames;

std::string offered() {
  std::string text;
  for (const std::string_view name : instruction_sets()) text += (text.empty() ? "" : ", ") + std::string(name);
  return text;
}

}  // namespace

std::string_view instruction_set() {
  return kInstructionSetNames[static_cast<std::size_t>(kernels::instruction_set())];
}

std::vector<std::string_view> instruction_sets() {
  std::vector<std::string_view> names;
  for (auto i = static_cast<std::size_t>(kernels::best_instruction_set()) + 1; i-- > 0;)
    names.push_back(kInstructionSetNames[i]);
  return names;
}

void set_instruction_set(std::string_view name) {
  for (std::size_t i = 0; i <= static_cast<std::size_t>(kernels::best_instruction_set()); ++i) {
    if (kInstructionSetNames[i] == name) return kernels::use_instruction_set(static_cast<kernels::InstructionSet>(i));
  }
  throw_invalid("set_instruction_set: the name must be one of those that this CPU offers, {}; got \"{}\"", offered(),
                name);
}

}  // namespace tapestry
