#pragma once

#include <concepts>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include <tapestry/autograd/checkpoint.h>
#include <tapestry/autograd/memory/handle.h>
#include <tapestry/autograd/tensor.h>
#include <tapestry/nn/hooks.h>

namespace tapestry::nn {

namespace detail {
class CopyScope;
}

/// The pixels of an image behind a flatten: says that the columns of a [out, h w C] weight belong to (h, w, C). Files
/// have them in PyTorch's order (C, h, w); see <tapestry/nn/serialize.h>.
struct FlattenedImage {
  Index h = 1;
  Index w = 1;
};

struct NamedTensor {
  std::string name;  ///< "layer2.0.conv1.weight"
  Tensor tensor;
  FlattenedImage flattened = {};  ///< what the columns of a linear layer's weight stand for
};

/// A part of a model: a handle on a list of named tensors (parameters, which are trained, and buffers, which are not)
/// and of named modules. Copying a Module copies the handle. A layer or a model derives from it, adds to the list where
/// it makes its members, and has a call operator:
///
///     class Net : public nn::Module {
///      public:
///       explicit Net(Index classes)
///           : conv_{child("conv", nn::Conv2d{3, 8, {.kernel = 3}})}, scale_{param("scale", ones({8}))}, ... {}
///       Tensor operator()(const Tensor& x) const { return fc_(flatten(relu(conv_(x)) * scale_)); }
///      private:
///       nn::Conv2d conv_;
///       Tensor scale_;
///       nn::Linear fc_;
///     };
///
/// Keys join names by dots, in order of registration, own tensors before those of children. A tensor or module that is
/// registered twice counts once, under its first key.
class Module {
 public:
  Module();
  Module(const Module& other);
  Module(Module&&) noexcept = default;
  Module& operator=(const Module&) = default;
  Module& operator=(Module&&) noexcept = default;
  ~Module() = default;

  [[nodiscard]] std::vector<Tensor> parameters() const;
  [[nodiscard]] std::vector<NamedTensor> named_parameters() const;
  [[nodiscard]] std::vector<NamedTensor> named_buffers() const;
  [[nodiscard]] std::vector<std::pair<std::string, Module>> named_children() const;  ///< the next level only
  [[nodiscard]] std::vector<std::pair<std::string, Module>> named_modules() const;   ///< all levels; this one first, ""

  /// Elements of all parameters.
  [[nodiscard]] Index count_parameters() const;

  /// Training mode, here and in all children; modules begin with it. It changes what Dropout and BatchNorm2d do.
  void train(bool training = true);
  void eval() { train(false); }
  [[nodiscard]] bool is_training() const noexcept;

  /// Memory for time: a model of the zoo, or a Sequential, then keeps between its sections alone what backward needs,
  /// and computes the rest a second time (checkpoint() in <tapestry/autograd/checkpoint.h>), but for what the options
  /// keep. The same bits. For this module; what stands within it keeps its own mind.
  void set_checkpointing(bool on = true, CheckpointOptions options = {});
  [[nodiscard]] bool is_checkpointing() const noexcept;
  [[nodiscard]] const CheckpointOptions& checkpoint_options() const noexcept;

  /// Converts parameters and floating-point buffers. All handles on them follow; gradients are dropped. Throws
  /// std::invalid_argument for a dtype that is no float.
  void to(Dtype dtype, Here here = {});

  void zero_grad() const;

  /// Calls the hook before this module computes, after it has computed, and when the gradient of its input has been.
  /// Hooks of a kind are called in the order of registration, each with what the one before returned; a module's first
  /// kind before those of the modules in it, the other two after them. What they throw, the call or backward throws.
  /// The first input and the result are what a module's call operator passes through its LayerScope: all layers and
  /// models here do. A function in a checkpoint calls hooks a second time; see is_recomputing(). A clone begins with
  /// the hooks that its model has, and per_sample_grads() calls them on several threads at once. backward throws
  /// std::logic_error when a hook returns another shape or dtype than dx has.
  HookHandle register_forward_pre_hook(ForwardPreHook hook);
  HookHandle register_forward_hook(ForwardHook hook);
  HookHandle register_full_backward_hook(BackwardHook hook);

  /// Freezes all parameters (false) or makes them trainable again.
  void requires_grad(bool wanted, Here here = {});

  /// A table for people: key, layer, shapes and number of parameters, then the totals.
  [[nodiscard]] std::string summary() const;

  /// This module's place in the outermost module: "layer2.0.conv1", null for the outermost one itself.
  [[nodiscard]] const char* path() const noexcept;

  /// "Conv2d 3 -> 32, kernel 3x3", empty for a module that has not described itself.
  [[nodiscard]] const std::string& description() const noexcept;

  /// True when both are handles on the same module.
  [[nodiscard]] bool is_same(const Module& other) const noexcept { return state_ == other.state_; }

 protected:
  /// Each adds to the list and returns its argument, so that a name is written once. A parameter becomes a leaf that
  /// requires grad. Throws std::invalid_argument for a name that is empty, has a dot or is taken, for an undefined
  /// tensor, a parameter that is no float, and for a module that contains this one; std::logic_error for a parameter
  /// with history.
  Tensor param(std::string_view name, Tensor value, const FlattenedImage& flattened = {}, Here here = {});
  Tensor buffer(std::string_view name, Tensor value, Here here = {});
  template <std::derived_from<Module> M>
  M child(std::string_view name, M module, Here here = {}) {
    add_child(name, module, here);
    return module;
  }

  /// Sets description().
  void describe(std::string text);

  /// f(x), in a checkpoint if set_checkpointing() asks for it: a section of a model's call operator. f must own what it
  /// captures: handles on layers.
  template <class F>
  [[nodiscard]] Tensor section(const Tensor& x, const F& f, Here here = {}) const {
    return is_checkpointing() ? checkpoint(Callable<Tensor(const Tensor&)>(f), x, checkpoint_options(), here) : f(x);
  }

 private:
  friend class detail::CopyScope;
  friend class detail::HookedCall;
  struct State;
  explicit Module(Handle<State> state);
  [[nodiscard]] static Handle<State> copied(const Handle<State>& state);
  void add_child(std::string_view name, const Module& module, Here here);
  [[nodiscard]] const Handle<detail::ModuleHooks>& hooks() const noexcept;  ///< null: it never had any
  [[nodiscard]] detail::ModuleHooks& made_hooks();

  Handle<State> state_;
};

/// The first line of the call operator of a layer or model: for the time of the call, errors and the tape name the line
/// that the user wrote and this layer's path. What goes in and what comes out passes its hooks.
///
///     Tensor operator()(const Tensor& x, Here here = {}) const {
///       const LayerScope scope(*this, here);
///       return scope.output(relu(conv_(scope.input(x))));
///     }
class LayerScope {
 public:
  LayerScope(const Module& layer, const Here& here) : site_(here, nullptr), module_(layer.path()), call_(layer) {}

  /// x, or what the hooks before the call make of it.
  [[nodiscard]] Tensor input(const Tensor& x) const { return call_.input(x); }
  /// y, or what the hooks after the call make of it. Once, as the last thing.
  [[nodiscard]] Tensor output(Tensor y) const { return call_.output(std::move(y)); }

 private:
  CallSite site_;
  ModuleScope module_;
  detail::HookedCall call_;
};

}  // namespace tapestry::nn
