#include <tapestry/nn/per_sample.h>

#include <cstring>

#include <tapestry/autograd/base/check.h>
#include <tapestry/ops/shape_ops.h>

namespace tapestry::nn::detail {

Index samples_in(const std::vector<Tensor>& batch) {
  if (batch.empty()) throw_invalid("per_sample_grads: the batch must have a tensor; got an empty list");
  for (std::size_t i = 0; i < batch.size(); ++i) {
    if (batch[i].dim() == 0 || batch[i].size(0) != batch[0].size(0)) {
      throw_invalid(
          "per_sample_grads: all tensors of the batch must have the same number of rows; tensor 0 is {}, tensor {} is "
          "{}",
          batch[0].shape(), i, batch[i].shape());
    }
  }
  return batch[0].size(0);
}

std::vector<Tensor> sample_of(const std::vector<Tensor>& batch, Index i) {
  std::vector<Tensor> sample;
  for (const Tensor& x : batch) sample.push_back(narrow(x, {.dim = 0, .start = i, .length = 1}));
  return sample;
}

std::vector<Tensor> leaves_on(const std::vector<Tensor>& parameters) {
  std::vector<Tensor> leaves;
  for (const Tensor& p : parameters)
    leaves.push_back(p.requires_grad() ? tapestry::detail::without_history(p).requires_grad(true) : p);
  return leaves;
}

std::vector<Tensor> room_for(const std::vector<Tensor>& parameters, Index samples) {
  std::vector<Tensor> out;
  for (const Tensor& p : parameters) {
    out.push_back(p.requires_grad() ? empty(p.shape().inserted(0, samples), p.dtype()) : Tensor());
  }
  return out;
}

void put_gradients(const Tensor& loss, const std::vector<Tensor>& leaves, Index i, const std::vector<Tensor>& out) {
  if (loss.numel() != 1) {
    throw_invalid("per_sample_grads: the loss of a sample must have one element; got shape {}", loss.shape());
  }
  std::vector<Tensor> wanted;
  for (const Tensor& leaf : leaves) {
    if (leaf.requires_grad()) wanted.push_back(leaf);
  }
  std::vector<Tensor> gradients(wanted.size());
  if (loss.requires_grad()) gradients = grad(loss, wanted, {.allow_unused = true});
  std::size_t k = 0;
  for (std::size_t p = 0; p < leaves.size(); ++p) {
    if (!leaves[p].requires_grad()) continue;
    const Tensor& g = gradients[k++];
    const auto bytes = static_cast<std::size_t>(leaves[p].numel() * item_bytes(leaves[p].dtype()));
    std::byte* const row = out[p].impl().bytes() + static_cast<std::size_t>(i) * bytes;
    if (g.defined()) std::memcpy(row, g.impl().bytes(), bytes);
    else std::memset(row, 0, bytes);
  }
}

}  // namespace tapestry::nn::detail
