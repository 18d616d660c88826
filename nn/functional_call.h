#pragma once

#include <concepts>
#include <optional>
#include <string>
#include <utility>
#include <vector>

#include <tapestry/autograd/stand_ins.h>
#include <tapestry/nn/copy_scope.h>
#include <tapestry/nn/module.h>

/// Models as functions of their parameters, for derivatives by them, for ensembles, and for steps that are taken back.
///
/// A model is copied by its own copy constructor: members that are tensors, modules, or containers of them (vectors,
/// optionals, functions that captured them) are followed. What lies behind a pointer is shared.
namespace tapestry::nn {

namespace detail {

/// Tensors in the place of a model's, by key.
class Replacements {
 public:
  /// The tensors given, and copies of all buffers that are not among them.
  Replacements(const Module& model, const std::vector<NamedTensor>& tensors);
  /// Tensors of their own for all: copies of the elements.
  explicit Replacements(const Module& model);

 private:
  StandIns stand_ins_;
  CopyScope scope_;
};

/// `tensors` under the keys of the model's parameters. Throws std::invalid_argument unless there are as many.
[[nodiscard]] std::vector<NamedTensor> keyed(const Module& model, const std::vector<Tensor>& tensors);

}  // namespace detail

/// A model that shares nothing with this one: the same values in other tensors, its own leaves, without gradients.
template <std::derived_from<Module> M>
[[nodiscard]] M clone(const M& model) {
  const detail::Replacements replacements(model);
  return M(model);
}

/// The same model on other tensors: `tensors`, by key, in the place of parameters and buffers; parameters that are not
/// named are shared with this one, buffers copied, so that nothing that the new one does reaches this one's. Takes
/// microseconds a layer and no memory but for buffers. Throws std::invalid_argument for a key that the model does not
/// have, for one given twice, and for another shape or dtype.
template <std::derived_from<Module> M>
[[nodiscard]] M with_tensors(const M& model, const std::vector<NamedTensor>& tensors) {
  const detail::Replacements replacements(model, tensors);
  return M(model);
}

/// The same with tensors for all parameters, in the order of parameters().
template <std::derived_from<Module> M>
[[nodiscard]] M with_tensors(const M& model, const std::vector<Tensor>& parameters) {
  return with_tensors(model, detail::keyed(model, parameters));
}

/// model(inputs...) with other tensors in the parameters' place, which derivatives may be taken by; the model itself is
/// not touched:
///
///     const ListFunction loss = [&](const std::vector<Tensor>& p) {
///       return cross_entropy(functional_call(model, p, images), labels);
///     };
///     const std::vector<Tensor> hv = hvp(loss, model.parameters(), v);
///
/// `tensors` as in with_tensors().
template <std::derived_from<Module> M, class... Inputs>
[[nodiscard]] auto functional_call(const M& model, const std::vector<NamedTensor>& tensors, const Inputs&... inputs) {
  return with_tensors(model, tensors)(inputs...);
}
template <std::derived_from<Module> M, class... Inputs>
[[nodiscard]] auto functional_call(const M& model, const std::vector<Tensor>& parameters, const Inputs&... inputs) {
  return with_tensors(model, parameters)(inputs...);
}

}  // namespace tapestry::nn
