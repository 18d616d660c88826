#include <tapestry/nn/optim/split.h>

namespace tapestry::nn::optim {

SplitParameters split_parameters(const std::vector<NamedTensor>& parameters,
                                 const Callable<bool(const NamedTensor&)>& is_chosen) {
  SplitParameters split;
  for (const NamedTensor& x : parameters) (is_chosen(x) ? split.chosen : split.others).push_back(x);
  return split;
}

bool is_weight(const NamedTensor& parameter) { return parameter.tensor.dim() > 1; }

}  // namespace tapestry::nn::optim
