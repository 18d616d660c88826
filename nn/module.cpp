#include <tapestry/nn/module.h>

#include <fmt/format.h>

#include <algorithm>
#include <unordered_map>
#include <unordered_set>

#include <tapestry/autograd/base/check.h>
#include <tapestry/autograd/grad_mode.h>
#include <tapestry/autograd/node.h>
#include <tapestry/nn/copy_scope.h>
#include <tapestry/nn/detail/module_hooks.h>
#include <tapestry/ops/cast.h>

namespace tapestry::nn {

struct Module::State {
  std::vector<NamedTensor> parameters;
  std::vector<NamedTensor> buffers;
  std::vector<std::pair<std::string, Handle<State>>> children;
  std::string description;
  const char* path = nullptr;
  bool training = true;
  bool checkpointing = false;
  CheckpointOptions checkpoint_options;
  Handle<detail::ModuleHooks> hooks;  // null: it never had any

  [[nodiscard]] bool has(std::string_view name) const {
    const auto named = [&](const NamedTensor& x) { return x.name == name; };
    return std::any_of(parameters.begin(), parameters.end(), named) ||
           std::any_of(buffers.begin(), buffers.end(), named) ||
           std::any_of(children.begin(), children.end(), [&](const auto& c) { return c.first == name; });
  }

  void check_name(const char* what, std::string_view name) const {
    if (name.empty()) throw_invalid("{}: the name must not be empty", what);
    if (name.find('.') != std::string_view::npos) {
      throw_invalid("{}: the name must have no dot, which joins names to keys; got '{}'", what, name);
    }
    if (has(name)) throw_invalid("{}: the name must be new in its module; got '{}' twice", what, name);
  }

  [[nodiscard]] bool contains(const State* other) const {
    return this == other ||
           std::any_of(children.begin(), children.end(), [&](const auto& c) { return c.second->contains(other); });
  }

  /// Tells this module, what is in it, and the leaves on the tape their full names.
  void set_path(const std::string& own) {
    if (!own.empty()) path = intern(own);
    for (const NamedTensor& x : parameters) label(x);
    for (const auto& [name, module] : children) module->set_path(join(own, name));
  }

  void label(const NamedTensor& x) const {
    if (x.tensor.requires_grad()) set_module(x.tensor, intern(join(path ? path : "", x.name)));
  }

  static std::string join(const std::string& prefix, const std::string& name) {
    return prefix.empty() ? name : prefix + '.' + name;
  }

  /// Calls f(key, state) for this module and all in it, each once, in order of registration.
  template <class F>
  void visit(const F& f) {
    std::unordered_set<const State*> seen;
    visit("", seen, f);
  }

  template <class F>
  void visit(const std::string& key, std::unordered_set<const State*>& seen, const F& f) {
    if (!seen.insert(this).second) return;
    f(key, *this);
    for (const auto& [name, module] : children) module->visit(join(key, name), seen, f);
  }

