#pragma once

#include <string>

#include <tapestry/autograd/base/callable.h>
#include <tapestry/autograd/memory/handle.h>
#include <tapestry/nn/copy_scope.h>
#include <tapestry/nn/module.h>

namespace tapestry::nn {

namespace detail {

/// Anything that makes a tensor from a tensor.
template <class F>
concept Layer =
    std::invocable<F&, const Tensor&> && std::convertible_to<std::invoke_result_t<F&, const Tensor&>, Tensor>;

using LayerCall = Callable<Tensor(const Tensor&, Here)>;

/// Passes the caller's line on to layers that take it; others tell their own.
template <Layer F>
[[nodiscard]] LayerCall call_of(F layer) {
  return [layer = std::move(layer)](const Tensor& x, Here here) mutable -> Tensor {
    if constexpr (std::invocable<F&, const Tensor&, Here>) return layer(x, here);
    else return layer(x);
  };
}

}  // namespace detail

/// Layers one behind another: modules, lambdas, functions, in any mix. Keys are positions, "0", "1", ...; what is no
/// module has a position but no key. `Sequential{a, b, c}`; a Sequential of nothing returns its input.
class Sequential : public Module {
 public:
  template <detail::Layer... Layers>
  explicit Sequential(Layers... layers) {
    (append(std::move(layers)), ...);
  }

  Sequential(const Sequential& other)
      : Module(other),
        layers_(detail::CopyScope::is_active() ? make_handle<std::vector<detail::LayerCall>>(*other.layers_)
                                               : other.layers_) {}
  Sequential(Sequential&&) noexcept = default;
  Sequential& operator=(const Sequential&) = default;
  Sequential& operator=(Sequential&&) noexcept = default;
  ~Sequential() = default;

  /// Adds a layer at the end, for all handles on this Sequential. Returns *this.
  template <detail::Layer F>
  Sequential& append(F layer) {
    if constexpr (std::derived_from<F, Module>) child(std::to_string(layers_->size()), layer);
    layers_->push_back(detail::call_of(std::move(layer)));
    return *this;
  }

  [[nodiscard]] std::size_t size() const noexcept { return layers_->size(); }
  [[nodiscard]] Tensor operator()(Tensor x, Here here = {}) const {
    if (is_checkpointing()) return in_segments(std::move(x), default_segments(), checkpoint_options(), here);
    const ModuleScope scope(path());
    const detail::HookedCall call(*this);
    x = call.input(x);
    for (const detail::LayerCall& layer : *layers_) x = layer(x, here);
    return call.output(std::move(x));
  }

  /// The same in so many checkpoints, each of about as many layers as the others: what backward needs is kept between
  /// them alone. Throws std::invalid_argument for fewer than one.
  [[nodiscard]] Tensor in_segments(Tensor x, std::size_t segments, const CheckpointOptions& options = {},
                                   Here here = {}) const;

 private:
  /// The root of the number of layers: as many kept between segments as within one.
  [[nodiscard]] std::size_t default_segments() const noexcept;

  Handle<std::vector<detail::LayerCall>> layers_ = make_handle<std::vector<detail::LayerCall>>();
};

/// A model of any type: a handle on a module that can also be called. What the model zoo's factory returns.
class AnyModule : public Module {
 public:
  template <std::derived_from<Module> M>
  requires detail::Layer<M> &&(!std::same_as<M, AnyModule>)AnyModule(M model)
      : Module(model), call_(detail::call_of(std::move(model))) {}

  [[nodiscard]] Tensor operator()(const Tensor& x, Here here = {}) const { return call_(x, here); }

 private:
  detail::LayerCall call_;
};

}  // namespace tapestry::nn
