#include <tapestry/nn/functional_call.h>

#include <unordered_map>

#include <tapestry/autograd/base/check.h>
#include <tapestry/autograd/grad_mode.h>
#include <tapestry/ops/cast.h>

namespace tapestry::nn::detail {
namespace {

Tensor copy_of(const Tensor& x) { return tapestry::clone(tapestry::detail::without_history(x)); }

}  // namespace

Replacements::Replacements(const Module& model, const std::vector<NamedTensor>& tensors) {
  std::unordered_map<std::string, Tensor> originals;
  const std::vector<NamedTensor> buffers = model.named_buffers();
  for (const NamedTensor& x : model.named_parameters()) originals.emplace(x.name, x.tensor);
  for (const NamedTensor& x : buffers) originals.emplace(x.name, x.tensor);
  std::unordered_map<std::string, bool> given;
  for (const NamedTensor& x : tensors) {
    const auto original = originals.find(x.name);
    if (original == originals.end()) throw_invalid("with_tensors: the model must have a tensor '{}'", x.name);
    if (!given.emplace(x.name, true).second)
      throw_invalid("with_tensors: each key must be given once; got '{}' twice", x.name);
    const Tensor& own = original->second;
    if (!x.tensor.defined() || x.tensor.shape() != own.shape() || x.tensor.dtype() != own.dtype()) {
      throw_invalid(
          "with_tensors: '{}' must be {} {}; got {}", x.name, own.dtype(), own.shape(),
          x.tensor.defined() ? format_message("{} {}", x.tensor.dtype(), x.tensor.shape()) : "an undefined tensor");
    }
    stand_ins_.add(own, x.tensor);
  }
  for (const NamedTensor& x : buffers) {
    if (!given.contains(x.name)) stand_ins_.add(x.tensor, copy_of(x.tensor));
  }
}

Replacements::Replacements(const Module& model) {
  for (const NamedTensor& x : model.named_parameters()) {
    stand_ins_.add(x.tensor, copy_of(x.tensor).requires_grad(x.tensor.requires_grad()));
  }
  for (const NamedTensor& x : model.named_buffers()) stand_ins_.add(x.tensor, copy_of(x.tensor));
}

std::vector<NamedTensor> keyed(const Module& model, const std::vector<Tensor>& tensors) {
  std::vector<NamedTensor> all = model.named_parameters();
  if (all.size() != tensors.size()) {
    throw_invalid("with_tensors: there must be one tensor per parameter, {}; got {}", all.size(), tensors.size());
  }
  for (std::size_t i = 0; i < all.size(); ++i) all[i].tensor = tensors[i];
  return all;
}

}  // namespace tapestry::nn::detail