  /// All tensors of one of the two lists with their keys, each once.
  [[nodiscard]] std::vector<NamedTensor> collect(std::vector<NamedTensor> State::*list) {
    std::vector<NamedTensor> out;
    std::unordered_set<const tapestry::detail::TensorImpl*> seen;
    visit([&](const std::string& key, const State& state) {
      for (const NamedTensor& x : state.*list) {
        if (seen.insert(&x.tensor.impl()).second) out.push_back({join(key, x.name), x.tensor, x.flattened});
      }
    });
    return out;
  }
};

Module::Module() : state_(make_handle<State>()) {}
Module::Module(const Module& other) : state_(copied(other.state_)) {}
Module::Module(Handle<State> state) : state_(std::move(state)) {}

Tensor Module::param(std::string_view name, Tensor value, const FlattenedImage& flattened, Here here) {
  const CallSite site(here);
  state_->check_name("param", name);
  if (!value.defined()) throw_invalid("param: '{}' must be a defined tensor", name);
  value.requires_grad(true);
  state_->parameters.push_back({std::string(name), value, flattened});
  state_->label(state_->parameters.back());
  return value;
}

Tensor Module::buffer(std::string_view name, Tensor value, Here here) {
  const CallSite site(here);
  state_->check_name("buffer", name);
  if (!value.defined()) throw_invalid("buffer: '{}' must be a defined tensor", name);
  state_->buffers.push_back({std::string(name), value});
  return value;
}

void Module::add_child(std::string_view name, const Module& module, Here here) {
  const CallSite site(here);
  state_->check_name("child", name);
  if (module.state_->contains(state_.get())) {
    throw_invalid("child: '{}' must not be the module that it is added to, nor contain it", name);
  }
  state_->children.emplace_back(name, module.state_);
  module.state_->set_path(State::join(state_->path ? state_->path : "", std::string(name)));
}

void Module::describe(std::string text) { state_->description = std::move(text); }
const std::string& Module::description() const noexcept { return state_->description; }
const char* Module::path() const noexcept { return state_->path; }
bool Module::is_training() const noexcept { return state_->training; }
void Module::set_checkpointing(bool on, CheckpointOptions options) {
  state_->checkpointing = on;
  state_->checkpoint_options = std::move(options);
}
const CheckpointOptions& Module::checkpoint_options() const noexcept { return state_->checkpoint_options; }
bool Module::is_checkpointing() const noexcept { return state_->checkpointing; }

std::vector<NamedTensor> Module::named_parameters() const { return state_->collect(&State::parameters); }
std::vector<NamedTensor> Module::named_buffers() const { return state_->collect(&State::buffers); }

std::vector<Tensor> Module::parameters() const {
  std::vector<Tensor> out;
  for (NamedTensor& x : named_parameters()) out.push_back(std::move(x.tensor));
  return out;
}

std::vector<std::pair<std::string, Module>> Module::named_children() const {
  std::vector<std::pair<std::string, Module>> out;
  for (const auto& [name, state] : state_->children) out.emplace_back(name, Module(state));
  return out;
}

std::vector<std::pair<std::string, Module>> Module::named_modules() const {
  std::vector<std::pair<std::string, Module>> out{{"", *this}};
  for (const auto& [name, child] : named_children()) {
    for (const auto& [inner, module] : child.named_modules()) {
      const Module& found = module;  // clang 14 does not let a lambda capture a structured binding
      const bool seen = std::any_of(out.begin(), out.end(), [&](const auto& m) { return m.second.is_same(found); });
      if (!seen) out.emplace_back(inner.empty() ? name : State::join(name, inner), found);
    }
  }
  return out;
}

Index Module::count_parameters() const {
  Index count = 0;
  for (const Tensor& x : parameters()) count += x.numel();
  return count;
}

void Module::train(bool training) {
  state_->visit([&](const std::string&, State& state) { state.training = training; });
}

void Module::to(Dtype dtype, Here here) {
  const CallSite site(here);
  if (!is_float(dtype)) throw_invalid("to: a module's dtype must be a float; got {}", dtype);
  const NoGradGuard guard;
  for (auto list : {&State::parameters, &State::buffers}) {
    for (NamedTensor& x : state_->collect(list)) {
      if (is_float(x.tensor.dtype()) && x.tensor.dtype() != dtype) x.tensor.set_data(tapestry::to(x.tensor, dtype));
    }
  }
}

void Module::zero_grad() const {
  for (const Tensor& x : parameters()) x.zero_grad();
}

void Module::requires_grad(bool wanted, Here here) {
  const CallSite site(here);
  state_->visit([&](const std::string&, State& state) {
    for (NamedTensor& x : state.parameters) {
      x.tensor.requires_grad(wanted);
      state.label(x);
    }
  });
}

// --- hooks

const Handle<detail::ModuleHooks>& Module::hooks() const noexcept { return state_->hooks; }

detail::ModuleHooks& Module::made_hooks() {
  if (!state_->hooks) state_->hooks = make_handle<detail::ModuleHooks>();
  return *state_->hooks;
}

namespace {
template <class Hook>
HookHandle added(const detail::ModuleHooks::List<Hook>& list, Hook hook) {
  return {Ref<tapestry::detail::Hooks>(list.get()), list->add(std::move(hook))};
}
}  // namespace

HookHandle Module::register_forward_pre_hook(ForwardPreHook hook) {
  return added(made_hooks().before, std::move(hook));
}
HookHandle Module::register_forward_hook(ForwardHook hook) { return added(made_hooks().after, std::move(hook)); }
HookHandle Module::register_full_backward_hook(BackwardHook hook) {
  return added(made_hooks().backward, std::move(hook));
}

// --- copies

struct detail::CopyScope::State {
  std::unordered_map<const void*, Handle<Module::State>> copies;
  CopyScope* outer = nullptr;
};

namespace {
constinit thread_local detail::CopyScope* innermost_copy = nullptr;
}

detail::CopyScope::CopyScope() : state_(make_handle<State>()) { state_->outer = std::exchange(innermost_copy, this); }
detail::CopyScope::~CopyScope() { innermost_copy = state_->outer; }
bool detail::CopyScope::is_active() noexcept { return innermost_copy != nullptr; }

Handle<Module::State> Module::copied(const Handle<State>& state) {
  if (!innermost_copy) return state;
  auto& copies = innermost_copy->state_->copies;
  if (const auto found = copies.find(state.get()); found != copies.end()) return found->second;
  Handle<State> copy = make_handle<State>(*state);  // its tensors are stand-ins, where there are any
  copies.emplace(state.get(), copy);
  if (const Handle<detail::ModuleHooks> own = copy->hooks) {
    copy->hooks = make_handle<detail::ModuleHooks>(own->before->copy(), own->after->copy(), own->backward->copy());
  }
  for (auto& [name, child] : copy->children) child = copied(child);
  for (const NamedTensor& x : copy->parameters) copy->label(x);
  return copy;
}

// --- the table

namespace {

/// 11,220,132
std::string with_commas(Index number) {
  std::string text = std::to_string(number);
  for (auto at = static_cast<Index>(text.size()) - 3; at > 0; at -= 3) text.insert(static_cast<std::size_t>(at), ",");
  return text;
}

struct Row {
  std::string key, layer, shapes, count;
};

std::string print(const std::vector<Row>& rows) {
  std::size_t key = 0, layer = 0, shapes = 0, count = 0;
  for (const Row& row : rows) {
    key = std::max(key, row.key.size());
    layer = std::max(layer, row.layer.size());
    shapes = std::max(shapes, row.shapes.size());
    count = std::max(count, row.count.size());
  }
  const std::string line(key + layer + shapes + count + 6, '-');
  std::string out;
  for (std::size_t i = 0; i < rows.size(); ++i) {
    const Row& row = rows[i];
    if (i == 1 || i + 1 == rows.size()) out += line + '\n';
    out += fmt::format("{:<{}}  {:<{}}  {:<{}}  {:>{}}\n", row.key, key, row.layer, layer, row.shapes, shapes,
                       row.count, count);
  }
  return out;
}

}  // namespace

std::string Module::summary() const {
  std::vector<Row> rows{{"key", "layer", "shapes", "parameters"}};
  std::unordered_set<const tapestry::detail::TensorImpl*> seen;
  state_->visit([&](const std::string& key, const State& state) {
    if (state.parameters.empty() && (state.description.empty() || !state.children.empty())) return;
    Row row{key.empty() ? "." : key, state.description, "", ""};
    Index count = 0;
    for (const NamedTensor& x : state.parameters) {
      row.shapes += (row.shapes.empty() ? "" : " ") + to_string(x.tensor.shape());
      if (seen.insert(&x.tensor.impl()).second) count += x.tensor.numel();
    }
    if (!state.parameters.empty()) row.count = with_commas(count);
    rows.push_back(std::move(row));
  });
  Index trainable = 0;
  for (const Tensor& x : parameters()) trainable += x.requires_grad() ? x.numel() : 0;
  Index held = 0;
  for (const NamedTensor& x : named_buffers()) held += x.tensor.numel();
  rows.push_back({"total", fmt::format("{} trainable", with_commas(trainable)),
                  fmt::format("{} elements in buffers", with_commas(held)), with_commas(count_parameters())});
  return print(rows);
}

}  // namespace tapestry::nn
