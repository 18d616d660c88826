#pragma once

#include <concepts>
#include <utility>
#include <vector>

#include <tapestry/autograd/backward.h>
#include <tapestry/autograd/base/parallel.h>
#include <tapestry/autograd/grad_mode.h>
#include <tapestry/nn/functional_call.h>

/// Gradients of each sample of a batch on its own, as differential privacy and influence functions want them.
namespace tapestry::nn {

namespace detail {

/// Extents of dimension 0, which all must have. Throws std::invalid_argument.
[[nodiscard]] Index samples_in(const std::vector<Tensor>& batch);
/// Row i of each, as batches of one: views.
[[nodiscard]] std::vector<Tensor> sample_of(const std::vector<Tensor>& batch, Index i);
/// Leaves on the elements of these, for those that require grad; the others as they are.
[[nodiscard]] std::vector<Tensor> leaves_on(const std::vector<Tensor>& parameters);
/// Where the gradients go: [samples, shape of the parameter], undefined for one that does not require grad.
[[nodiscard]] std::vector<Tensor> room_for(const std::vector<Tensor>& parameters, Index samples);
/// The gradients of one sample, put into row i of `out`. Throws std::invalid_argument unless the loss has one element.
void put_gradients(const Tensor& loss, const std::vector<Tensor>& leaves, Index i, const std::vector<Tensor>& out);

constexpr Index kSamplesOfATask = 4;  // on one core one behind another; fewer copies of the model, enough tasks

}  // namespace detail

/// The gradients of loss(model, sample) by the model's parameters, for every sample: one tensor per parameter, in the
/// order of parameters(), each [N, shape of the parameter]; undefined for a frozen one. `batch` are tensors [N, ...],
/// and `sample` the same tensors with one row, so that layers see batches of one.
///
///     const auto g = per_sample_grads(
///         [](const auto& m, const std::vector<Tensor>& s) { return cross_entropy(m(s[0]), s[1]); }, model,
///         {images, labels});
///
/// There is no batching rule per op, and so no op that lacks one: samples are played one by one, each on one core, and
/// all cores at once. `loss` is therefore called from several threads. Batch norm in training mode takes the statistics
/// of the one sample; running statistics of the model stay as they are. Throws std::invalid_argument for an empty
/// batch, for tensors of different lengths, and for a loss of several elements.
template <std::derived_from<Module> M, class Loss>
[[nodiscard]] std::vector<Tensor> per_sample_grads(const Loss& loss, const M& model, const std::vector<Tensor>& batch) {
  const Index samples = detail::samples_in(batch);
  const std::vector<Tensor> parameters = model.parameters();
  std::vector<Tensor> out = detail::room_for(parameters, samples);
  parallel_for(samples, detail::kSamplesOfATask, [&](Index begin, Index end) {
    const EnableGradGuard guard;
    const std::vector<Tensor> leaves = detail::leaves_on(parameters);
    const M own = with_tensors(model, leaves);
    for (Index i = begin; i < end; ++i) {
      detail::put_gradients(loss(own, detail::sample_of(batch, i)), leaves, i, out);
    }
  });
  return out;
}

}  // namespace tapestry::nn
