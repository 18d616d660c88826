#include <tapestry/nn/train/state.h>

#include <algorithm>

#include <tapestry/autograd/base/check.h>

namespace tapestry::nn::train {

const Tensor& State::tensor(std::string_view name) const {
  const auto found = std::find_if(tensors.begin(), tensors.end(), [&](const NamedTensor& x) { return x.name == name; });
  if (found == tensors.end()) throw_invalid("{}: missing", name);
  return found->tensor;
}

const Tensor& State::tensor(std::string_view name, Dtype dtype, const Shape& shape) const {
  const Tensor& x = tensor(name);
  if (x.dtype() != dtype || x.shape() != shape) {
    throw_invalid("{}: {} {} there, {} {} here", name, x.dtype(), x.shape(), dtype, shape);
  }
  return x;
}

const std::string& State::text(std::string_view name) const {
  const auto found = std::find_if(texts.begin(), texts.end(), [&](const auto& text) { return text.first == name; });
  if (found == texts.end()) throw_invalid("{}: missing", name);
  return found->second;
}

}  // namespace tapestry::nn::train
