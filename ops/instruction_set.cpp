#include <tapestry/ops/instruction_set.h>

#include <string>

#include <tapestry/autograd/base/check.h>
#include <tapestry/ops/kernels/simd/instruction_set.h>

namespace tapestry {

std::string_view instruction_set() { return kernels::instruction_set(); }

std::vector<std::string_view> instruction_sets() {
  std::vector<std::string_view> names;
  for (std::size_t i = kernels::best_instruction_set() + 1; i-- > 0;) names.push_back(kernels::kInstructionSets[i]);
  return names;
}

void set_instruction_set(std::string_view name, Here here) {
  const CallSite site(here);
  if (kernels::use_instruction_set(name)) return;
  std::string offered;
  for (const std::string_view set : instruction_sets()) offered += (offered.empty() ? "" : ", ") + std::string(set);
  throw_invalid("set_instruction_set: the name must be one of those that this CPU offers, {}; got \"{}\"", offered,
                name);
}

}  // namespace tapestry
